"""Peers that hang, drip, lie, or break off: every driver ends in time, with an error that says so."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rollsafe.errors import BalancerError, Effect
from rollsafe.model.reading import AdminState, Found
from tests.contract.conftest import Stage, driver_of

Behaviour = Callable[[socket.socket, threading.Event], None]
STATE_HEAD = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_check_state"


class Peer:
    """A server on loopback that answers each connection with `behaviour`."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._end = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._behaviour(connection, self._end)

    def stop(self) -> None:
        self._end.set()
        self._server.close()


@pytest.fixture
def peer() -> Iterator[Callable[[Behaviour], Peer]]:
    started: list[Peer] = []

    def start(behaviour: Behaviour) -> Peer:
        started.append(Peer(behaviour))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def hang(_sock: socket.socket, end: threading.Event) -> None:
    end.wait(20)


def read_and_hang(sock: socket.socket, end: threading.Event) -> None:
    sock.recv(65536)
    end.wait(20)


def drip(text: bytes) -> Behaviour:
    """One byte every 50 ms: each read is in time, the whole never comes."""

    def behaviour(sock: socket.socket, end: threading.Event) -> None:
        sock.recv(65536)
        sock.sendall(text)
        while not end.wait(0.05):
            sock.sendall(b"x")

    return behaviour


def say(text: bytes) -> Behaviour:
    def behaviour(sock: socket.socket, _end: threading.Event) -> None:
        sock.recv(65536)
        sock.sendall(text)

    return behaviour


def flood(head: bytes) -> Behaviour:
    def behaviour(sock: socket.socket, end: threading.Event) -> None:
        sock.recv(65536)
        sock.sendall(head)
        while not end.is_set():
            sock.sendall(b"a" * 65536)

    return behaviour


def http(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + body


def url_of(kind: str, peer: Peer) -> str:
    return f"tcp://127.0.0.1:{peer.port}" if kind == "haproxy" else f"http://127.0.0.1:{peer.port}/balancer-manager"


@pytest.mark.parametrize("kind", ["haproxy", "apache"])
@pytest.mark.parametrize("behaviour", [hang, read_and_hang, drip(b""), drip(b"HTTP/1.1 200 OK\r\n\r\n")])
def test_a_peer_that_hangs_or_drips_ends_at_the_time_limit(kind: str, behaviour: Behaviour, peer) -> None:
    driver = driver_of(kind, url_of(kind, peer(behaviour)), timeout_s=0.4)
    began = time.monotonic()
    with pytest.raises(BalancerError, match=r"within 0\.4 s"):
        driver.read("web")
    assert 0.3 < time.monotonic() - began < 1.2


URLS = {"haproxy": "tcp://{}:9999", "apache": "http://{}/balancer-manager"}


@pytest.mark.usefixtures("dead_dns")
@pytest.mark.parametrize("kind", URLS)
def test_a_dead_name_server_ends_at_the_time_limit(kind: str) -> None:
    driver = driver_of(kind, URLS[kind].format("lb1.example.com"), timeout_s=0.4)
    began = time.monotonic()
    with pytest.raises(BalancerError) as caught:
        driver.read("web")
    assert time.monotonic() - began < 1.2
    assert caught.value.effect is Effect.NONE


@pytest.mark.parametrize("kind", URLS)
@pytest.mark.parametrize("host", ["lb1..example.com", f"{'x' * 64}.example.com"])
def test_a_name_that_can_not_be_one_is_an_error_of_the_balancer(kind: str, host: str) -> None:
    with pytest.raises(BalancerError) as caught:
        driver_of(kind, URLS[kind].format(host), timeout_s=2).read("web")
    assert caught.value.effect is Effect.NONE


@pytest.mark.parametrize("kind", ["haproxy", "apache"])
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"\n\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\n\n",
        b"\x00\xff" * 50,
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        http(b"<html>It works!</html>"),
        http(b"<?xml version='1.0'?><a>"),
        http(b"<html><h1>Load Balancer Manager for x</h1>", length=5000),
        http(b"", "302 Found"),
        f"1\n{STATE_HEAD}\n3 web 1 n1\n\n".encode(),
        f"1\n{STATE_HEAD}\n3 web 1 n1 127.0.0.1 2 0 6\n\nName: HAProxy\nPid: 1\n\n".encode(),
        f"1\n{STATE_HEAD}\n\n# pxname,svname,\nweb,n1,\n\nName: HAProxy\nPid: 1\n\n".encode(),
        f"1\n{STATE_HEAD}\n3 web 1 n1 127.0.0.1 two 0 6\n\n# pxname,svname,\nweb,n1,\n\nPid: 1\n\n".encode(),
    ],
)
def test_garbage_is_an_error_and_never_a_reading(kind: str, text: bytes, peer) -> None:
    driver = driver_of(kind, url_of(kind, peer(say(text))))
    with pytest.raises(BalancerError):
        driver.read("web")


