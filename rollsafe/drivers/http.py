"""HTTP clients with a limit on everything: time in all, size of an answer, and where they connect to.

A client can be led through a tunnel or to a fixed address, and still checks the certificate, and names the host, of
the URL. Proxy variables of the environment are never obeyed.
"""

import select
import socket
import ssl
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar

import httpcore
import httpx

from rollsafe.drivers.balancers.deadline import Deadline, Dial, SocketLike, dial_tcp
from rollsafe.errors import InvalidInput, ShellError
from rollsafe.model.secret import Secret, keep_hidden

BODY_LIMIT = 1024 * 1024  # bytes
_TLS_RECORD = 16384 + 512

T = TypeVar("T")

# the limit of the request that this thread makes just now; set when it is sent, looked at in each read of its answer
_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read whole. `truncated`: the body was longer than the limit, and its rest was left unread."""

    status: int
    headers: httpx.Headers
    body: bytes
    truncated: bool = False

    @property
    def text(self) -> str:
        """The body as text; bytes that are none become a sign that says so."""
        return self.body.decode("utf-8", errors="replace")


def make_client(
    *,
    timeout_s: float,
    username: str | None = None,
    password: Secret | None = None,
    ca_file: str | None = None,
    dial: Dial | None = None,
    connect_to: tuple[str, int] | None = None,
    proxy: str | None = None,
    tls: bool,
    keepalive: bool = True,
) -> httpx.Client:
    """A client whose every request ends within `timeout_s` in all, however slowly an answer drips (make_transport)."""
    transport = make_transport(
        timeout_s=timeout_s,
        ca_file=ca_file,
        dial=dial,
        connect_to=connect_to,
        proxy=proxy,
        tls=tls,
        keepalive=keepalive,
    )
    auth = _basic_auth(username, password) if username else None
    return httpx.Client(
        transport=transport,
        timeout=timeout_s,
        auth=auth,
        headers={"Accept-Encoding": "identity", "User-Agent": "rollsafe"},
        trust_env=False,
        follow_redirects=False,
    )


def _basic_auth(username: str, password: Secret | None) -> httpx.BasicAuth:
    """The login, which is a secret also as it is sent: whoever reads it reads the password."""
    word = password.reveal() if password else ""
    if word:
        keep_hidden(b64encode(f"{username}:{word}".encode()).decode())
    return httpx.BasicAuth(username, word)


def make_transport(
    *,
    timeout_s: float,
    ca_file: str | None = None,
    dial: Dial | None = None,
    connect_to: tuple[str, int] | None = None,
    proxy: str | None = None,
    tls: bool,
    keepalive: bool = True,
) -> httpx.BaseTransport:
    """What sends requests: each ends within `timeout_s` in all, or within the request's own limit.

    `dial` connects in place of TCP (a tunnel); `connect_to` replaces the address only: SNI, the certificate's check
    and Host stay those of the URL. `tls=False` builds no SSL context (it costs time and memory). Safe to share between
    threads. Raises InvalidInput for a CA file that can't be read or a password that leads nowhere.
    """
    context = _tls_context(ca_file) if tls else None
    backend = _Backend(dial or dial_tcp, connect_to)
    idle = 4 if keepalive else 0
    if proxy is None:
        pool = httpcore.ConnectionPool(context, network_backend=backend, max_keepalive_connections=idle)
    else:
        pool = _proxy_pool(proxy, context, backend, idle)
    return _Transport(pool, timeout_s)


def ask_bounded(
    client: httpx.Client,
    method: str,
    url: str,
    *,
    limit: int = BODY_LIMIT,
    headers: Mapping[str, str] | None = None,
    data: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> Answer:
    """One request, its answer read whole up to `limit` bytes. Raises httpx.HTTPError.

    `timeout_s` replaces the client's own limit for the whole of this request.
    """
    timeout = httpx.USE_CLIENT_DEFAULT if timeout_s is None else timeout_s
    with client.stream(method, url, headers=headers, data=data, timeout=timeout) as response:
        body, truncated = _read_bounded(response, limit)
        return Answer(response.status_code, response.headers, body, truncated)


def never_sent(error: httpx.HTTPError) -> bool:
    """Did the request surely not reach the server?"""
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol)


def _read_bounded(response: httpx.Response, limit: int) -> tuple[bytes, bool]:
    """Some servers compress though `identity` was asked for; what is unpacked counts, so no small bomb grows large."""
    packed = response.headers.get("content-encoding", "identity").lower() in ("gzip", "deflate")
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if packed else None
    body = bytearray()
    for chunk in response.iter_raw():
        try:
            body += unpack.decompress(chunk, limit + 1 - len(body)) if unpack else chunk
        except zlib.error as error:
            raise httpx.DecodingError(f"the answer is not what its Content-Encoding says: {error}") from error
        if len(body) > limit:
            return bytes(body[:limit]), True
    return bytes(body), False


@lru_cache(maxsize=32)
def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """One context for each CA file: building one costs tens of milliseconds."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one, too
        raise InvalidInput([f"ca_file: {ca_file}: no certificates could be read from it: {error}"]) from error


