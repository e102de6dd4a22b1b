"""One node of the lab: a JVM's worth of Jira and Kantega SSO in one process, started as `python -m rollsafe.lab.node`.

Both ports belong to this process, so that a restart takes both down, and either can come up without the other. It stops
like a JVM that is not asked to be graceful: whatever is in flight is cut, and counted in `life.jsonl`.

The folder of the node holds `lab.json` (its settings), `node.pid` and `node.id` (there while it runs; each start writes
another identity), `fault` (read at a start that is not the first, and while running) and `life.jsonl`.
"""

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rollsafe.lab.leash import end_with
from rollsafe.lab.wire import Message, response, serve

FOR_EVER_S = 1e9
FLAP_S = 0.7  # how long a flapping node stays in one mood
SCIM_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"  # RFC 7644, section 3.12
SCIM_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"  # RFC 7644, section 3.4.2
SCIM_USER = "urn:ietf:params:scim:schemas:core:2.0:User"  # RFC 7643, section 4.1
JSON = ("Content-Type", "application/json;charset=UTF-8")
SCIM_JSON = ("Content-Type", "application/scim+json")


@dataclass(frozen=True)
class NodeSettings:
    """What `lab.json` says. Times are seconds from the start of the process or from the step before."""

    name: str
    host: str
    web_port: int
    scim_port: int
    tenant: str
    token: str
    leash: str
    web_opens_s: float = 0.5  # from the start: the port is closed
    running_s: float = 1.0  # from then: it answers STARTING
    scim_opens_s: float = 0.4  # from RUNNING on: only now the app behind SCIM is there


