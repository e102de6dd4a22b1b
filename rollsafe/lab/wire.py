"""HTTP/1.1 on asyncio streams, as little of it as the lab needs: messages with Content-Length, keep-alive.

RFC 9112; chunked bodies are not understood, and refused with 501.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

MAX_BODY = 1_000_000  # bytes
IDLE_S = 120.0  # how long a connection may wait for its next request
REASONS = {
    200: "OK",
    201: "Created",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class BadMessage(Exception):
    """The other side sent what is no message of ours."""


@dataclass
class Message:
    """A request or a response. Header names keep the case in which they came."""

    start: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first header of that name (in any case), or an empty text."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def without(self, *names: str) -> list[tuple[str, str]]:
        """The headers but those of these lower-case names."""
        return [(key, value) for key, value in self.headers if key.lower() not in names]

    def cookies(self) -> dict[str, str]:
        """The cookies of a request."""
        pairs = (part.strip().partition("=") for part in self.header("Cookie").split(";") if "=" in part)
        return {name: value for name, _, value in pairs}

    @property
    def method(self) -> str:
        """GET, POST …"""
        return self.start.split(" ", 1)[0]

    @property
    def target(self) -> str:
        """The path and query of a request."""
        return self.start.split(" ")[1]

    @property
    def status(self) -> int:
        """The status of a response."""
        return int(self.start.split(" ")[1])

    def encode(self, head_only: bool = False) -> bytes:
        """As it goes over the wire; Content-Length is made from the body, also where only the head is sent."""
        lines = [self.start, *(f"{key}: {value}" for key, value in self.without("content-length"))]
        head = "\r\n".join([*lines, f"content-length: {len(self.body)}", "", ""]).encode("latin-1")
        return head if head_only else head + self.body


def response(status: int, body: bytes, *headers: tuple[str, str]) -> Message:
    """An answer."""
    return Message(f"HTTP/1.1 {status} {REASONS[status]}", list(headers), body)


async def read_message(reader: asyncio.StreamReader) -> Message | None:
    """The next message; None where the other side has closed between two.

    Raises BadMessage for what is no message, IncompleteReadError where one breaks off, and OSError.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise
    except asyncio.LimitOverrunError as error:
        raise BadMessage("the head of a message is too long") from error
    start, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    message = Message(start, [(key, value.strip()) for key, _, value in pairs])
    if start.count(" ") < 2 or message.header("Transfer-Encoding"):
        raise BadMessage(f"not understood here: {start[:60]!r}")
    length = message.header("Content-Length") or "0"
    if not length.isdigit() or int(length) > MAX_BODY:
        raise BadMessage(f"a body of {length[:20]} bytes is not taken here")
    message.body = await reader.readexactly(int(length))
    return message


Answer = Callable[[Message], Awaitable[Message]]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Answer requests on one connection until it ends."""
    try:
        while request := await asyncio.wait_for(read_message(reader), IDLE_S):
            reply = await answer(request)
            last = request.header("Connection").lower() == "close" or request.start.endswith("HTTP/1.0")
            if last:
                reply.headers.append(("Connection", "close"))
            writer.write(reply.encode(head_only=request.method == "HEAD"))
            await writer.drain()
            if last:
                return
    except BadMessage:
        writer.write(response(501, b"", ("Connection", "close")).encode())
    except (OSError, EOFError, TimeoutError):
        pass  # the other side went away: nobody is left to be told
    finally:
        writer.close()
