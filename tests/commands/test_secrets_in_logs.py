"""What libraries log of requests and answers holds no secret, however much is logged and whatever a server echoes."""

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TOKEN, WORD, BLANK = "canary-token-4711", "canary-word-0815", "canary-blank-1234"
SENT = base64.b64encode(f"admin:{WORD}".encode()).decode()


class Echo(BaseHTTPRequestHandler):
    """Redirects, and says in every header and in the body what it was sent."""

    def do_GET(self) -> None:
        said = self.headers.get("Authorization", "none")
        self.send_response(302, f"Found {said}")
        self.send_header("Location", f"https://idp.example.com/?token={said}")
        self.send_header("Set-Cookie", f"echo={said}")
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, *_: object) -> None:
        """Nothing of it on this process's stderr."""


@pytest.fixture
def server() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as echo:
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        yield echo.server_address[1]
        echo.shutdown()


@pytest.fixture
def inventory(tmp_path: Path, server: int) -> Path:
    file = tmp_path / "inventory.yml"
    file.write_text(f"""
cluster: c
product: jira
nodes: {{n1: 127.0.0.1, n2: 127.0.0.2}}
ssh: {{user: r, port: {server}, connect_timeout: 1s}}
balancers:
  lb:
    driver: apache
    endpoints: ["http://127.0.0.1:{server}/balancer-manager"]
    username: admin
    password: env:WORD
services:
  scim:
    port: {server}
    balancer: lb
    pool: scim
    tenants: [{{id: abc, token: env:TOKEN}}]
    probe: {{base_url: "http://127.0.0.1:{server}"}}
  web:
    port: {server}
    balancer: lb
    pool: jira
    probe: {{url: "http://127.0.0.1:{server}/status?key=1", token: env:TOKEN}}
""")
    return file


def called(inventory: Path, *words: str, **environment: str) -> tuple[int, str]:
    """The exit code, and everything that was said and logged."""
    log = inventory.parent / "rollsafe.log"
    command = [sys.executable, "-m", "rollsafe", *words, "-i", str(inventory), "-v", "-v", "--log-file", str(log)]
    told = {"TOKEN": TOKEN, "WORD": WORD, "XDG_STATE_HOME": str(inventory.parent), **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **told})
    return done.returncode, done.stdout + done.stderr + (log.read_text() if log.exists() else "")


@pytest.mark.parametrize("command", ["plan", "doctor", "status"])
def test_no_secret_is_logged_that_a_server_echoes(inventory: Path, command: str) -> None:
    code, told = called(inventory, command)
    assert code in (10, 30, 40)
    assert "DEBUG httpcore.http11: receive_response_headers.complete 302" in told
    for canary in (TOKEN, WORD, SENT):
        assert canary not in told
    assert "Set-Cookie" not in told


@pytest.mark.parametrize("end", [" ", "\nsecond-line"])
@pytest.mark.parametrize("command", ["plan", "doctor"])
def test_a_token_that_no_header_can_carry_is_told_before_it_is_sent(inventory: Path, command: str, end: str) -> None:
    code, told = called(inventory, command, TOKEN=BLANK + end)
    assert code == (2 if command == "plan" else 10)
    assert "env:TOKEN: the token " in told
    assert "keep the token alone there" in told
    assert BLANK not in told
