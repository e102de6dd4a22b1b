"""HTTP clients: limits in time and size, where they connect, and what stays of the URL."""

import gzip
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rollsafe.drivers.balancers.deadline import dial_tcp
from rollsafe.drivers.http import ask_bounded, make_client, never_sent
from rollsafe.errors import InvalidInput, ShellError
from tests.contract.conftest import secret
from tests.contract.products import need


class Server:
    """Answers each connection's first request with `reply`, over TLS where a context is given; keeps what it heard."""

    def __init__(self, reply: bytes, context: ssl.SSLContext | None = None, drip_s: float = 0.0) -> None:
        self.heard: list[str] = []
        self.names: list[str | None] = []
        self._reply, self._drip_s, self._end = reply, drip_s, threading.Event()
        self._context = context
        if context is not None:
            context.sni_callback = lambda _sock, name, _context: self.names.append(name)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, plain: socket.socket) -> None:
        try:
            sock = self._context.wrap_socket(plain, server_side=True) if self._context else plain
            with sock:
                while data := sock.recv(65536):
                    self.heard.append(data.decode())
                    if not self._drip_s:
                        sock.sendall(self._reply)
                        continue
                    for byte in self._reply:
                        if self._end.wait(self._drip_s):
                            return
                        sock.sendall(bytes([byte]))
        except OSError:
            plain.close()

    def stop(self) -> None:
        self._end.set()
        self._server.close()