def _proxy_pool(proxy: str, context: ssl.SSLContext | None, backend: "_Backend", idle: int) -> httpcore.ConnectionPool:
    url = httpx.URL(proxy)
    if url.scheme not in ("http", "https"):
        raise InvalidInput([f"proxy: {url.scheme}://{url.host}: only http:// and https:// proxies are known"])
    auth = (url.username, url.password) if url.username else None
    return httpcore.HTTPProxy(
        str(url.copy_with(username="", password="")),
        proxy_auth=auth,
        ssl_context=context,
        proxy_ssl_context=_tls_context(None) if url.scheme == "https" else None,
        network_backend=backend,
        max_keepalive_connections=idle,
    )


class _Transport(httpx.HTTPTransport):
    """httpx's own transport on a pool of our making: it has no public way to say where to connect."""

    def __init__(self, pool: httpcore.ConnectionPool, timeout_s: float) -> None:
        # no super().__init__: it would build a pool and an SSL context only to throw them away
        self._pool = pool
        self._timeout_s = timeout_s

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        own = request.extensions.get("timeout", {}).get("read")
        _deadline.set(Deadline(own or self._timeout_s))
        return super().handle_request(request)


class _Backend(httpcore.NetworkBackend):
    """Makes httpcore's connections."""

    def __init__(self, dial: Dial, connect_to: tuple[str, int] | None) -> None:
        self._dial = dial
        self._connect_to = connect_to

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - httpcore's signature
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - httpcore's signature
    ) -> httpcore.NetworkStream:
        to_host, to_port = self._connect_to or (host, port)
        return _Stream(_connecting(lambda: self._dial(to_host, to_port, _left(timeout))))


