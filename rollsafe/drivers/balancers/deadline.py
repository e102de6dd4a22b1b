"""One limit for a whole call, however many small waits it is made of. Times are seconds."""

import socket
import time
from collections.abc import Callable
from typing import Protocol

from rollsafe.drivers.resolving import resolve


class SocketLike(Protocol):
    """What a driver needs of a connection: a real socket has it, and a channel through SSH has it too."""

    def settimeout(self, timeout: float | None, /) -> None:
        """The limit of the next send or receive."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of it."""

    def recv(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""

    def close(self) -> None:
        """Let go of it."""


Dial = Callable[[str, int, float], SocketLike]


class Deadline:
    """A moment on the monotonic clock. A real socket needs real time: a simulated world has no sockets."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds  # noqa: TID251 - a limit of a real socket, never a wait of the run

    def left(self) -> float:
        """Seconds left, more than 0. Raises TimeoutError when there are none."""
        left = self._end - time.monotonic()  # noqa: TID251 - a limit of a real socket, never a wait of the run
        if left <= 0:
            raise TimeoutError(f"no answer within {self.seconds:g} s")
        return left


def dial_tcp(host: str, port: int, timeout_s: float) -> socket.socket:
    """Connect over TCP, the name and all its addresses within `timeout_s` together. Raises OSError."""
    deadline = Deadline(timeout_s)
    failure: OSError | None = None
    for family, kind, proto, _, address in resolve(host, port, deadline.left()):
        sock = socket.socket(family, kind, proto)
        try:
            sock.settimeout(deadline.left())
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure or OSError(f"{host} has no address")


def dial_unix(path: str, timeout_s: float) -> socket.socket:
    """Connect to a Unix socket of this machine. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock
