"""A web server on loopback that answers as it is told, and a clock."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest

from rollsafe.clock import SystemClock
from rollsafe.probes.health import dial_directly

Reply = Callable[[socket.socket, bytes], None]


def respond(status: int, body: bytes | str = b"", *headers: str) -> Reply:
    raw = body.encode() if isinstance(body, str) else body

    def reply(connection: socket.socket, _request: bytes) -> None:
        head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(raw)}", *headers]
        connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + raw)

    return reply


class Server:
    """Counts connections, keeps requests, and answers with `reply`."""

    def __init__(self) -> None:
        self.reply: Reply = respond(200)
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5)
            request = b""
            while b"\r\n\r\n" not in request:
                more = connection.recv(4096)
                if not more:
                    return
                request += more
            self.requests.append(request)
            self.reply(connection, request)

    def stop(self) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def transport() -> Iterator[httpx.BaseTransport]:
    with httpx.HTTPTransport() as transport:
        yield transport


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def dial() -> Callable[[str, int, float], socket.socket]:
    return dial_directly


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
