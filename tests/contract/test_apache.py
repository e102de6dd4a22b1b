"""What is Apache's alone, on a real httpd."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rollsafe.drivers.balancers import make_balancer
from rollsafe.errors import BalancerError, Effect, InvalidInput
from rollsafe.model.reading import AdminState, Check, Found, SeatReading
from rollsafe.model.settings import BalancerSettings, EndpointSettings
from rollsafe.ports import Balancer
from tests.contract.conftest import Stage, driver_of, secret
from tests.contract.products import Apache, Node, eventually, free_port, need, start_apache

READY, DRAIN, MAINT = AdminState.READY, AdminState.DRAIN, AdminState.MAINT
MEMBERS = """
<Proxy balancer://web>
    BalancerMember http://{n1} route=n1 {first}
    BalancerMember http://{n2} route=n2 {second}
    {more}
</Proxy>
ProxyPass / balancer://web/
"""

Start = Callable[..., Apache]


@pytest.fixture
def start(tmp_path: Path, nodes: tuple[Node, Node]) -> Iterator[Start]:
    started: list[Apache] = []

    def make(first: str = "", second: str = "", more: str = "", **options: str) -> Apache:
        text = MEMBERS.format(n1=nodes[0].address, n2=nodes[1].address, first=first, second=second, more=more)
        before = options.pop("before", "")
        started.append(start_apache(tmp_path / "lb", before + text, **options))
        return started[-1]

    yield make
    for product in started:
        product.stop()


def first(driver: Balancer) -> SeatReading:
    return driver.read("web").seats[0]


def test_flags_that_are_not_ours_stay(start: Start) -> None:
    driver = driver_of("apache", start("status=+H").manager)
    found = first(driver).found
    for admin in (DRAIN, MAINT, READY):
        driver.write("web", first(driver).seat, Found(admin))
        assert "Stby" in first(driver).raw
    driver.write("web", first(driver).seat, found)
    assert first(driver).found == found


def test_maint_keeps_a_drain_that_was_there_and_brings_both_back(start: Start) -> None:
    driver = driver_of("apache", start("status=+N").manager)
    found = first(driver).found
    assert found.admin is DRAIN
    seat = first(driver).seat
    driver.write("web", seat, Found(MAINT))
    assert (first(driver).admin, dict(first(driver).restore)) == (MAINT, {"N": "1", "D": "1"})
    driver.write("web", seat, Found(READY))
    driver.write("web", seat, found)
    assert first(driver).found == found


def test_a_stopped_member_stays_stopped_when_it_is_put_back_as_found(start: Start) -> None:
    driver = driver_of("apache", start("status=+S").manager)
    found, seat = first(driver).found, first(driver).seat
    assert found.admin is MAINT
    driver.write("web", seat, Found(DRAIN))
    driver.write("web", seat, found)
    assert first(driver).found == found
    assert "Stop" in first(driver).raw
    driver.write("web", seat, Found(READY))  # a person's order
    assert first(driver).admin is READY


def test_a_failed_request_marks_a_member_that_nobody_checks(start: Start, nodes: tuple[Node, Node]) -> None:
    product = start()
    driver = driver_of("apache", product.manager)
    nodes[0].stop()
    for _ in range(3):
        product.get()
    assert "Err" in first(driver).raw
    assert first(driver).check is Check.DOWN
    driver.write("web", first(driver).seat, Found(DRAIN))
    assert first(driver).check is Check.NOT_CHECKED  # nothing but clients can clear the mark, and none come
    assert driver.read("web").seats[1].check is Check.NOT_CHECKED


def test_a_server_that_has_another_name_than_the_url_is_asked_by_its_own(start: Start) -> None:
    product = start(before="UseCanonicalName On\n", server_name="lb.example.com")
    driver = driver_of("apache", product.manager)
    driver.write("web", first(driver).seat, Found(DRAIN))
    assert first(driver).admin is DRAIN


def test_the_check_of_the_howto_reads_the_body(start: Start) -> None:
    check = "hcmethod=GET hcuri=/status hcexpr={} hcinterval=100ms retry=5"
    rules = "ProxyHCExpr wrong {hc('body') =~ /RUNNING/}\nProxyHCExpr right {hc('body') =~ /n2/}\n"
    product = start(before=rules, first=check.format("wrong"), second=check.format("right"))
    driver = driver_of("apache", product.manager)
    eventually(lambda: first(driver).check is Check.DOWN, "200 with another body is down")
    assert driver.read("web").seats[1].check is Check.UP


@pytest.mark.parametrize("stop", ["reload", "restart"])
def test_balancer_persist_keeps_a_drain(start: Start, stop: str) -> None:
    product = start(before="BalancerPersist On\n")
    driver = driver_of("apache", product.manager)
    driver.write("web", first(driver).seat, Found(DRAIN))
    getattr(product, stop)()
    assert first(driver).admin is DRAIN

    def put_back() -> bool:  # a worker of before the graceful restart may take one more request, and its write is lost
        driver.write("web", first(driver).seat, Found(READY))
        return first(driver).admin is READY

    eventually(put_back, "the member is ready again")


def test_a_write_after_a_restart_uses_the_new_nonce(start: Start) -> None:
    product = start()
    driver = driver_of("apache", product.manager)
    before = driver.read("web").process
    product.restart()
    driver.write("web", first(driver).seat, Found(DRAIN))
    assert first(driver).admin is DRAIN
    assert driver.read("web").process != before


def test_a_wrong_password_is_told_and_never_shown(start: Start, tmp_path: Path) -> None:
    need("htpasswd", "apache2-utils")
    users = tmp_path / "users"
    subprocess.run(["htpasswd", "-cbB", str(users), "admin", "s3cret"], check=True, capture_output=True, timeout=10)
    basic = "AuthType Basic\n    AuthName lb\n    AuthBasicProvider file"
    access = f'{basic}\n    AuthUserFile "{users}"\n    Require user admin'
    product = start(access=access)
    good = driver_of("apache", product.manager, username="admin", password=secret("s3cret"))
    good.write("web", first(good).seat, Found(DRAIN))
    assert first(good).admin is DRAIN
    bad = driver_of("apache", product.manager, username="admin", password=secret("hunter2"))
    with pytest.raises(BalancerError, match="username or password") as caught:
        bad.write("web", first(good).seat, Found(READY))
    assert caught.value.effect is Effect.NONE
    assert "hunter2" not in str(caught.value)
    assert first(good).admin is DRAIN


def test_a_refused_machine_and_a_wrong_path_are_told(start: Start) -> None:
    product = start(access="Require ip 192.0.2.1")
    with pytest.raises(BalancerError, match="Require"):
        driver_of("apache", product.manager).read("web")
    elsewhere = driver_of("apache", product.manager.replace("balancer-manager", "manager"))
    with pytest.raises(BalancerError, match=r"not with a balancer-manager page .*n[12]"):
        elsewhere.read("web")


def test_tls_is_checked_against_the_ca_file(start: Start, tmp_path: Path) -> None:
    openssl = need("openssl", "openssl")
    port = free_port()
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    more = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([openssl, *made.split(), *more], check=True, capture_output=True, timeout=20)
    start(
        before=f"""
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
Listen 127.0.0.1:{port} https
<VirtualHost 127.0.0.1:{port}>
    ServerName localhost
    SSLEngine on
    SSLCertificateFile {cert}
    SSLCertificateKeyFile {key}
