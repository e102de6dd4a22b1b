"""The lab's balancer and the real HAProxy, side by side in front of the same servers, are asked the same things."""

import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from rollsafe.lab.cluster import HOST, _free_ports
from rollsafe.lab.leash import Leash

pytestmark = pytest.mark.real

# What depends on the moment, on how many checks there were, or on the connections that HAProxy keeps to servers.
MOMENTARY = {
    "lastchg",
    "downtime",
    "check_duration",
    "last_chk",
    "chkfail",
    "chkdown",
    "need_conn_est",
    "used_conn_cur",
}
SINCE = 9  # srv_time_since_last_change


class Stub(http.server.ThreadingHTTPServer):
    """A server whose answer to a check can be changed."""

    daemon_threads = True
    good = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), Page)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A balancer that hangs up is no news."""


class Page(http.server.BaseHTTPRequestHandler):
    """`/status`, and pages; `/slow` takes a second."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Stub)
        if self.path == "/slow":
            time.sleep(1)
        body = b'{"state":"RUNNING"}' if self.server.good else b'{"state":"STARTING"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silence."""


@dataclass
class Product:
    """One balancer: the lab's or the real one."""

    port: int
    admin_port: int

    def say(self, command: str) -> str:
        with socket.create_connection((HOST, self.admin_port), timeout=5) as sock:
            sock.sendall(command.encode() + b"\n")
            return sock.makefile().read()

    def rows(self) -> dict[str, dict[str, str]]:
        """`show stat` of the servers, by name."""
        header, *lines = self.say("show stat jira 4 -1").splitlines()
        columns = header.removeprefix("# ").split(",")
        return {line.split(",")[1]: dict(zip(columns, line.split(","), strict=False)) for line in lines if line}

    def states(self) -> list[list[str]]:
        """`show servers state`, as words."""
        return [line.split() for line in self.say("show servers state jira").splitlines()[2:] if line]


@dataclass
class Pair:
    """Both products and the servers behind them."""

    lab: Product
    real: Product
    stubs: list[Stub]

    def both(self, command: str) -> tuple[str, str]:
        return self.lab.say(command), self.real.say(command)

    def until(self, wanted: Callable[[Product], bool]) -> None:
        """Wait until both are there, and neither is in the middle of a check."""
        deadline = time.monotonic() + 6
        for product in (self.lab, self.real):
            while not wanted(product):
                assert time.monotonic() < deadline, product.say("show stat jira 4 -1")
                time.sleep(0.02)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    stubs = [Stub(), Stub()]
    servers = {f"jira{n}": stub.server_address[1] for n, stub in enumerate(stubs, start=1)}
    ports = _free_ports(4)
    lab, real = Product(*ports[:2]), Product(*ports[2:])
    leash = Leash(folder / "leash")
    facts = {"name": "jira", "host": HOST, "port": lab.port, "admin_port": lab.admin_port, "servers": servers}
    check = {"path": "/status", "word": "RUNNING", "every_s": 0.25}
    facts |= {"check": check, "leash": str(leash.path), "cookie_name": "SRV"}
    (folder / "lab.json").write_text(json.dumps(facts))
    lines = "\n".join(f" server {name} {HOST}:{port} cookie {name}" for name, port in servers.items())
    (folder / "haproxy.cfg").write_text(
        f"global\n stats socket ipv4@{HOST}:{real.admin_port} level admin\n maxconn 100\n"
        "defaults\n mode http\n timeout connect 1s\n timeout client 1m\n timeout server 1m\n"
        f"frontend jira-in\n bind {HOST}:{real.port}\n default_backend jira\n"
        "backend jira\n cookie SRV insert indirect nocache\n option httpchk GET /status\n"
        " http-check expect string RUNNING\n default-server check inter 250ms fall 2 rise 2\n" + lines + "\n"
    )
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert haproxy
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    children = [
        subprocess.Popen([sys.executable, "-m", "rollsafe.lab.balancer", str(folder)], **quiet),
        subprocess.Popen([haproxy, "-db", "-f", str(folder / "haproxy.cfg")], **quiet),
    ]
    try:
        pair = Pair(lab, real, stubs)
        _await_ports(lab, real)
        pair.until(_all("UP"))
        yield pair
    finally:
        for child in children:
            child.terminate()
            child.wait(5)
        leash.drop()
        for stub in stubs:
            stub.shutdown()
            stub.server_close()


