"""A balancer of the lab: `python -m rollsafe.lab.balancer FOLDER`. It proxies HTTP and speaks HAProxy's runtime API.

One backend with its frontend, as the lab's haproxy.cfg has it: round robin, a cookie that HAProxy inserts and keeps to
itself (`cookie SRV insert indirect nocache`), checks with inter, rise and fall, and another server where one refuses.

Its folder holds `lab.json` (settings) and `fault` (`admin-dead` closes the admin port). SIGUSR2 is a reload: the states
that people set are forgotten, as HAProxy forgets them without a state file.
"""

import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from rollsafe.lab.leash import end_with
from rollsafe.lab.runtime import Runtime
from rollsafe.lab.seat import FMAINT, CheckOutcome, Seat
from rollsafe.lab.wire import BadMessage, Message, read_message, response, serve

CONNECT_S = 1.0
RETRIES = 3  # HAProxy's default
FAULT_POLL_S = 0.1
NO_SERVER = (
    b"<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n"
)


@dataclass(frozen=True)
class CheckRule:
    """What a check asks, and what a good answer is: a status, or a word in the body."""

    path: str
    status: int | None = None
    word: str = ""
    every_s: float = 0.3
    timeout_s: float = 2.0

    def judge(self, answer: Message, duration_ms: int) -> CheckOutcome:
        """The answer, in HAProxy's words."""
        code = str(answer.status)
        if self.status is not None and answer.status != self.status:
            return CheckOutcome("L7STS", code, f"HTTP status check returned code <3C>{code}<3E>", duration_ms)
        if self.word and self.word.encode() not in answer.body:
            return CheckOutcome("L7RSP", "", "HTTP content check did not match", duration_ms)
        return CheckOutcome("L7OK", code, "", duration_ms)


@dataclass(frozen=True)
class BalancerConfig:
    """What `lab.json` says. `servers`: name and port; all on `host`."""

    name: str
    host: str
    port: int
    admin_port: int
    servers: dict[str, int]
    check: CheckRule
    leash: str
    cookie_name: str = ""
    answer_s: float = 60.0  # how long a server may take to answer

    @classmethod
    def load(cls, path: Path) -> "BalancerConfig":
        """From a file of JSON."""
        raw = json.loads(path.read_text())
        return cls(**raw | {"check": CheckRule(**raw["check"])})


@dataclass
class Upstream:
    """The backend: its seats, and who is next."""

    config: BalancerConfig
    generation: int = 0  # how many reloads there were; each has a pid of its own
    started: float = field(default_factory=time.monotonic)
    seats: list[Seat] = field(init=False)
    front: dict[str, int] = field(default_factory=dict)
    _turn: int = 0

    def __post_init__(self) -> None:
        """All servers, as the configuration has them."""
        self.name = self.config.name
        self.cookie_name = self.config.cookie_name
        names = enumerate(self.config.servers.items(), start=1)
        self.seats = [
            Seat(name, self.config.host, port, sid, cookie=name if self.cookie_name else "")
            for sid, (name, port) in names
        ]

    @property
    def pid(self) -> int:
        """As a reload shows it: another process."""
        return os.getpid() + self.generation

    def totals(self) -> dict[str, int]:
        """What the frontend counts."""
        return self.front

    def reload(self) -> None:
        """Forget what people said; the checks begin anew."""
        self.generation += 1
        self.started = time.monotonic()
        self.front = {"scur": self.front.get("scur", 0)}
        self.__post_init__()

    def choose(self, cookie: str, tried: set[str]) -> Seat | None:
        """The server for a request: the cookie's own, else the next in turn."""
        for seat in self.seats:
            if cookie and seat.name == cookie and seat.takes_sticky and seat.name not in tried:
                return seat
        able = [seat for seat in self.seats if seat.takes_new and seat.name not in tried]
        if not able:
            return None
        self._turn += 1
        return able[self._turn % len(able)]


