"""The lab's clients: an identity provider that provisions, and people with sessions, both through the balancers.

Started as `python -m rollsafe.lab.traffic FOLDER`. Bounded in rate and in time. What was seen is written to
`seen.json` in the folder, whole, twice a second and at SIGTERM.
"""

import asyncio
import json
import random
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from rollsafe.lab.leash import end_with
from rollsafe.lab.wire import BadMessage, Message, read_message

SAVE_S = 0.5
REFUSED_PAUSE_S = 0.1
HOLD_MS = 3_600_000


@dataclass(frozen=True)
class TrafficSettings:
    """What `lab.json` says. Rates are requests a second over all clients of a service."""

    scim_url: str  # up to /v2
    web_url: str
    token: str
    leash: str
    scim_rate: float = 10.0
    web_rate: float = 20.0
    scim_clients: int = 3
    web_users: int = 12
    holds: int = 0  # SCIM requests that do not end
    longest_s: float = 3600.0  # no traffic for ever


@dataclass
class Seen:
    """One service, from outside. An outage: from the first failed request to the next good one."""

    requests: int = 0
    failed: int = 0
    longest_outage_s: float = 0.0
    slowest_s: float = 0.0
    moved: int = 0  # sessions that went on on another node
    reasons: dict[str, int] = field(default_factory=dict)
    broken_since: float | None = None

    def note(self, began: float, reason: str) -> None:
        """One request that ended just now; no reason means that it was good."""
        now = time.monotonic()
        self.requests += 1
        self.slowest_s = max(self.slowest_s, now - began)
        if reason:
            self.failed += 1
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
            self.broken_since = began if self.broken_since is None else self.broken_since
        if self.broken_since is not None:
            self.longest_outage_s = max(self.longest_outage_s, now - self.broken_since)
        if not reason:
            self.broken_since = None


class Client:
    """One client with its connection and its cookies."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._base = parts.path.rstrip("/")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.cookies: dict[str, str] = {}

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Message:
        """One request. Raises OSError or EOFError where the connection breaks, BadMessage for garbage."""
        request = Message(f"{method} {self._base}{path} HTTP/1.1", [("Host", self._host), *headers.items()], body)
        if self.cookies:
            request.headers.append(("Cookie", "; ".join(f"{k}={v}" for k, v in self.cookies.items())))
        try:
            answer = await self._exchange(request)
        except BaseException:
            self._hang_up()
            raise
        if answer.header("Connection").lower() == "close":
            self._hang_up()
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                key, _, text = value.split(";")[0].partition("=")
                self.cookies[key] = text
        return answer

    async def _exchange(self, request: Message) -> Message:
        fresh = self._streams is None or self._streams[0].at_eof()
        if fresh:
            self._hang_up()
            self._streams = await asyncio.open_connection(self._host, self._port)
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(request.encode())
        await writer.drain()
        answer = await read_message(reader)
        if answer is None:
            raise EOFError("closed before the answer")
        return answer

    def _hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Traffic:
    """All clients."""

    def __init__(self, settings: TrafficSettings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.seen = {"scim": Seen(), "web": Seen()}
        self._random = random.Random(5501)  # the same traffic in each lab

    async def flow(self) -> None:
        """Until the time is up or SIGTERM."""
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        clients = [self._provider(n) for n in range(self.settings.scim_clients)]
        clients += [self._person(n) for n in range(self.settings.web_users)]
        clients += [self._hold() for _ in range(self.settings.holds)]
        tasks = [asyncio.create_task(client) for client in [*clients, self._save_for_ever()]]
        try:
            await asyncio.wait_for(stopped.wait(), self.settings.longest_s)
        except TimeoutError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            self._save()

    async def _provider(self, number: int) -> None:
        """An identity provider: reads, and creations that take a moment."""
        client = Client(self.settings.scim_url)
        made = 0
        while True:
            await self._pause(self.settings.scim_clients / self.settings.scim_rate)
            if self._random.random() < 0.5:
                await self._request("scim", client, "GET", "/Users?count=10")
                continue
            made += 1
            user = json.dumps({"userName": f"user{number}-{made}@example.com"}).encode()
            await self._request("scim", client, "POST", f"/Users?ms={self._random.randint(50, 400)}", user)

    async def _person(self, number: int) -> None:
        """Somebody with a session: quick pages, and now and then a slow one."""
        client = Client(self.settings.web_url)
        home = ""
        while True:
            await self._pause(self.settings.web_users / self.settings.web_rate)
            slow = self._random.random() < 0.1
            work = self._random.randint(200, 1200) if slow else self._random.randint(5, 60)
            await self._request("web", client, "GET", f"/browse/LAB-{number}?ms={work}")
            now = client.cookies.get("JSESSIONID", "").partition(".")[0]
            self.seen["web"].moved += bool(home) and now != home
            home = now

    async def _hold(self) -> None:
        """A SCIM request that does not end."""
        client = Client(self.settings.scim_url)
        while True:
            body = json.dumps({"userName": "a.very.slow.import@example.com"}).encode()
            await self._request("scim", client, "POST", f"/Users?ms={HOLD_MS}", body)

    async def _request(self, service: str, client: Client, method: str, path: str, body: bytes = b"") -> None:
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {self.settings.token}"} if service == "scim" else {}
        try:
            answer = await client.ask(method, path, body, **headers)
            reason = "" if answer.status in (200, 201) else str(answer.status)
        except (OSError, EOFError, BadMessage) as error:
            reason = "refused" if isinstance(error, ConnectionRefusedError) else "broken off"
            await asyncio.sleep(REFUSED_PAUSE_S)
        self.seen[service].note(began, reason)

    async def _pause(self, mean_s: float) -> None:
        await asyncio.sleep(mean_s * (0.5 + self._random.random()))

    async def _save_for_ever(self) -> None:
        while True:
            self._save()
            await asyncio.sleep(SAVE_S)

    def _save(self) -> None:
        fresh = self.folder / "seen.json.new"
        fresh.write_text(json.dumps({service: asdict(seen) for service, seen in self.seen.items()}))
        fresh.replace(self.folder / "seen.json")


def main(arguments: list[str]) -> int:
    """Run the clients of the folder that is named."""
    folder = Path(arguments[0])
    settings = TrafficSettings(**json.loads((folder / "lab.json").read_text()))
    end_with(Path(settings.leash))
    asyncio.run(Traffic(settings, folder).flow())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