@pytest.fixture(autouse=True)
def _as_new(pair: Pair) -> Iterator[None]:
    yield
    for stub in pair.stubs:
        stub.good = True
    pair.both("set server jira/jira1 state ready; set server jira/jira2 state ready")
    pair.until(_all("UP"))


def _await_ports(*products: Product) -> None:
    deadline = time.monotonic() + 10
    for product in products:
        while True:
            try:
                product.say("show version")
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def _all(status: str) -> Callable[[Product], bool]:
    return lambda product: all(_calm(row) and row["status"] == status for row in product.rows().values())


def _first(status: str) -> Callable[[Product], bool]:
    return lambda product: _calm(product.rows()["jira1"]) and product.rows()["jira1"]["status"] == status


def _calm(row: dict[str, str]) -> bool:
    return not row["check_status"].startswith("*")


def _differences(pair: Pair) -> list[str]:
    """Where the two show something else, but for what depends on the moment."""
    lab, real = pair.lab.rows(), pair.real.rows()
    found = [
        f"{name}.{column}: lab {row[column]!r}, real {real[name][column]!r}"
        for name, row in lab.items()
        for column in row
        if column not in MOMENTARY and row[column] != real[name][column]
    ]
    for ours, theirs in zip(pair.lab.states(), pair.real.states(), strict=True):
        ours[SINCE] = theirs[SINCE] = ""
        found += [f"state: lab {ours}, real {theirs}"] if ours != theirs else []
    return found


