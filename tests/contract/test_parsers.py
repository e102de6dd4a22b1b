"""The tables of HAProxy and the pages of Apache, as literal text: what each line means."""

import pytest

from rollsafe.drivers.balancers import CAPABILITIES, DRIVERS, capabilities_of, driver_names, make_balancer
from rollsafe.drivers.balancers.apache_parse import parse_page, parse_xml, pool_reading
from rollsafe.drivers.balancers.haproxy_parse import admin_state, read_tables
from rollsafe.drivers.balancers.haproxy_parse import pool_reading as haproxy_reading
from rollsafe.errors import BalancerError
from rollsafe.model.reading import AdminState, Check, SeatReading
from rollsafe.model.settings import BalancerSettings, EndpointSettings

READY, DRAIN, MAINT = AdminState.READY, AdminState.DRAIN, AdminState.MAINT

# as HAProxy 2.6 prints it, with the columns that matter; other versions have more, in another order
STATE = (
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_time_since_last_change "
    "srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state srv_port"
)
STAT = "# pxname,svname,qcur,scur,stot,status,tracked,check_status,check_rise,check_fall,addr,mode,"
INFO = "Name: HAProxy\nVersion: 2.6.12\nPid: 4711\nUptime_sec: 86400\n"


def answer(state: str, stat: str) -> str:
    return f"1\n{STATE}\n3 web 1 {state}\n\n{STAT}\nweb,{stat},\n\n{INFO}\n"


def haproxy(state: str, stat: str) -> SeatReading:
    text = answer(state, stat)
    return haproxy_reading(read_tables(text, "web"), "web").seats[0]


@pytest.mark.parametrize(
    ("mask", "state"),
    [
        (0, READY),
        (4, READY),  # `disabled` in the file, made ready since
        (5, MAINT),
        (1, MAINT),
        (2, MAINT),
        (8, DRAIN),
        (12, DRAIN),
        (16, DRAIN),
        (24, DRAIN),
        (9, MAINT),
        (18, MAINT),
        (32, READY),  # no name: the check is down, nobody gave an order
        (40, DRAIN),
        (64, READY),
    ],
)
def test_masks_are_decimal(mask: int, state: AdminState) -> None:
    assert admin_state(mask) is state


@pytest.mark.parametrize(
    ("operation", "mask", "health", "check_state", "status", "word", "check"),
    [
        (2, 0, 3, 6, "UP", "L7OK", Check.UP),
        (2, 0, 3, 7, "UP", "* L7OK", Check.UP),
        (2, 0, 2, 6, "UP 1/2", "L7OK", Check.RISING),
        (2, 0, 2, 7, "UP 1/2", "* INI", Check.RISING),
        (2, 0, 3, 6, "UP", "INI", Check.RISING),
        (2, 0, 2, 6, "UP 1/2", "L7STS", Check.RISING),
        (1, 0, 3, 6, "UP", "L7OK", Check.UP),  # slowstart
        (0, 0, 0, 6, "DOWN", "L4CON", Check.DOWN),
        (0, 0, 1, 6, "DOWN 1/2", "L7OK", Check.RISING),
        (0, 0, 3, 6, "DOWN (agent)", "L7OK", Check.DOWN),
        (3, 0, 3, 6, "NOLB", "L7OKC", Check.DOWN),
        (2, 8, 3, 6, "DRAIN", "L7OK", Check.UP),
        (2, 8, 2, 6, "DRAIN 1/2", "L7OK", Check.RISING),
        (0, 8, 0, 6, "DOWN", "L4CON", Check.DOWN),
        (0, 1, 0, 14, "MAINT", "", Check.RISING),
        (0, 33, 0, 14, "MAINT (resolution)", "", Check.DOWN),
        (2, 0, 0, 0, "no check", "", Check.NOT_CHECKED),
        (0, 1, 0, 8, "MAINT", "", Check.NOT_CHECKED),
        (2, 8, 0, 0, "DRAIN", "", Check.NOT_CHECKED),
        (2, 8, 3, 2, "DRAIN", "", Check.NOT_CHECKED),  # disable health
    ],
)
def test_check_is_kept_apart_from_the_admin_state(
    operation: int, mask: int, health: int, check_state: int, status: str, word: str, check: Check
) -> None:
    state = f"n1 10.0.0.1 {operation} {mask} 99 15 3 {health} {check_state} 0 8080"
    seat = haproxy(state, f"n1,0,0,7,{status},,{word},2,2,10.0.0.1:8080,http")
    assert seat.check is check
    assert seat.raw == f"{status}, mask {mask}"


