"""Health checks against a real server: each answer, and each way to give none, is a reading."""

import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from rollsafe.clock import SystemClock
from rollsafe.errors import InvalidInput
from rollsafe.model.secret import Secret
from rollsafe.model.settings import CheckSettings, Expectation
from rollsafe.probes.expect import BODY_LIMIT, SCIM_ERROR, SCIM_LIST
from rollsafe.probes.health import dial_directly, make_check
from tests.probes.conftest import Server, respond

CANARY = "canary-7f3a+/="


def settings(server: Server, **changes: object) -> CheckSettings:
    base: dict[str, object] = {
        "node": "jira1",
        "service": "web",
        "host": "127.0.0.1",
        "port": server.port,
        "path": "/status",
        "expect": Expectation(json={"state": "RUNNING"}),
        "timeout_s": 0.4,
    }
    return CheckSettings(**{**base, **changes})  # type: ignore[arg-type]  # the tests' own shorthand


def check(server: Server, transport: httpx.BaseTransport, clock: SystemClock, **changes: object) -> object:
    return make_check(settings(server, **changes), transport, dial_directly, clock).check()


def test_a_node_that_runs(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    server.reply = respond(200, '{"state":"RUNNING"}', "Content-Type: text/plain")
    reading = check(server, transport, clock, headers={"Host": "jira.example.com"})
    assert (reading.node, reading.service, reading.healthy, reading.state) == ("jira1", "web", True, "RUNNING")
    assert (reading.evidence.status, reading.evidence.excerpt) == (200, '{"state":"RUNNING"}')
    assert 0 < reading.evidence.latency_s < 0.4
    request = server.requests[0].decode()
    assert request.startswith("GET /status HTTP/1.1\r\n")
    assert request.count("jira.example.com") == 1
    assert "127.0.0.1" not in request
    assert "Connection: close" in request


def test_a_node_that_starts_is_on_its_way(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    server.reply = respond(200, '{"state":"STARTING"}')
    reading = check(server, transport, clock)
    assert (reading.healthy, reading.state, reading.progress) == (False, "STARTING", True)


def test_a_redirect_is_not_followed(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    server.reply = respond(302, "", f"Location: {server.url}/login.jsp")
    reading = check(server, transport, clock)
    assert (reading.healthy, reading.state) == (False, "redirect")
    assert len(server.requests) == 1


def test_cookies_are_forgotten(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    server.reply = respond(200, '{"state":"RUNNING"}', "Set-Cookie: JSESSIONID=abc; Path=/")
    asked = make_check(settings(server), transport, dial_directly, clock)
    assert asked.check().healthy
    assert asked.check().healthy
    assert len(server.requests) == 2
    assert not any(b"cookie" in request.lower() for request in server.requests)


def drip(server: Server, head: bytes) -> Callable[[socket.socket, bytes], None]:
    def reply(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(head)
        while not server.stopping.wait(0.05):
            connection.sendall(b"x")

    return reply


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"]
)
def test_an_answer_that_drips_ends_with_the_time_out(
    server: Server, transport: httpx.BaseTransport, clock: SystemClock, head: bytes
) -> None:
    server.reply = drip(server, head)
    begun = time.monotonic()
    reading = check(server, transport, clock)
    assert (reading.healthy, reading.state) == (False, "timed out")
    assert time.monotonic() - begun < 0.8
    assert "0.4 s" in reading.evidence.detail


def test_a_short_time_out_is_kept_beside_a_long_one(
    server: Server, transport: httpx.BaseTransport, clock: SystemClock
) -> None:
    server.reply = drip(server, b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    patient = threading.Thread(target=check, args=(server, transport, clock), kwargs={"timeout_s": 2.0})
    patient.start()
    time.sleep(0.1)
    begun = time.monotonic()
    assert check(server, transport, clock, timeout_s=0.2).state == "timed out"
    assert time.monotonic() - begun < 1.0
    patient.join()


def test_no_answer_at_all(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    server.reply = lambda _connection, _request: None
    assert check(server, transport, clock).state == "broken"
    server.reply = lambda connection, _request: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    assert check(server, transport, clock).state == "broken"
    server.reply = lambda _connection, _request: server.stopping.wait(2)
    assert check(server, transport, clock).state == "timed out"
    server.stop()
    reading = check(server, transport, clock)
    assert (reading.healthy, reading.state) == (False, "refused")
    assert "port" in reading.evidence.detail


def test_a_reset(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    def reset(connection: socket.socket, _request: bytes) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    server.reply = reset
    assert check(server, transport, clock).state == "reset"


def test_an_endless_body_is_cut(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    def endless(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.stopping.is_set():
            connection.sendall(b"\x1b[31mred " * 1000)

    server.reply = endless
    reading = check(server, transport, clock, timeout_s=3.0)
    assert reading.state == "not JSON"
    assert len(reading.evidence.excerpt) <= 200
    assert "\x1b" not in reading.evidence.excerpt


def test_a_bomb_does_not_go_off(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    server.reply = respond(200, gzip.compress(b" " * 20_000_000), "Content-Encoding: gzip")
    assert check(server, transport, clock).state == "not JSON"
    server.reply = respond(200, gzip.compress(b'{"state": "RUNNING"}'), "Content-Encoding: gzip")
    assert check(server, transport, clock).healthy
    assert BODY_LIMIT == 65536


def scim(server: Server, **changes: object) -> dict[str, object]:
    path = "/scim/zbs848185728/v2/Users?count=0"
    return {"service": "scim", "path": path, "expect": Expectation(status=None, scim=True), **changes}


def test_scim_without_a_token(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    server.reply = respond(401, json.dumps({"schemas": [SCIM_ERROR], "status": "401"}))
    assert check(server, transport, clock, **scim(server)).healthy
    assert b"GET /scim/zbs848185728/v2/Users?count=0 HTTP/1.1" in server.requests[0]
    assert b"Authorization" not in server.requests[0]


def test_the_token_is_sent_and_never_shown(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    token = Secret("env:SCIM_TOKEN", lambda: CANARY)
    server.reply = respond(200, json.dumps({"schemas": [SCIM_LIST]}))
    assert check(server, transport, clock, **scim(server, token=token)).healthy
    assert f"Authorization: Bearer {CANARY}".encode() in server.requests[0]
    for echo in (f"<p>{CANARY}</p>", f'{{"state": "{CANARY}"}}', "x" * 190 + CANARY):
        server.reply = respond(401, echo, f"Location: /{CANARY}")
        reading = check(server, transport, clock, **scim(server, token=token))
        assert not reading.healthy
        assert CANARY[:9] not in repr(reading)
    server.reply = respond(302, "", f"Location: /{CANARY}")
    assert CANARY[:9] not in repr(check(server, transport, clock, **scim(server, token=token)))


def test_a_token_that_can_not_be_sent_is_not_shown_either(
    server: Server, transport: httpx.BaseTransport, clock: SystemClock
) -> None:
    for token in ("canary-7f3a\nx", "canary-7f3a-\N{SNOWMAN}"):
        reading = check(server, transport, clock, **scim(server, token=Secret("x", lambda token=token: token)))
        assert (reading.healthy, reading.state) == (False, "invalid")
        assert "canary" not in repr(reading)


def test_a_token_that_can_not_be_read_is_a_reading(
    server: Server, transport: httpx.BaseTransport, clock: SystemClock
) -> None:
    def read() -> str:
        raise InvalidInput(["env:SCIM_TOKEN is not set"])

    reading = check(server, transport, clock, **scim(server, token=Secret("env:SCIM_TOKEN", read)))
    assert (reading.healthy, reading.evidence.detail) == (False, "env:SCIM_TOKEN is not set")
    assert server.requests == []


def test_tls_where_there_is_none(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    server.reply = respond(200)
    reading = check(server, transport, clock, scheme="https", timeout_s=2.0)
    assert not reading.healthy
    assert reading.state in ("TLS", "timed out", "reset")


def test_a_name_that_leads_nowhere(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    reading = check(server, transport, clock, host="no-such-host.invalid", timeout_s=2.0)
    assert reading.state in ("no address", "timed out")


def test_tcp(server: Server, clock: SystemClock) -> None:
    tcp = make_check(settings(server, path=None), None, dial_directly, clock)
    assert tcp.check().state == "open"
    server.stop()
    reading = tcp.check()
    assert (reading.healthy, reading.state) == (False, "refused")


def test_tcp_through_a_tunnel_that_breaks(server: Server, clock: SystemClock) -> None:
    def broken(_host: str, _port: int, _timeout_s: float) -> socket.socket:
        raise EOFError("channel closed")

    reading = make_check(settings(server, path=None), None, broken, clock).check()
    assert (reading.healthy, reading.state) == (False, "failed")


def test_an_ssl_error_names_the_certificate() -> None:
    from rollsafe.probes.failure import failure

    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_message = "self-signed certificate"
    wrapped = httpx.ConnectError("x")
    wrapped.__cause__ = error
    assert failure(wrapped) == ("TLS", "the certificate is not trusted: self-signed certificate; is ca_file right?")