@pytest.mark.parametrize(("kind", "head"), [("haproxy", b""), ("apache", b"HTTP/1.1 200 OK\r\n\r\n")])
def test_an_endless_answer_is_cut_off(kind: str, head: bytes, peer) -> None:
    driver = driver_of(kind, url_of(kind, peer(flood(head))), timeout_s=10)
    with pytest.raises(BalancerError, match="answered more than"):
        driver.read("web")


def test_a_haproxy_answer_cut_at_any_place_is_an_error_never_half_a_list(haproxy_stage: Stage, peer) -> None:
    line = "show servers state web; show stat web 4 -1; show info"
    whole = haproxy_stage.product.ask(line).encode()  # type: ignore[attr-defined] - the stage's product is a Haproxy
    answer = [whole]

    def cut_answer(sock: socket.socket, end: threading.Event) -> None:
        say(answer[0])(sock, end)

    cut = peer(cut_answer)
    driver = driver_of("haproxy", f"tcp://127.0.0.1:{cut.port}")
    assert len(driver.read("web").seats) == 2
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        answer[0] = whole[:length]
        with pytest.raises(BalancerError):
            driver.read("web")


def test_a_write_whose_answer_is_lost_may_have_happened(haproxy_stage: Stage, peer) -> None:
    """The line reaches the real HAProxy, its answer reaches nobody."""
    product = haproxy_stage.product
    lose = [False]

    def relay(sock: socket.socket, _end: threading.Event) -> None:
        answer = product.ask(sock.recv(65536).decode().strip())
        sock.sendall(b"" if lose[0] else answer.encode())

    driver = driver_of("haproxy", f"tcp://127.0.0.1:{peer(relay).port}")
    driver.read("web")
    lose[0] = True
    with pytest.raises(BalancerError, match="said nothing at all") as caught:
        driver.write("web", "n1", Found(AdminState.DRAIN))
    assert caught.value.effect is Effect.UNKNOWN
    assert haproxy_stage.seat().admin is AdminState.DRAIN


@pytest.mark.parametrize("kind", ["haproxy", "apache"])
def test_a_write_that_gets_no_further_than_reading_has_no_effect(kind: str, peer) -> None:
    driver = driver_of(kind, url_of(kind, peer(read_and_hang)), timeout_s=0.3)
    with pytest.raises(BalancerError, match=r"within 0\.3 s") as caught:
        driver.write("web", "n1", Found(AdminState.DRAIN))
    assert caught.value.effect is Effect.NONE


def test_a_stopped_haproxy_is_an_error_in_time(haproxy_stage: Stage) -> None:
    haproxy_stage.read()
    haproxy_stage.product._processes[-1].send_signal(signal.SIGSTOP)
    driver = driver_of("haproxy", haproxy_stage.url, timeout_s=0.4)
    with pytest.raises(BalancerError, match="hang") as caught:
        driver.read("web")
    assert caught.value.effect is Effect.UNKNOWN


@pytest.mark.parametrize(
    ("status", "effect"),
    [("401 No", Effect.NONE), ("403 No", Effect.NONE), ("404 No", Effect.NONE), ("502 Bad", Effect.UNKNOWN)],
)
def test_apache_statuses_are_told_apart(status: str, effect: Effect, peer) -> None:
    driver = driver_of("apache", url_of("apache", peer(say(http(b"", status)))))
    with pytest.raises(BalancerError, match=status.split(maxsplit=1)[0]) as caught:
        driver.read("web")
    assert caught.value.effect is effect


def test_a_unix_socket_nobody_listens_on_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "dead.sock"))
    with pytest.raises(BalancerError, match="can't be reached") as caught:
        driver_of("haproxy", f"unix://{tmp_path}/dead.sock").read("web")
    assert caught.value.effect is Effect.NONE