def test_active_adds_the_queue_and_process_and_totals_are_read() -> None:
    text = answer("n1 10.0.0.1 2 0 99 15 3 3 6 0 8080", "n1,2,3,7,UP,,L7OK,2,2,10.0.0.1:8080,tcp")
    reading = haproxy_reading(read_tables(text, "web"), "web")
    assert (reading.process, reading.uptime_s) == ("4711", 86400.0)
    seat = reading.seats[0]
    assert (seat.active, seat.total, seat.counts, seat.address) == (5, 7, "connections", "10.0.0.1:8080")


@pytest.mark.parametrize(("mask", "status"), [(2, "MAINT (via x/y)"), (16, "DRAIN"), (0, "UP")])
def test_a_tracking_seat_names_its_parent(mask: int, status: str) -> None:
    seat = haproxy(f"n1 10.0.0.1 2 {mask} 99 1 0 2 0 0 80", f"n1,0,0,7,{status},x/y,,,,10.0.0.1:80,http")
    assert seat.inherited == "x/y"


def test_a_member_level_user_sees_no_address_in_the_statistics() -> None:
    seat = haproxy("n1 fd00::1 2 0 99 15 3 3 6 0 8080", "n1,0,0,7,UP,,L7OK,2,2,,http")
    assert seat.address == "[fd00::1]:8080"


@pytest.mark.parametrize(
    ("state", "stat"),
    [
        ("n1 10.0.0.1 2 0 99", "n1,0,0,7,UP,,L7OK,2,2,10.0.0.1:80,http"),
        ("n1 10.0.0.1 2 0 99 15 3 3 6 0 80", "n1,0,0,7"),
        ("n1 10.0.0.1 2 0 99 15 3 3 6 0 80", "n2,0,0,7,UP,,L7OK,2,2,10.0.0.1:80,http"),
        ("n1 10.0.0.1 2 x 99 15 3 3 6 0 80", "n1,0,0,7,UP,,L7OK,2,2,10.0.0.1:80,http"),
        ("n1 10.0.0.1 2 0 99 15 3 3 6 0 80", "n1,0,many,7,UP,,L7OK,2,2,10.0.0.1:80,http"),
    ],
)
def test_lists_that_were_cut_differ_or_hold_no_numbers_are_errors(state: str, stat: str) -> None:
    with pytest.raises(BalancerError, match=r"web|cut"):
        haproxy(state, stat)


# as httpd 2.4.71 writes them, shortened
XML = """<?xml version='1.0' encoding='UTF-8' ?>
<httpd:manager xmlns:httpd='http://httpd.apache.org'><httpd:balancers><httpd:balancer>
<httpd:name>balancer://web</httpd:name>{nonce}
<httpd:workers><httpd:worker><httpd:name>http://10.0.0.1:8080</httpd:name>
<httpd:hostname>10.0.0.1</httpd:hostname><httpd:loadfactor>1.00</httpd:loadfactor><httpd:port>8080</httpd:port>
<httpd:status>{status}</httpd:status><httpd:elected>12</httpd:elected><httpd:busy>3</httpd:busy>
</httpd:worker></httpd:workers></httpd:balancer></httpd:balancers></httpd:manager>"""
HTML = """<html><body><h1>Load Balancer Manager for lb.example.com</h1>
<h3>LoadBalancer Status for <a href="/balancer-manager?b=web&amp;nonce=4d8e-72b">balancer://web</a> [p8_web]</h3>
<table><tr><th>MaxMembers</th><th>StickySession</th></tr><tr><td>2 [2 Used]</td><td>x</td></tr></table>
<table><tr><th>Worker URL</th><th>Status</th>{head}</tr>
<tr><td><a href="/balancer-manager?b=web&amp;w=http://10.0.0.1:8080&amp;nonce=4d8e-72b">x</a></td>
<td>Init Ok </td>{cell}</tr>
</table></body></html>"""


