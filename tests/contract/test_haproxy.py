"""What is HAProxy's alone, on a real HAProxy."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollsafe.drivers.balancers import make_balancer
from rollsafe.errors import BalancerError, Effect, InvalidInput
from rollsafe.model.reading import AdminState, Check, Found, SeatReading
from rollsafe.model.settings import BalancerSettings, EndpointSettings
from rollsafe.ports import Balancer
from tests.contract.conftest import Stage, driver_of, no_ssh
from tests.contract.products import Haproxy, Node, eventually, free_port, need, start_haproxy

READY, DRAIN, MAINT = AdminState.READY, AdminState.DRAIN, AdminState.MAINT

POOLS = """
backend web
    default-server check inter 150ms fall 2 rise 2
    option httpchk GET /status
    server n1 {n1}
    server n2 {n2}
backend follows
    server n1 {n1} track web/n1
    server n2 {n2} check inter 150ms
backend strict
    option httpchk GET /status
    server n1 {n1} check inter 3s fastinter 3s downinter 3s fall 1 rise 1
backend shut
    server n1 {n1} check inter 150ms disabled
frontend raw
    mode tcp
    bind 127.0.0.1:{raw}
    default_backend tcp
backend tcp
    mode tcp
    server n1 {n1} check inter 150ms
backend pinned-by-table
    stick-table type ip size 1k
    stick on src
    server n1 {n1} check inter 150ms
backend pinned-by-cookie
    cookie SRV insert
    server n1 {n1} check inter 150ms cookie n1
backend unresolved
    server n1 nobody.invalid:80 check init-addr none resolvers none
resolvers none
    nameserver nobody 127.0.0.1:{dead}
    hold nx 1s
    timeout retry 100ms
    timeout resolve 100ms