def _compare(pair: Pair) -> None:
    """Both show the same, to the last column; a check that is under way is waited for."""
    deadline = time.monotonic() + 3
    while (differences := _differences(pair)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert differences == []


def test_a_fresh_pool_is_shown_alike(pair: Pair) -> None:
    _compare(pair)
    lab, real = pair.both("show stat jira 4 -1; show servers state jira")
    assert [line.count(",") for line in lab.splitlines()] == [line.count(",") for line in real.splitlines()]
    assert lab.splitlines()[0] == real.splitlines()[0]


@pytest.mark.parametrize(
    "command",
    [
        "set server jira/jira1 state drain",
        "set  server  jira/jira1   state  drain  ",
        "set server jira/jira1 state maint;set server jira/jira1 state ready",
        "disable server jira/jira1; enable server jira/jira1",
        "set server jira/jira1 state DRAIN",
        "set server jira/jira1 state",
        "set server jira/jira1",
        "set server jira/nobody state drain",
        "set server nowhere/jira1 state drain",
        "set server jira jira1 state drain",
        "set server",
        "show servers state nowhere",
        "show stat nowhere 4 -1",
        "show stat jira 1 -1",
        "show backend",
        "quit",
        "show stat nowhere 4 -1; set server jira/jira1 state ready; show backend",
    ],
)
def test_the_same_words_get_the_same_answer(pair: Pair, command: str) -> None:
    lab, real = pair.both(command)

    assert lab == real


@pytest.mark.parametrize("command", ["show stat", "show stat -1 4 -1", "show stat jira 6 -1", "show stat jira 7 -1"])
def test_the_same_rows_are_listed(pair: Pair, command: str) -> None:
    lab, real = ([line.split(",")[:2] for line in text.splitlines()] for text in pair.both(command))

    assert lab == real


@pytest.mark.parametrize("command", ["nonsense", "", "show"])
def test_an_unknown_command_is_told_in_the_same_way(pair: Pair, command: str) -> None:
    lab, real = pair.both(command)

    assert lab.splitlines()[0] == real.splitlines()[0]


def test_info_names_process_and_age(pair: Pair) -> None:
    lab, real = (dict(line.split(": ", 1) for line in text.splitlines() if line) for text in pair.both("show info"))

    assert set(lab) <= set(real)
    for facts in (lab, real):
        assert int(facts["Pid"]) > 0
        assert int(facts["Uptime_sec"]) >= 0
    assert lab["Name"] == real["Name"] == "HAProxy"


@pytest.mark.parametrize("state", ["drain", "maint"])
def test_an_order_shows_alike(pair: Pair, state: str) -> None:
    pair.both(f"set server jira/jira1 state {state}")

    pair.until(_first("DRAIN" if state == "drain" else "MAINT"))
    _compare(pair)


def test_a_drained_server_whose_check_fails_is_down_and_comes_back_drained(pair: Pair) -> None:
    pair.both("set server jira/jira1 state drain")
    pair.stubs[0].good = False
    pair.until(_first("DOWN"))
    _compare(pair)

    pair.stubs[0].good = True
    pair.until(_first("DRAIN"))
    _compare(pair)


def test_a_server_goes_down_and_up_by_the_same_steps(pair: Pair) -> None:
    seen: dict[int, list[str]] = {pair.lab.port: [], pair.real.port: []}
    over = threading.Event()
    deadline = time.monotonic() + 20

    def watch(product: Product) -> None:
        while not over.is_set() or seen[product.port][-1:] != ["UP"]:
            assert time.monotonic() < deadline
            status = product.rows()["jira1"]["status"]
            if seen[product.port][-1:] != [status]:
                seen[product.port].append(status)
            time.sleep(0.02)

    watchers = [threading.Thread(target=watch, args=(product,)) for product in (pair.lab, pair.real)]
    for watcher in watchers:
        watcher.start()
    pair.stubs[0].good = False
    pair.until(_first("DOWN"))
    pair.stubs[0].good = True
    pair.until(_first("UP"))
    over.set()
    for watcher in watchers:
        watcher.join()

    assert seen[pair.lab.port] == seen[pair.real.port] == ["UP", "UP 1/2", "DOWN", "DOWN 1/2", "UP"]


@pytest.mark.parametrize("state", ["ready", "drain"])
def test_leaving_maint_is_optimistic_even_where_the_server_is_dead(pair: Pair, state: str) -> None:
    pair.both("set server jira/jira1 state maint")
    pair.stubs[0].good = False
    command = f"set server jira/jira1 state {state}; show servers state jira; show stat jira 4 -1"
    lab, real = (text.splitlines() for text in pair.both(command))

    first = [[word for i, word in enumerate(lines[3].split()) if i != SINCE] for lines in (lab, real)]
    assert first[0] == first[1]
    word = "UP 1/2" if state == "ready" else "DRAIN 1/2"
    assert all(any(f",{word}," in line for line in lines) for lines in (lab, real))
    pair.until(_first("DOWN"))
    _compare(pair)


def _get(port: int, path: str, cookie: str = "") -> tuple[int, str]:
    head = f"GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n" + (f"Cookie: {cookie}\r\n" if cookie else "")
    with socket.create_connection((HOST, port), timeout=5) as sock:
        sock.sendall(head.encode() + b"\r\n")
        text = sock.makefile("rb").read().decode("latin-1")
    lines = text.split("\r\n\r\n")[0].split("\r\n")
    cookies = [line.split(":", 1)[1].strip() for line in lines if line.lower().startswith("set-cookie")]
    return int(lines[0].split()[1]), "".join(cookies)


def test_sticky_people_stay_in_drain_and_move_in_maint(pair: Pair) -> None:
    for product in (pair.lab, pair.real):
        product.say("set server jira/jira1 state drain")
        assert {_get(product.port, "/") for _ in range(4)} == {(200, "SRV=jira2; path=/")}
        assert _get(product.port, "/", "SRV=jira1") == (200, "")

        product.say("set server jira/jira1 state maint")
        assert _get(product.port, "/", "SRV=jira1") == (200, "SRV=jira2; path=/")


def test_nobody_left_is_503(pair: Pair) -> None:
    for product in (pair.lab, pair.real):
        product.say("set server jira/jira1 state maint; set server jira/jira2 state maint")
        assert _get(product.port, "/")[0] == 503


def test_a_request_in_flight_is_counted_and_an_idle_connection_is_not(pair: Pair) -> None:
    for product in (pair.lab, pair.real):
        product.say("set server jira/jira2 state maint")
        slow = threading.Thread(target=_get, args=(product.port, "/slow"))
        slow.start()
        deadline = time.monotonic() + 0.8
        while product.rows()["jira1"]["scur"] != "1":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        slow.join()
        with socket.create_connection((HOST, product.port), timeout=5) as idle:
            idle.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
            assert idle.recv(100).startswith(b"HTTP/1.1 200")
            deadline = time.monotonic() + 1
            while product.rows()["jira1"]["scur"] != "0":
                assert time.monotonic() < deadline
                time.sleep(0.01)
        product.say("set server jira/jira2 state ready")