class Proxy:
    """Carries requests from clients to servers."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection."""
        front = self._upstream.front
        for column in ("scur", "stot", "conn_tot"):
            front[column] = front.get(column, 0) + 1
        try:
            await serve(reader, writer, self.answer)
        finally:
            self._upstream.front["scur"] -= 1

    async def answer(self, request: Message) -> Message:
        """Carry one request; 503 where no server takes it, 502 where a server breaks off, 504 where it is too slow."""
        front = self._upstream.front
        front["req_tot"] = front.get("req_tot", 0) + 1
        cookie = request.cookies().get(self._upstream.cookie_name, "")
        tried: set[str] = set()
        while len(tried) <= RETRIES:
            seat = self._upstream.choose(cookie, tried)
            if seat is None:
                break
            with seat.carrying():
                answer = await self._carry(seat, request)
            if answer is not None:
                return self._with_cookie(answer, seat, cookie)
            tried.add(seat.name)
            seat.count("econ")
            seat.count("wredis")
        return response(503, NO_SERVER, ("Cache-Control", "no-cache"), ("Content-Type", "text/html"))

    async def _carry(self, seat: Seat, request: Message) -> Message | None:
        """The server's answer; None where it could not be reached, so that nothing was sent to it."""
        try:
            connecting = asyncio.open_connection(seat.host, seat.port)
            reader, writer = await asyncio.wait_for(connecting, CONNECT_S)
        except (OSError, TimeoutError):
            return None
        try:
            writer.write(self._onward(request).encode())
            answer = await asyncio.wait_for(read_message(reader), self._upstream.config.answer_s)
        except TimeoutError:
            seat.count("srv_abrt")
            return response(504, b"504 Gateway Time-out\n")
        except (OSError, EOFError, BadMessage):
            answer = None
        finally:
            writer.close()
        if answer is None:  # the server died with the request in its hands
            seat.count("eresp")
            return response(502, b"502 Bad Gateway\n")
        seat.count(f"hrsp_{answer.status // 100}xx")
        answer.headers = answer.without("connection", "keep-alive")
        return answer

    def _onward(self, request: Message) -> Message:
        """The request as the server gets it: without our cookie, on a connection of its own."""
        kept = {name: value for name, value in request.cookies().items() if name != self._upstream.cookie_name}
        headers = request.without("connection", "cookie")
        if kept:
            headers.append(("Cookie", "; ".join(f"{name}={value}" for name, value in kept.items())))
        return Message(
            request.start, [*headers, ("X-Forwarded-For", "127.0.0.1"), ("Connection", "close")], request.body
        )

    def _with_cookie(self, answer: Message, seat: Seat, cookie: str) -> Message:
        if self._upstream.cookie_name and cookie != seat.name:
            answer.headers.append(("Set-Cookie", f"{self._upstream.cookie_name}={seat.name}; path=/"))
        return answer


async def check_for_ever(upstream: Upstream, index: int) -> None:
    """Check one server in its rhythm. The first checks are spread, as HAProxy spreads them."""
    rule = upstream.config.check
    await asyncio.sleep(rule.every_s * index / max(1, len(upstream.seats)))
    while True:
        due = time.monotonic() + rule.every_s
        seat = upstream.seats[index]  # a reload makes new ones
        if not seat.admin & FMAINT:
            seat.checking = True
            seat.learn(await check_once(seat, rule))
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def check_once(seat: Seat, rule: CheckRule) -> CheckOutcome:
    """Ask the server, and name what came in HAProxy's words."""
    began = time.monotonic()
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(seat.host, seat.port), rule.timeout_s)
    except TimeoutError:
        return CheckOutcome("L4TOUT", "", "", int(rule.timeout_s * 1000))
    except OSError:
        return CheckOutcome("L4CON", "", "Connection refused", 0)
    try:
        writer.write(f"GET {rule.path} HTTP/1.0\r\n\r\n".encode())
        answer = await asyncio.wait_for(read_message(reader), rule.timeout_s)
    except TimeoutError:
        return CheckOutcome("L7TOUT", "", "", int(rule.timeout_s * 1000))
    except (OSError, EOFError, BadMessage):
        answer = None
    finally:
        writer.close()
    duration_ms = int((time.monotonic() - began) * 1000)
    return rule.judge(answer, duration_ms) if answer else CheckOutcome("L7RSP", "", "", duration_ms)


class Admin:
    """The admin port: one line in, the replies out, and the end."""

    def __init__(self, upstream: Upstream, folder: Path) -> None:
        self._upstream = upstream
        self._fault = folder / "fault"
        self._runtime = Runtime(upstream)

    async def serve_for_ever(self) -> None:
        """Listen, and be deaf while the fault says so."""
        while True:
            config = self._upstream.config
            server = await asyncio.start_server(self._connected, config.host, config.admin_port)
            while not self._dead():
                await asyncio.sleep(FAULT_POLL_S)
            server.close()
            await server.wait_closed()
            while self._dead():
                await asyncio.sleep(FAULT_POLL_S)

    def _dead(self) -> bool:
        try:
            return self._fault.read_text().strip() == "admin-dead"
        except FileNotFoundError:
            return False

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), 10)
            if line:
                writer.write(self._runtime.answer(line.decode("latin-1").strip("\r\n")).encode())
                await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass  # a client that went away or said nothing: HAProxy closes, too
        finally:
            writer.close()


async def run(config: BalancerConfig, folder: Path) -> None:
    """Proxy, check and answer until the process is ended."""
    upstream = Upstream(config)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, upstream.reload)
    async with asyncio.TaskGroup() as group:
        await asyncio.start_server(Proxy(upstream).connected, config.host, config.port)
        group.create_task(Admin(upstream, folder).serve_for_ever())
        for index in range(len(upstream.seats)):
            group.create_task(check_for_ever(upstream, index))


def main(arguments: list[str]) -> int:
    """Run the balancer of the folder that is named."""
    folder = Path(arguments[0])
    config = BalancerConfig.load(folder / "lab.json")
    end_with(Path(config.leash))
    asyncio.run(run(config, folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