def reply(body: bytes, more: str = "", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


@pytest.fixture
def serve() -> Iterator[object]:
    started: list[Server] = []

    def start(*args: object, **more: object) -> Server:
        started.append(Server(*args, **more))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=lb.example.com"
    more = ["-addext", "subjectAltName=DNS:lb.example.com", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([need("openssl", "openssl"), *made.split(), *more], check=True, capture_output=True, timeout=20)
    return key, cert


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    return context


def test_an_answer_comes_whole_and_the_environment_is_not_asked(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server = serve(reply(b"hello", "X-Node: n1\r\n"))
    with make_client(timeout_s=2, tls=False) as client:
        answer = ask_bounded(client, "GET", f"http://127.0.0.1:{server.port}/a", headers={"X-Asked": "yes"})
    assert (answer.status, answer.text, answer.truncated, answer.headers["x-node"]) == (200, "hello", False, "n1")
    assert "x-asked: yes" in server.heard[0].lower()


def test_an_answer_that_drips_ends_at_the_total_limit(serve) -> None:
    server = serve(reply(b"x" * 1000), drip_s=0.02)
    began = time.monotonic()
    with make_client(timeout_s=0.4, tls=False) as client, pytest.raises(httpx.ReadTimeout, match=r"0\.4 s"):
        ask_bounded(client, "GET", f"http://127.0.0.1:{server.port}/")
    assert time.monotonic() - began < 0.8


def test_one_request_may_have_less_time_than_its_client(serve) -> None:
    server = serve(reply(b"x" * 1000), drip_s=0.02)
    began = time.monotonic()
    with make_client(timeout_s=9, tls=False) as client, pytest.raises(httpx.ReadTimeout):
        ask_bounded(client, "GET", f"http://127.0.0.1:{server.port}/", timeout_s=0.3)
    assert time.monotonic() - began < 0.8


def test_a_limit_of_one_request_does_not_reach_the_next(serve) -> None:
    server = serve(reply(b"ok"))
    with make_client(timeout_s=0.3, tls=False) as client:
        for _ in range(4):
            assert ask_bounded(client, "GET", f"http://127.0.0.1:{server.port}/").text == "ok"
            time.sleep(0.15)
    assert len(server.heard) == 4


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_answer_is_cut_at_the_limit_also_when_it_came_small(serve, packed: bool) -> None:
    body = gzip.compress(b"a" * 3_000_000) if packed else b"a" * 3_000_000
    server = serve(reply(body, "Content-Encoding: gzip\r\n" if packed else ""))
    with make_client(timeout_s=3, tls=False) as client:
        answer = ask_bounded(client, "GET", f"http://127.0.0.1:{server.port}/", limit=1000)
    assert (answer.body, answer.truncated) == (b"a" * 1000, True)


def test_an_encoding_that_lies_is_an_http_error(serve) -> None:
    server = serve(reply(b"not gzip", "Content-Encoding: gzip\r\n"))
    with make_client(timeout_s=2, tls=False) as client, pytest.raises(httpx.HTTPError, match="Content-Encoding"):
        ask_bounded(client, "GET", f"http://127.0.0.1:{server.port}/")


def test_connect_to_changes_the_address_only(serve, tls: ssl.SSLContext, certificate: tuple[Path, Path]) -> None:
    server = serve(reply(b"ok"), tls)
    there = ("127.0.0.1", server.port)
    with make_client(timeout_s=2, tls=True, ca_file=str(certificate[1]), connect_to=there) as client:
        assert ask_bounded(client, "GET", "https://lb.example.com/x").text == "ok"
        assert server.names == ["lb.example.com"]
        assert "host: lb.example.com\r\n" in server.heard[0].lower()
        with pytest.raises(httpx.ConnectError, match=r"other\.example\.com"):
            ask_bounded(client, "GET", "https://other.example.com/")
    with make_client(timeout_s=2, tls=True, connect_to=there) as client, pytest.raises(httpx.ConnectError) as caught:
        ask_bounded(client, "GET", "https://lb.example.com/")
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)
    assert never_sent(caught.value)


def test_over_tls_too_an_answer_that_drips_ends_in_time(
    serve, tls: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    server, began = serve(reply(b"x" * 1000), tls, drip_s=0.02), time.monotonic()
    there = ("127.0.0.1", server.port)
    with (
        make_client(timeout_s=1, tls=True, ca_file=str(certificate[1]), connect_to=there) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        ask_bounded(client, "GET", "https://lb.example.com/")
    assert time.monotonic() - began < 5.0  # the whole of it drips for 20 s


def test_a_tls_handshake_that_hangs_ends_in_time(certificate: tuple[Path, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the hello, and says nothing
        there = silent.getsockname()
        with (
            make_client(timeout_s=0.5, tls=True, ca_file=str(certificate[1]), connect_to=there) as client,
            pytest.raises(httpx.ConnectTimeout),
        ):
            ask_bounded(client, "GET", "https://lb.example.com/")


def test_over_tls_an_answer_that_is_cut_without_a_goodbye_is_an_error(
    tls: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    def cut(listener: socket.socket) -> None:
        plain, _ = listener.accept()
        with tls.wrap_socket(plain, server_side=True) as sock:
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nhalf of what it wan")  # closed without close_notify

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=cut, args=(listener,), daemon=True)
        thread.start()
        there = listener.getsockname()
        with (
            make_client(timeout_s=5, tls=True, ca_file=str(certificate[1]), connect_to=there) as client,
            pytest.raises(httpx.ReadError),
        ):
            ask_bounded(client, "GET", "https://lb.example.com/")
        thread.join(5)


class Tunnel:
    """A connection that is no real socket, as a channel through SSH is none."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.settimeout, self.sendall, self.recv, self.close = sock.settimeout, sock.sendall, sock.recv, sock.close


def test_tls_goes_through_a_tunnel_that_is_no_socket(serve, tls, certificate: tuple[Path, Path]) -> None:
    server = serve(reply(b"y" * 100_000), tls)
    asked: list[tuple[str, int]] = []

    def dial(host: str, port: int, timeout_s: float) -> Tunnel:
        asked.append((host, port))
        return Tunnel(dial_tcp("127.0.0.1", server.port, timeout_s))

    with make_client(timeout_s=3, tls=True, ca_file=str(certificate[1]), dial=dial) as client:
        assert len(ask_bounded(client, "GET", "https://lb.example.com:8443/").body) == 100_000
    assert asked == [("lb.example.com", 8443)]


def test_a_tunnel_that_is_refused_is_a_connect_error() -> None:
    def dial(host: str, port: int, timeout_s: float) -> Tunnel:
        raise ShellError(f"bastion: no connection to {host}:{port}")

    with make_client(timeout_s=1, tls=False, dial=dial) as client, pytest.raises(httpx.ConnectError, match="bastion"):
        ask_bounded(client, "GET", "http://10.0.0.1/")


def test_a_proxy_is_used_where_it_is_told(serve) -> None:
    proxy = serve(reply(b"by proxy"))
    with make_client(timeout_s=2, tls=False, proxy=f"http://me:pw@127.0.0.1:{proxy.port}") as client:
        assert ask_bounded(client, "GET", "http://scim.example.com/Users").text == "by proxy"
    assert proxy.heard[0].startswith("GET http://scim.example.com/Users HTTP/1.1")
    assert "proxy-authorization: basic" in proxy.heard[0].lower()
    with pytest.raises(InvalidInput, match="proxies"):
        make_client(timeout_s=2, tls=False, proxy="socks5://127.0.0.1:1")


def test_basic_auth_is_sent_and_never_shown(serve) -> None:
    server = serve(reply(b"ok"))
    with make_client(timeout_s=2, tls=False, username="admin", password=secret("pw")) as client:
        ask_bounded(client, "GET", f"http://127.0.0.1:{server.port}/")
        assert "pw" not in repr(client.auth)
    assert "authorization: Basic YWRtaW46cHc=".lower() in server.heard[0].lower()


def test_without_keepalive_each_request_has_a_connection_of_its_own(serve) -> None:
    server = serve(reply(b"ok"))
    dialled: list[int] = []

    def dial(host: str, port: int, timeout_s: float) -> socket.socket:
        dialled.append(port)
        return dial_tcp(host, port, timeout_s)

    for keepalive, expected in ((True, 1), (False, 3)):
        dialled.clear()
        with make_client(timeout_s=2, tls=False, dial=dial, keepalive=keepalive) as client:
            for _ in range(3):
                ask_bounded(client, "GET", f"http://127.0.0.1:{server.port}/")
        assert len(dialled) == expected


def test_plain_http_builds_no_tls_context(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(reply(b"ok"))
    monkeypatch.setattr(ssl.SSLContext, "__new__", lambda *_args, **_more: pytest.fail("a TLS context was built"))
    with make_client(timeout_s=2, tls=False) as client:
        assert ask_bounded(client, "GET", f"http://127.0.0.1:{server.port}/").status == 200