class _Stream(httpcore.NetworkStream):
    """A connection on which every read and write looks at the request's deadline."""

    def __init__(self, sock: SocketLike) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return _reading(lambda: self._receive(max_bytes, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            _writing(lambda: self._send(buffer, timeout))

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        sock = self._sock
        try:
            if isinstance(sock, socket.socket):
                return _connecting(lambda: _TlsSocket(sock, ssl_context, server_hostname, timeout))
            return _connecting(lambda: _TlsStream(sock, ssl_context, server_hostname, timeout))
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        """`is_readable`: an idle connection on which something came was closed by the server."""
        if info == "socket":
            return self._sock
        return self._readable() if info == "is_readable" else None

    def _receive(self, max_bytes: int, timeout: float | None) -> bytes:
        self._sock.settimeout(_left(timeout))
        return self._sock.recv(max_bytes)

    def _send(self, buffer: bytes, timeout: float | None) -> None:
        self._sock.settimeout(_left(timeout))
        self._sock.sendall(buffer)

    def _readable(self) -> bool:
        ready = getattr(self._sock, "recv_ready", None)  # a channel through SSH
        if ready is not None:
            return bool(ready() or getattr(self._sock, "closed", False) or getattr(self._sock, "eof_received", False))
        fileno: Callable[[], int] | None = getattr(self._sock, "fileno", None)
        if fileno is None or fileno() < 0:
            return True
        poll = select.poll()
        poll.register(fileno(), select.POLLIN)
        return bool(poll.poll(0))


class _TlsSocket(_Stream):
    """TLS on a real socket: the ssl module does it at two thirds of the cost, for probes ask ten times a second."""

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, server_hostname: str | None, timeout: float | None
    ) -> None:
        sock.settimeout(_left(timeout))  # of the whole handshake
        self._tls = context.wrap_socket(sock, server_hostname=server_hostname, suppress_ragged_eofs=False)
        super().__init__(self._tls)

    def get_extra_info(self, info: str) -> Any:
        return self._tls if info == "ssl_object" else super().get_extra_info(info)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """TLS to the server inside TLS to a proxy."""
        return _connecting(lambda: _TlsStream(_Inner(self), ssl_context, server_hostname, timeout))


class _TlsStream(_Stream):
    """TLS in memory, over anything that sends and receives: the ssl module wraps real sockets only."""

    def __init__(
        self, sock: SocketLike, context: ssl.SSLContext, server_hostname: str | None, timeout: float | None
    ) -> None:
        super().__init__(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._turn(self._tls.do_handshake, timeout)

    def get_extra_info(self, info: str) -> Any:
        return self._tls if info == "ssl_object" else super().get_extra_info(info)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """TLS to the server inside TLS to a proxy."""
        return _connecting(lambda: _TlsStream(_Inner(self), ssl_context, server_hostname, timeout))

    def _receive(self, max_bytes: int, timeout: float | None) -> bytes:
        try:
            return self._turn(partial(self._tls.read, max_bytes), timeout)
        except ssl.SSLZeroReturnError:  # the peer said goodbye
            return b""

    def _send(self, buffer: bytes, timeout: float | None) -> None:
        while buffer:
            sent = self._turn(partial(self._tls.write, buffer), timeout)
            buffer = buffer[sent:]

    def _turn(self, step: Callable[[], T], timeout: float | None) -> T:
        """One step of TLS, with the bytes that it needs and makes. Each turn waits within the deadline."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush(timeout)
                self._sock.settimeout(_left(timeout))
                data = self._sock.recv(_TLS_RECORD)
                self._incoming.write(data) if data else self._incoming.write_eof()
            else:
                self._flush(timeout)
                return result

    def _flush(self, timeout: float | None) -> None:
        if self._outgoing.pending:
            self._sock.settimeout(_left(timeout))
            self._sock.sendall(self._outgoing.read())


class _Inner:
    """A TLS stream that looks like a socket, for TLS inside TLS."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._timeout: float | None = None

    def settimeout(self, timeout: float | None, /) -> None:
        self._timeout = timeout

    def sendall(self, data: bytes, /) -> None:
        self._stream.write(data, self._timeout)

    def recv(self, size: int, /) -> bytes:
        return self._stream.read(size, self._timeout)

    def close(self) -> None:
        self._stream.close()


def _left(timeout: float | None) -> float:
    """Seconds for the next wait: httpcore's own limit or what the whole request has left, the lesser of them."""
    deadline = _deadline.get()
    left = deadline.left() if deadline else 60.0  # outside of a request only a goodbye is said
    return left if timeout is None else min(left, timeout)


def _translated(step: Callable[[], T], late: type[Exception], broken: type[Exception]) -> T:
    try:
        return step()
    except TimeoutError as error:
        deadline = _deadline.get()
        raise late(f"no whole answer within {deadline.seconds:g} s" if deadline else str(error)) from error
    except (OSError, EOFError, ShellError) as error:  # ShellError: the tunnel
        raise broken(str(error) or type(error).__name__) from error


def _connecting(step: Callable[[], T]) -> T:
    return _translated(step, httpcore.ConnectTimeout, httpcore.ConnectError)


def _reading(step: Callable[[], T]) -> T:
    return _translated(step, httpcore.ReadTimeout, httpcore.ReadError)


def _writing(step: Callable[[], T]) -> T:
    return _translated(step, httpcore.WriteTimeout, httpcore.WriteError)
