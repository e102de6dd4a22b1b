"""A real HAProxy: one process tree for each endpoint, its admin socket on TCP, reloads as its service does them."""

import re
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.nodes import TestNode
from tests.testbed.process import Daemon, children_of, kill_quietly, program, wait_until

CONFIG = """
global
    maxconn 500
    stats socket ipv4@{host}:9999 level admin
    stats timeout 30s
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    retries 0
    default-server check inter {inter} fastinter 100ms fall 2 rise 2
frontend front
    bind {host}:{front}
    default_backend {pool}
backend {pool}
    balance roundrobin
    {options}
{servers}
"""

OPTIONS = {
    "web": "cookie SRV insert indirect nocache\n    option httpchk GET /status\n    http-check expect string RUNNING",
    "scim": "option httpchk GET /scim/{tenant}/v2/Users?count=0\n    http-check expect status 401",
}


@dataclass(frozen=True)
class Seat:
    """One server of a backend, as the admin socket shows it."""

    admin: str  # ready | drain | maint
    status: str  # HAProxy's own word
    active: int
    total: int


class Haproxy:
    """One endpoint with one backend, named as its service: `scim` or `web`."""

    def __init__(
        self, folder: Path, host: str, service: str, nodes: list[TestNode], tenant: str = "", *, inter: str
    ) -> None:
        folder.mkdir(parents=True)
        self.host, self.service, self.front = host, service, 8000
        servers = [
            f"    server {n.name} {n.host}:{getattr(n, service)}" + (f" cookie {n.name}" if service == "web" else "")
            for n in nodes
        ]
        text = CONFIG.format(
            host=host,
            inter=inter,
            front=self.front,
            pool=service,
            options=OPTIONS[service].format(tenant=tenant),
            servers="\n".join(servers),
        )
        self.config = folder / "haproxy.cfg"
        self.config.write_text(text)
        command = [program("haproxy"), "-W", "-db", "-f", str(self.config)]
        self._daemon = Daemon(f"haproxy of {service} at {host}", command, folder / "haproxy.log")

    @property
    def endpoint(self) -> str:
        """As the inventory names it."""
        return f"tcp://{self.host}:9999"

    @property
    def address(self) -> str:
        """Where clients send their requests."""
        return f"{self.host}:{self.front}"

    def start(self) -> None:
        self._daemon.start()
        self._daemon.wait_for(self.answers)

    def stop(self) -> None:
        """The balancer is gone: nobody proxies, nobody answers."""
        for pid in children_of(self._daemon.pid) if self._daemon.runs else []:
            kill_quietly(pid)
        self._daemon.stop()

    def hang(self) -> None:
        """The whole balancer stands still: connections are accepted and never answered."""
        for pid in [self._daemon.pid, *children_of(self._daemon.pid)]:
            kill_quietly(pid, signal.SIGSTOP)

    def wake(self) -> None:
        if self._daemon.runs:
            for pid in [self._daemon.pid, *children_of(self._daemon.pid)]:
                kill_quietly(pid, signal.SIGCONT)

    def reload(self) -> None:
        """As `systemctl reload haproxy` does: a new worker, that knows of no drain; the old one serves what it has."""
        before = self.info("Pid")
        self._daemon.send(signal.SIGUSR2)
        wait_until(lambda: self.answers() and self.info("Pid") != before, 10, "reload of haproxy")

    def ask(self, command: str, timeout_s: float = 2) -> str:
        """One admin command. Raises OSError."""
        with socket.create_connection((self.host, 9999), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(command.encode() + b"\n")
            answer = b""
            deadline = time.monotonic() + timeout_s
            while (data := connection.recv(65536)) and time.monotonic() < deadline:
                answer += data
        return answer.decode()

    def answers(self) -> bool:
        try:
            return "Pid:" in self.ask("show info")
        except OSError:
            return False

    def info(self, key: str) -> str:
        found = re.search(rf"^{key}: (.*)$", self.ask("show info"), re.MULTILINE)
        return found.group(1) if found else ""

    def set_state(self, node: str, state: str) -> None:
        """What a person types: ready, drain or maint."""
        answer = self.ask(f"set server {self.service}/{node} state {state}")
        assert not answer.strip(), answer

    def seats(self) -> dict[str, Seat]:
        """Every server by its name. Raises OSError."""
        states, stats = self.ask(f"show servers state {self.service};show stat {self.service} 4 -1").split(
            "# pxname", 1
        )
        masks = {row["srv_name"]: int(row["srv_admin_state"]) for row in table(states[states.index("# ") + 2 :], " ")}
        return {
            row["svname"]: Seat(admin_word(masks[row["svname"]]), row["status"], int(row["scur"]), int(row["stot"]))
            for row in table("pxname" + stats, ",")
        }


def table(text: str, separator: str) -> list[dict[str, str]]:
    """Rows by the names in the first line."""
    lines = [line for line in text.splitlines() if line.strip()]
    names = lines[0].split(separator)
    return [dict(zip(names, line.split(separator), strict=False)) for line in lines[1:]]


def admin_word(mask: int) -> str:
    """The mask is printed in decimal: 1, 2 and 32 are maint; 8 and 16 drain; 4 only says `disabled` in the file."""
    if mask & 0x23:
        return "maint"
    return "drain" if mask & 0x18 else "ready"
