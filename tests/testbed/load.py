"""The clients: an identity provider that writes over SCIM, and people with sticky sessions. A program of its own.

    python load.py SETTINGS RESULTS

Each request becomes a line of RESULTS. On SIGTERM no new request is begun, those in flight are ended, and so is this.
"""

import asyncio
import itertools
import json
import signal
import sys
import time
from pathlib import Path


class Load:
    """All clients together."""

    def __init__(self, settings: dict, results: Path) -> None:
        self.settings = settings
        self.out = results.open("a", buffering=1)
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Until SIGTERM."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stopping.set)
        clients = [self.identity_provider(i) for i in range(self.settings["scim_clients"])]
        clients += [self.person(i) for i in range(self.settings["web_clients"])]
        await asyncio.gather(*clients)

    async def identity_provider(self, number: int) -> None:
        """Creates users one after another, over new connections, taking the balancers in turn."""
        for count, address in zip(itertools.count(), itertools.cycle(self.settings["scim"]), strict=False):
            if await self.pause(self.settings["scim_pause_s"]):
                return
            path = f"/scim/{self.settings['tenant']}/v2/Users?ms={self.settings['scim_ms']}"
            body = json.dumps({"userName": f"u{number}-{count}"})
            await self.request(
                "scim", address, "POST", path, f"Authorization: Bearer {self.settings['token']}\r\n", body
            )

    async def person(self, number: int) -> None:
        """Clicks with a session cookie; each sixth click is a slow one."""
        cookie = ""
        for count, address in zip(itertools.count(number), itertools.cycle(self.settings["web"]), strict=False):
            if await self.pause(self.settings["web_pause_s"]):
                return
            ms = self.settings["slow_ms"] if count % 6 == 0 else self.settings["web_ms"]
            fresh = await self.request("web", address, "GET", f"/page?ms={ms}", cookie)
            cookie = (fresh or cookie) if self.settings["sticky"] else ""

    async def pause(self, seconds: float) -> bool:
        """Pass the time; True when it is time to go."""
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def request(self, service: str, address: str, method: str, path: str, headers: str, body: str = "") -> str:
        """One request over a connection of its own; returns the Cookie header line where one was set."""
        began, status, node, cookie, error = time.time(), 0, "", "", ""
        writer = None
        try:
            async with asyncio.timeout(30):
                host, _, port = address.partition(":")
                reader, writer = await asyncio.open_connection(host, int(port))
                head = f"{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                answer = (await reader.read()).decode("latin-1")
            lines = answer.partition("\r\n\r\n")[0].split("\r\n")
            status = int(lines[0].split()[1]) if len(lines[0].split()) > 1 else 0
            for name, _, value in (line.partition(":") for line in lines[1:]):
                if name.lower() == "x-node":
                    node = value.strip()
                if name.lower() == "set-cookie":
                    cookie = f"Cookie: {value.strip().split(';')[0]}\r\n"
        except (OSError, TimeoutError, ValueError) as problem:
            error = f"{type(problem).__name__}: {problem}"
        finally:
            if writer is not None:
                writer.close()
        good = status == (201 if service == "scim" else 200)
        line = {"time": began, "took": round(time.time() - began, 4), "service": service, "status": status}
        self.out.write(json.dumps({**line, "node": node, "good": good, "error": error, "path": path}) + "\n")
        return cookie


if __name__ == "__main__":
    asyncio.run(Load(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])).run())