class Node:
    """The process: its state, its two ports, and what is in flight on them."""

    def __init__(self, settings: NodeSettings, folder: Path, *, first: bool) -> None:
        self.settings = settings
        self.folder = folder
        self.fault = "" if first else _read(folder / "fault")
        self.first = first
        self.state = "STARTING"
        self.in_flight = {"web": 0, "scim": 0}
        self.sessions: set[str] = set()
        self.users = 0
        self._header = ("X-ANODEID", settings.name)

    # --- its life ---

    async def live(self) -> None:
        """Start as slowly as a node does, then serve until the process is ended."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)
        identity = f"{secrets.token_hex(4)} {self.settings.name} pid {os.getpid()}"
        _write(self.folder / "node.pid", f"{os.getpid()}\n")
        _write(self.folder / "node.id", identity + "\n")
        self.record("started", identity=identity)
        wait = 0.0 if self.first else 1.0
        await asyncio.sleep(self.settings.web_opens_s * wait)
        await self._open("web", self.settings.web_port)
        await asyncio.sleep((FOR_EVER_S if self.fault == "node-never-up" else self.settings.running_s) * wait)
        self.state = "RUNNING"
        self.record("running")
        if self.fault == "flapping":
            asyncio.get_running_loop().create_task(self._flap()).add_done_callback(lambda _: self.stop())
        await asyncio.sleep((FOR_EVER_S if self.fault == "scim-dead" else self.settings.scim_opens_s) * wait)
        await self._open("scim", self.settings.scim_port)
        self.record("scim")
        await asyncio.sleep(FOR_EVER_S)

    def stop(self) -> None:
        """End now. What is in flight is cut."""
        self.record("stopped", cut=self.in_flight)
        for name in ("node.id", "node.pid"):  # the restart script waits for the pid's file to go
            (self.folder / name).unlink(missing_ok=True)
        os._exit(0)

    def record(self, event: str, **facts: Any) -> None:
        """One line of `life.jsonl`, with the wall time in seconds."""
        line = json.dumps({"at": time.time(), "node": self.settings.name, "event": event, **facts})
        with (self.folder / "life.jsonl").open("a") as life:
            life.write(line + "\n")

    async def _flap(self) -> None:
        while True:
            await asyncio.sleep(FLAP_S)
            self.state = "STARTING" if self.state == "RUNNING" else "RUNNING"

    async def _open(self, service: str, port: int) -> None:
        """Listen. The old process may hold the port for a moment yet."""
        answer = self.answer_web if service == "web" else self.answer_scim

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve(reader, writer, answer)

        deadline = time.monotonic() + 5
        while True:
            try:
                await asyncio.start_server(connected, self.settings.host, port)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)
            else:
                return

    # --- the web port ---

    async def answer_web(self, request: Message) -> Message:
        """`/status` as Jira answers it (200 while STARTING, too); anything else is a page of a session."""
        url = urlsplit(request.target)
        if url.path == "/status":
            return response(200, json.dumps({"state": self.state}).encode(), JSON, self._header)
        if self.state != "RUNNING":
            return response(503, b"Jira is starting.\n", self._header)
        headers = [self._header, ("Content-Type", "text/html")]
        session = request.cookies().get("JSESSIONID", "")
        if session not in self.sessions:  # another node's, or one from before the restart: logged in anew
            session = f"{self.settings.name}.{secrets.token_hex(8)}"
            self.sessions.add(session)
            headers.append(("Set-Cookie", f"JSESSIONID={session}; Path=/; HttpOnly"))
        await self._work("web", request)
        return response(200, f"<h1>{url.path} on {self.settings.name}</h1>\n".encode(), *headers)

    # --- the SCIM port ---

    async def answer_scim(self, request: Message) -> Message:
        """Kantega's SCIM: 401 with a SCIM error without the token, lists and slow creations with it."""
        url = urlsplit(request.target)
        base = f"/scim/{self.settings.tenant}/v2/"
        if not url.path.startswith(base):
            return self._scim_error(404, "Not found")
        if request.header("Authorization") != f"Bearer {self.settings.token}":
            return self._scim_error(401, "Not authorized for this operation")
        if url.path != base + "Users":
            return self._scim_error(404, "Not found")
        await self._work("scim", request)
        if request.method == "POST":
            return self._created(request.body)
        found = {
            "schemas": [SCIM_LIST],
            "totalResults": self.users,
            "startIndex": 1,
            "itemsPerPage": 0,
            "Resources": [],
        }
        return response(200, json.dumps(found).encode(), SCIM_JSON, self._header)

    def _created(self, body: bytes) -> Message:
        try:
            user = json.loads(body)["userName"]
        except (ValueError, KeyError, TypeError):
            return self._scim_error(400, "A user needs a userName")
        self.users += 1
        made = {"schemas": [SCIM_USER], "id": secrets.token_hex(8), "userName": user}
        return response(201, json.dumps(made).encode(), SCIM_JSON, self._header)

    def _scim_error(self, status: int, detail: str) -> Message:
        body = {"schemas": [SCIM_ERROR], "detail": detail, "status": str(status)}
        return response(status, json.dumps(body).encode(), SCIM_JSON, self._header)

    # --- both ---

    async def _work(self, service: str, request: Message) -> None:
        """Be in flight for as long as the request says (`ms=`): this is what a restart may cut.

        Only what came through a balancer is counted: a health check of the node itself is nobody's work.
        """
        wanted = parse_qs(urlsplit(request.target).query).get("ms", ["5"])[0]
        client = int(bool(request.header("X-Forwarded-For")))
        self.in_flight[service] += client
        try:
            await asyncio.sleep(int(wanted) / 1000 if wanted.isdigit() else 0)
        finally:
            self.in_flight[service] -= client


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.write_text(text)
    fresh.replace(path)


def main(arguments: list[str]) -> int:
    """Run the node of the folder that is named; `--first` starts it at once and without its fault."""
    folder = Path(arguments[0])
    settings = NodeSettings(**json.loads((folder / "lab.json").read_text()))
    end_with(Path(settings.leash))
    asyncio.run(Node(settings, folder, first="--first" in arguments).live())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
