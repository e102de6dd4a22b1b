"""One node as a program of its own: a web port and a SCIM port in one process, as a Data Center product has them.

    python node.py FOLDER

FOLDER/settings.json says where to listen. FOLDER/faults.json may hold, at any moment:

    start_s      seconds of STARTING (web answers, and says so); default from the settings
    never_up     true: STARTING for ever
    dead         true: ends right after it started
    scim         "refused" | "tomcat": the SCIM port never opens, or answers as a bare Tomcat does
    flap_s       seconds: healthy and unhealthy in turns, each so long

FOLDER/next.json, where it is there, becomes faults.json when the node starts: a fault that comes with a restart.

The process writes FOLDER/identity when it starts. When it is told to stop (SIGTERM) it breaks off what is in flight,
as a stopped JVM does, and appends to FOLDER/report.jsonl how many requests that cut.
"""

import asyncio
import json
import os
import signal
import sys
import time
import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SCIM_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
SCIM_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
SCIM_TYPE = "application/scim+json"


@dataclass
class Node:
    """The state of one incarnation."""

    folder: Path
    name: str
    tenant: str
    token: str
    default_start_s: float
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)
    began: float = field(default_factory=time.monotonic)
    flight: dict[int, str] = field(default_factory=dict)
    served: int = 0
    faults_read: tuple[int, dict] = (0, {})

    def faults(self) -> dict:
        """The control file as it is now; the last one that could be read while it is being written."""
        try:
            stamp = (self.folder / "faults.json").stat().st_mtime_ns
            if stamp != self.faults_read[0]:
                self.faults_read = (stamp, json.loads((self.folder / "faults.json").read_text()))
        except FileNotFoundError:
            self.faults_read = (0, {})
        except ValueError:
            pass
        return self.faults_read[1]

    def state(self) -> str:
        """The product's own word."""
        faults = self.faults()
        age = time.monotonic() - self.began
        if faults.get("never_up") or age < faults.get("start_s", self.default_start_s):
            return "STARTING"
        flap = faults.get("flap_s")
        return "ERROR" if flap and int(age / flap) % 2 else "RUNNING"

    def tell(self, event: str, **more: object) -> None:
        """One line of the report, on disk at once."""
        line = {"time": time.time(), "event": event, "identity": self.identity, "pid": os.getpid(), **more}
        with (self.folder / "report.jsonl").open("a") as report:
            report.write(json.dumps(line) + "\n")


class Server(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time: as much as a balancer needs."""

    def __init__(self, node: Node, service: str) -> None:
        self.node, self.service = node, service
        self.buffer = b""
        self.task: asyncio.Task | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.task is None or self.task.done():
            self.task = asyncio.ensure_future(self.serve())

    async def serve(self) -> None:
        """Answer what is in the buffer, request by request."""
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            body, self.buffer = rest[:length], rest[length:]
            method, target, _ = lines[0].split(" ", 2)
            keep = headers.get("connection", "").lower() != "close"
            await self.answer(method, target, headers, body, keep)
            if not keep:
                self.transport.close()
                return

    async def answer(self, method: str, target: str, headers: dict[str, str], body: bytes, keep: bool) -> None:
        node, url = self.node, urlsplit(target)
        node.flight[id(self)] = f"{self.service} {method} {target}"
        try:
            if self.service == "web":
                status, kind, text = await web(node, url.path, parse_qs(url.query))
            else:
                status, kind, text = await scim(node, method, url.path, parse_qs(url.query), headers, body)
        finally:
            node.flight.pop(id(self), None)
        node.served += 1
        payload = text.encode()
        self.transport.write(
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\nX-Node: {node.name}\r\n"
            f"Content-Length: {len(payload)}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode()
            + payload
        )


async def web(node: Node, path: str, query: dict[str, list[str]]) -> tuple[int, str, str]:
    """/status as Jira has it: 200 with STARTING, too. Everything else is a page, after `ms` milliseconds."""
    state = node.state()
    if path.endswith("/status"):
        status = 200 if state in ("STARTING", "RUNNING") else 500
        return status, "application/json", json.dumps({"state": state})
    if state != "RUNNING":
        return 503, "text/plain", f"{node.name} is {state}\n"
    await asyncio.sleep(float(query.get("ms", ["0"])[0]) / 1000)
    return 200, "text/plain", f"{node.name}\n"


async def scim(
    node: Node, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
) -> tuple[int, str, str]:
    """SCIM as RFC 7644 says: 401 as a SCIM error without the token, a list with it; POST creates, after `ms`."""
    if node.faults().get("scim") == "tomcat":
        return 404, "text/html", "<html><body><h1>HTTP Status 404 - Not Found</h1></body></html>"
    if not path.startswith(f"/scim/{node.tenant}/v2/"):
        return 404, SCIM_TYPE, json.dumps({"schemas": [SCIM_ERROR], "status": "404", "detail": "Unknown tenant"})
    if headers.get("authorization") != f"Bearer {node.token}":
        detail = "Not authorized for this operation"
        return 401, SCIM_TYPE, json.dumps({"schemas": [SCIM_ERROR], "status": "401", "detail": detail})
    await asyncio.sleep(float(query.get("ms", ["0"])[0]) / 1000)
    if method == "POST":
        return 201, SCIM_TYPE, body.decode() or "{}"
    return 200, SCIM_TYPE, json.dumps({"schemas": [SCIM_LIST], "totalResults": 3, "Resources": []})


async def open_scim(node: Node, settings: dict) -> None:
    """The add-on comes after the web port, and may never come."""
    loop = asyncio.get_running_loop()
    while node.faults().get("scim") == "refused" or node.state() == "STARTING":
        await asyncio.sleep(0.02)
    server = await loop.create_server(lambda: Server(node, "scim"), settings["host"], settings["scim"], backlog=128)
    node.tell("serving")
    while node.faults().get("scim") != "refused":
        await asyncio.sleep(0.05)
    server.close()


async def main(folder: Path) -> None:
    """Serve until SIGTERM."""
    settings = json.loads((folder / "settings.json").read_text())
    if (folder / "next.json").exists():
        (folder / "next.json").replace(folder / "faults.json")
    node = Node(folder, settings["name"], settings["tenant"], settings["token"], settings["start_s"])
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    (folder / "pid").write_text(f"{os.getpid()}\n")
    (folder / "identity").write_text(f"{node.identity}\n")
    node.tell("started")
    if node.faults().get("dead"):
        node.tell("died")
        return
    server = await loop.create_server(lambda: Server(node, "web"), settings["host"], settings["web"], backlog=128)
    opening = asyncio.ensure_future(open_scim(node, settings))
    await stopped.wait()
    node.tell("stopped", cut=sorted(node.flight.values()), served=node.served)
    server.close()
    opening.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
    os._exit(0)  # what is in flight is cut: a stopped JVM waits for nobody