"""


@pytest.fixture
def raw_port() -> int:
    return free_port()


@pytest.fixture
def lb(tmp_path: Path, nodes: tuple[Node, Node], raw_port: int) -> Iterator[Haproxy]:
    first, second = nodes
    text = POOLS.format(n1=first.address, n2=second.address, raw=raw_port, dead=free_port())
    product = start_haproxy(
        tmp_path / "lb", text, global_lines=f"stats socket ipv4@127.0.0.1:{free_port()} level admin"
    )
    yield product
    product.stop()


@pytest.fixture
def driver(lb: Haproxy) -> Balancer:
    return driver_of("haproxy", f"unix://{lb.socket}")


def seat(driver: Balancer, pool: str, name: str = "n1") -> SeatReading:
    return next(seat for seat in driver.read(pool).seats if seat.seat == name)


def test_tcp_endpoint_reads_and_writes(lb: Haproxy) -> None:
    config = (lb.folder / "haproxy.cfg").read_text()
    port = config.partition("ipv4@127.0.0.1:")[2].split()[0]
    driver = driver_of("haproxy", f"tcp://127.0.0.1:{port}")
    driver.write("web", "n1", Found(DRAIN))
    assert seat(driver, "web").admin is DRAIN


def test_process_is_the_pid_and_its_age(lb: Haproxy, driver: Balancer) -> None:
    reading = driver.read("web")
    assert reading.process == str(lb.pid)
    assert reading.uptime_s is not None
    assert reading.uptime_s < 60


def test_operator_socket_reads_and_says_what_a_write_needs(lb: Haproxy) -> None:
    driver = driver_of("haproxy", f"unix://{lb.folder}/operator.sock")
    assert seat(driver, "web").admin is READY
    with pytest.raises(BalancerError, match="level admin") as caught:
        driver.write("web", "n1", Found(DRAIN))
    assert caught.value.effect is Effect.NONE
    assert seat(driver, "web").admin is READY


def refusal(driver: Balancer) -> str:
    with pytest.raises(BalancerError) as caught:
        driver.read("web")
    return str(caught.value)


def test_the_socket_of_the_master_process_is_named_as_what_it_is(tmp_path: Path) -> None:
    config, master = tmp_path / "master.cfg", tmp_path / "master.sock"
    config.write_text("defaults\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\nbackend web\n")
    command = (need("haproxy", "haproxy"), "-W", "-db", "-S", f"unix@{master},level,admin", "-f", str(config))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            driver = driver_of("haproxy", f"unix://{master}", timeout_s=1.0)
            # it starts itself anew once, and its socket with it
            eventually(lambda: "the socket of its master process" in refusal(driver), "the master's answer")
        finally:
            process.terminate()


def test_a_tracking_seat_names_its_parent_and_is_never_written(lb: Haproxy, driver: Balancer) -> None:
    assert seat(driver, "follows").inherited == "web/n1"
    assert seat(driver, "follows", "n2").inherited is None
    for state in (DRAIN, MAINT):
        driver.write("web", "n1", Found(state))
        follower = seat(driver, "follows")
        assert (follower.admin, follower.inherited) == (state, "web/n1")
    before = lb.ask("show servers state follows")
    with pytest.raises(BalancerError, match="web/n1") as caught:
        driver.write("follows", "n1", Found(READY))
    assert caught.value.effect is Effect.NONE
    assert lb.ask("show servers state follows").split()[:20] == before.split()[:20]


def test_a_write_by_a_driver_that_has_read_nothing_knows_the_tracking_too(driver: Balancer) -> None:
    with pytest.raises(BalancerError, match="web/n1"):
        driver.write("follows", "n1", Found(DRAIN))


def test_weight_0_is_no_admin_state_and_no_new_client_is_sent_there(lb: Haproxy, driver: Balancer) -> None:
    eventually(lambda: seat(driver, "web").check is Check.UP, "up")
    assert seat(driver, "web").unused == ""
    lb.ask("set server web/n1 weight 0")
    shown = seat(driver, "web")
    assert (shown.admin, shown.check, shown.unused) == (READY, Check.UP, "weight 0")
    for state in (DRAIN, READY):  # the drain and the way back leave the weight as it is
        driver.write("web", "n1", Found(state))
        assert (seat(driver, "web").admin, seat(driver, "web").unused) == (state, "weight 0")
    lb.ask("set server web/n1 weight 100%")
    assert seat(driver, "web").unused == ""


@pytest.mark.parametrize(
    ("pool", "pinned"), [("web", False), ("tcp", False), ("pinned-by-table", True), ("pinned-by-cookie", True)]
)
def test_a_pool_that_pins_its_clients_is_known(driver: Balancer, pool: str, pinned: bool) -> None:
    assert driver.read(pool).pinned is pinned


def test_a_server_disabled_in_the_file_is_maint_until_it_is_made_ready(driver: Balancer) -> None:
    assert seat(driver, "shut").admin is MAINT  # mask 5
    driver.write("shut", "n1", Found(READY))
    opened = seat(driver, "shut")
    assert (opened.admin, opened.raw.split()[-1]) == (READY, "4")  # the file's bit stays, and means nothing any more
    driver.write("shut", "n1", Found(MAINT))
    assert seat(driver, "shut").admin is MAINT


def test_ready_after_maint_is_not_up_before_a_check_passed_again(driver: Balancer) -> None:
    eventually(lambda: seat(driver, "web").check is Check.UP, "up")
    driver.write("web", "n1", Found(MAINT))
    assert seat(driver, "web").check is Check.RISING
    driver.write("web", "n1", Found(DRAIN))
    seen = [seat(driver, "web").check]
    while seen[-1] is not Check.UP and len(seen) < 2000:
        seen.append(seat(driver, "web").check)
    assert seen[0] is Check.RISING
    assert set(seen) == {Check.RISING, Check.UP}


def test_with_fall_1_a_seat_that_left_maint_is_not_up_before_any_check(lb: Haproxy, driver: Balancer) -> None:
    eventually(lambda: "L7OK" in lb.ask("show stat strict 4 -1"), "the first check")
    driver.write("strict", "n1", Found(MAINT))
    driver.write("strict", "n1", Found(DRAIN))
    row = lb.ask("show stat strict 4 -1")
    assert ",DRAIN," in row  # HAProxy shows it at full health, on the strength of an old check
    assert seat(driver, "strict").check is Check.RISING


def test_disabled_health_checks_are_no_checks(lb: Haproxy, driver: Balancer) -> None:
    eventually(lambda: seat(driver, "web").check is Check.UP, "up")
    lb.ask("disable health web/n1")
    assert seat(driver, "web").check is Check.NOT_CHECKED


def test_a_name_that_does_not_resolve_is_down_and_nobodys_order(driver: Balancer) -> None:
    reading = seat(driver, "unresolved")
    assert (reading.admin, reading.check) == (READY, Check.DOWN)
    assert "MAINT" in reading.raw


def test_tcp_mode_counts_connections_and_an_idle_one_too(driver: Balancer, raw_port: int) -> None:
    assert (seat(driver, "tcp").active, seat(driver, "tcp").counts) == (0, "connections")
    with socket.create_connection(("127.0.0.1", raw_port), 2):
        assert eventually(lambda: seat(driver, "tcp").active == 1, "the idle connection is counted")
    eventually(lambda: seat(driver, "tcp").active == 0, "the connection has ended")


def test_an_idle_keep_alive_client_is_no_request(lb: Haproxy, driver: Balancer) -> None:
    with socket.create_connection(("127.0.0.1", lb.front), 2) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(1000).startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))
        eventually(lambda: all(s.active == 0 for s in driver.read("web").seats), "nothing in flight")


def test_a_human_drain_and_a_human_maint_are_read_the_same(lb: Haproxy, driver: Balancer) -> None:
    lb.ask("set server web/n1 state drain")
    lb.ask("disable server web/n2")
    assert [s.admin for s in driver.read("web").seats] == [DRAIN, MAINT]


def test_old_workers_of_a_reload_are_told_by_another_pid(haproxy_stage: Stage) -> None:
    stage = haproxy_stage
    eventually(lambda: stage.seat().check is Check.UP, "up")
    before = stage.read()
    thread = threading.Thread(target=stage.product.get, args=("/slow", stage.sticky_to_first))
    thread.start()
    eventually(lambda: stage.seat().active == 1, "one request in flight")
    stage.product.reload()
    after = stage.read()
    assert after.process == str(stage.product.pid) != before.process
    assert after.seats[0].active == 0
    stage.nodes[0].release.set()
    thread.join(5)


@pytest.mark.parametrize(
    "name", ["web;shutdown sessions server web/n1", "web\nshow info", "web n1", "", "we/b", "w\0b"]
)
def test_a_name_can_not_become_a_second_command(lb: Haproxy, driver: Balancer, name: str) -> None:
    with pytest.raises(BalancerError, match="can't be the name"):
        driver.read(name)
    with pytest.raises(BalancerError, match="can't be the name"):
        driver.write("web", name, Found(DRAIN))
    assert seat(driver, "web").admin is READY


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:1", "takes tcp://"),
        ("tcp://127.0.0.1", "port"),
        ("tcp://127.0.0.1:99999", "port"),
        ("unix://", "path"),
        ("ssh://lb1", "path"),
        ("ssh://lb1/run/admin.sock", "settings"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_before_any_connection(url: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        driver_of("haproxy", url)


def test_an_unknown_driver_or_option_is_refused() -> None:
    endpoint = EndpointSettings("unix:///nowhere")
    with pytest.raises(InvalidInput, match="haproxi"):
        make_balancer(BalancerSettings("lb", "haproxi", (endpoint,)), endpoint, no_ssh)
    with pytest.raises(InvalidInput, match="colour"):
        make_balancer(BalancerSettings("lb", "haproxy", (endpoint,), {"colour": "red"}), endpoint, no_ssh)


def test_a_missing_socket_and_a_forbidden_one_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BalancerError, match="no such socket") as caught:
        driver_of("haproxy", f"unix://{tmp_path}/none.sock").read("web")
    assert caught.value.effect is Effect.NONE