@pytest.mark.parametrize(
    ("status", "admin", "checked", "unchecked"),
    [
        ("Init Ok ", READY, Check.UP, Check.NOT_CHECKED),
        ("Init Drn Ok ", DRAIN, Check.UP, Check.NOT_CHECKED),
        ("Init Dis ", MAINT, Check.UP, Check.NOT_CHECKED),
        ("Init Drn Dis ", MAINT, Check.UP, Check.NOT_CHECKED),
        ("Init Stop ", MAINT, Check.RISING, Check.NOT_CHECKED),
        ("Init HcFl ", READY, Check.DOWN, Check.DOWN),
        ("Init Drn HcFl ", DRAIN, Check.DOWN, Check.DOWN),
        ("Init Err ", READY, Check.DOWN, Check.DOWN),
        ("Init Drn Err ", DRAIN, Check.DOWN, Check.NOT_CHECKED),
        ("Init Ign Stby Ok ", READY, Check.UP, Check.NOT_CHECKED),
        ("Ok ", READY, Check.RISING, Check.NOT_CHECKED),
    ],
)
def test_apache_words_are_two_axes(status: str, admin: AdminState, checked: Check, unchecked: Check) -> None:
    pools = parse_xml(XML.format(status=status, nonce=""))
    assert pools is not None
    with_check = pool_reading(pools["web"], "x", frozenset({("web", "http://10.0.0.1:8080")})).seats[0]
    without = pool_reading(pools["web"], "x", frozenset()).seats[0]
    assert (with_check.admin, with_check.check, without.check) == (admin, checked, unchecked)
    assert (with_check.active, with_check.total, with_check.address) == (3, 12, "10.0.0.1:8080")


def test_the_nonce_comes_from_the_xml_or_from_the_page_and_is_never_shown() -> None:
    new = parse_xml(XML.format(status="Init Ok", nonce="<httpd:nonce>4d8e-72b</httpd:nonce>"))
    old = parse_xml(XML.format(status="Init Ok", nonce=""))
    page = parse_page(HTML.format(head="<th>HC Method</th>", cell="<td>GET</td>"))
    assert new is not None
    assert old is not None
    assert page is not None
    assert (new["web"].nonce, old["web"].nonce, page.nonces) == ("4d8e-72b", None, {"web": "4d8e-72b"})
    assert page.server_name == "lb.example.com"
    assert "4d8e" not in repr(pool_reading(new["web"], "4d8e-72b", page.checked))


@pytest.mark.parametrize(
    ("head", "cell", "count"),
    [("<th>HC Method</th>", "<td>GET</td>", 1), ("<th>HC Method</th>", "<td>NONE</td>", 0), ("", "", 0)],
)
def test_only_the_page_says_whether_a_member_is_checked(head: str, cell: str, count: int) -> None:
    page = parse_page(HTML.format(head=head, cell=cell))
    assert page is not None
    assert len(page.checked) == count


def test_an_entity_bomb_is_refused() -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    with pytest.raises(BalancerError, match="entities"):
        parse_xml(bomb)


def test_every_driver_says_what_its_product_can_do() -> None:
    assert set(CAPABILITIES) == set(DRIVERS) == {"haproxy", "apache"}
    haproxy_can = capabilities_of("haproxy")
    assert haproxy_can is not None
    assert haproxy_can.tcp_mode
    assert haproxy_can.forgets_on_reload
    assert capabilities_of("other") is None
    assert driver_names()[:2] == DRIVERS


def test_drivers_of_other_packages_come_from_entry_points(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_lb.py").write_text(
        "def make(balancer, endpoint, ssh_for):\n    return (balancer.name, endpoint.url)\n"
    )
    info = tmp_path / "acme_lb-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-lb\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rollsafe.balancers]\nacme = acme_lb:make\n")
    monkeypatch.syspath_prepend(tmp_path)
    endpoint = EndpointSettings("acme://1")
    made = make_balancer(BalancerSettings("lb", "acme", (endpoint,)), endpoint, lambda _settings: None)
    assert made == ("lb", "acme://1")
    assert driver_names() == (*DRIVERS, "acme")