</VirtualHost>
"""
    )
    url = f"https://localhost:{port}/balancer-manager"
    driver = driver_of("apache", url, ca_file=str(cert))
    driver.write("web", first(driver).seat, Found(DRAIN))
    assert first(driver).admin is DRAIN
    with pytest.raises(BalancerError, match="ca_file"):
        driver_of("apache", url).read("web")
    with pytest.raises(BalancerError, match="can't be reached"):
        driver_of("apache", url.replace("localhost", "127.0.0.1"), ca_file=str(cert)).read("web")
    with pytest.raises(InvalidInput, match="ca_file"):
        driver_of("apache", url, ca_file=str(tmp_path / "none.pem"))


def test_proxies_of_the_environment_are_ignored(apache_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert len(driver_of("apache", apache_stage.url).read("web").seats) == 2


@pytest.mark.parametrize("url", ["tcp://h:1", "https:///balancer-manager", "http://h/balancer-manager?xml=1"])
def test_an_address_that_makes_no_sense_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="balancer-manager"):
        driver_of("apache", url)


def test_an_unknown_option_is_refused() -> None:
    endpoint = EndpointSettings("http://h/balancer-manager")
    with pytest.raises(InvalidInput, match="colour"):
        make_balancer(BalancerSettings("lb", "apache", (endpoint,), {"colour": "red"}), endpoint, lambda _s: None)
