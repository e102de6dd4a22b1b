"""The lab as a whole: builds the cluster in one folder, keeps it up, and takes it down to the last process."""

import contextlib
import getpass
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rollsafe.errors import InvalidInput, RollsafeError
from rollsafe.lab import texts
from rollsafe.lab.faults import FAULTS, Fault, Scene, Trigger, prepare
from rollsafe.lab.keys import known_hosts_line, make_key
from rollsafe.lab.leash import Leash
from rollsafe.lab.seen import Summary, read_summary

HOST = "127.0.0.1"
TOKEN = "lab-token-of-the-identity-provider"  # it opens nothing but this lab
PORTS = range(20_000, 32_000)  # below the ports that a machine gives to outgoing connections
STOP_S = 3.0
UP_S = 20.0
MIN_NODES, MAX_NODES = 2, 9


class Lab:
    """A cluster on loopback. `start` it, use `inventory`, and `stop` it; or use it as a context manager.

    If this process dies without `stop`, the lab's processes end by themselves, and the folder stays.
    """

    def __init__(self, folder: Path, *, nodes: int = 3, fault: str | None = None, haproxy: bool = False) -> None:
        self.folder = folder.absolute()
        self.fault = _known_fault(fault, haproxy)
        self._haproxy = _haproxy_program() if haproxy else ""
        if not MIN_NODES <= nodes <= MAX_NODES:
            raise InvalidInput([f"--nodes {nodes}: the lab has {MIN_NODES} to {MAX_NODES} nodes"])
        self.places = _places(self.folder, nodes)
        self.scene = Scene(self.places.nodes[1].folder, self.places.nodes[2 % nodes].folder, self.places.scim.folder)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._leash: Leash | None = None
        self._trigger = Trigger(self.fault, self.scene) if self.fault and self.fault.at_stop else None

    # --- for others ---

    @property
    def haproxy(self) -> bool:
        """Is the real program in front of the nodes?"""
        return bool(self._haproxy)

    @property
    def leash_path(self) -> Path:
        """For further programs that are to end with the lab (rollsafe.lab.leash)."""
        return self.folder / "leash"

    @property
    def inventory(self) -> Path:
        """The inventory of this cluster."""
        return self.folder / "inventory.yml"

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes, in the order in which they are restarted."""
        return tuple(node.name for node in self.places.nodes)

    def summary(self) -> Summary:
        """What was seen from outside until now."""
        return read_summary(self.folder / "traffic", {node.name: node.folder for node in self.places.nodes})

    def start(self) -> None:
        """Build and start everything; returns when each balancer shows each server up. Raises RollsafeError."""
        self._make_folders()
        self._leash = Leash(self.leash_path)
        try:
            self._write_files()
            self._start_processes()
            if self.fault:
                prepare(self.fault, self.scene)
            if self._trigger:
                self._trigger.start()
        except BaseException:
            self.stop()
            raise

    def stop_traffic(self) -> None:
        """End the clients, and have their last word written."""
        self._end("traffic")

    def stop(self) -> None:
        """End every process of the lab, each by its own pid. The folder stays."""
        if self._trigger:
            self._trigger.stop()
        self.stop_traffic()
        pids = [pid for node in self.places.nodes if (pid := _read_pid(node.folder / "node.pid"))]
        if self._leash:
            self._leash.drop()
        for name in list(self._children):
            self._end(name)
        for pid in pids:
            self._wait_gone(pid)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- building ---

    def _make_folders(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("ssh", "claims", "traffic"):
            (self.folder / name).mkdir(mode=0o700)
        for folder in (*(node.folder for node in self.places.nodes), self.places.scim.folder, self.places.web.folder):
            folder.mkdir(mode=0o700)

    def _write_files(self) -> None:
        self._write_keys()
        (self.folder / "scim.token").touch(mode=0o600)
        (self.folder / "scim.token").write_text(TOKEN + "\n")
        timeout = self.fault.start_timeout if self.fault else "25s"
        self.inventory.write_text(texts.inventory(self.places, timeout))
        (self.folder / "ssh_config").write_text(texts.ssh_config(self.places))
        for node in self.places.nodes:
            self._write_node(node)
        self._write_balancer(self.places.scim, {"path": texts.SCIM_CHECK, "status": 401}, "")
        self._write_balancer(self.places.web, {"path": "/status", "word": "RUNNING"}, "SRV")
        holds = 2 * len(self.places.nodes) if self.fault and self.fault.holds else 0
        traffic = {"scim_url": self.places.scim_url, "web_url": self.places.web_url, "token": TOKEN, "holds": holds}
        self._write_settings(self.folder / "traffic", traffic)

    def _write_keys(self) -> None:
        ssh = self.folder / "ssh"
        host_key, authorized = make_key(ssh / "host_key"), make_key(ssh / "user_key")
        lines = [known_hosts_line(HOST, node.ssh_port, host_key) for node in self.places.nodes]
        (ssh / "known_hosts").write_text("".join(lines))
        doors = {node.name: (node.ssh_port, str(node.folder)) for node in self.places.nodes}
        facts = {"host": HOST, "host_key": str(ssh / "host_key"), "authorized": authorized, "doors": doors}
        self._write_settings(ssh, facts)

    def _write_node(self, node: texts.NodePlace) -> None:
        facts = {"name": node.name, "host": HOST, "web_port": node.web_port, "scim_port": node.scim_port}
        self._write_settings(node.folder, {**facts, "tenant": texts.TENANT, "token": TOKEN})
        root = Path(__file__).resolve().parents[2]
        scripts = {"start.sh": texts.start_script(sys.executable, root), "restart.sh": texts.restart_script(node.name)}
        for name, text in scripts.items():
            (node.folder / name).write_text(text)
            (node.folder / name).chmod(0o700)

    def _write_balancer(self, place: texts.BalancerPlace, check: dict[str, Any], cookie: str) -> None:
        web = place is self.places.web
        servers = {node.name: node.web_port if web else node.scim_port for node in self.places.nodes}
        facts = {"name": place.pool, "host": HOST, "port": place.port, "admin_port": place.admin_port}
        self._write_settings(place.folder, {**facts, "servers": servers, "check": check, "cookie_name": cookie})
        (place.folder / "haproxy.cfg").write_text(texts.haproxy_cfg(self.places, place))

    def _write_settings(self, folder: Path, facts: dict[str, Any]) -> None:
        (folder / "lab.json").write_text(json.dumps({**facts, "leash": str(self.leash_path)}, indent=1))

    # --- processes ---

    def _start_processes(self) -> None:
        starters = [
            subprocess.Popen([str(node.folder / "start.sh"), "--first"], start_new_session=True)
            for node in self.places.nodes
        ]
        self._spawn("sshd", ["-m", "rollsafe.lab.sshd", str(self.folder / "ssh" / "lab.json")], self.folder / "ssh")
        for place in (self.places.scim, self.places.web):
            self._spawn_balancer(place)
        if any(starter.wait(UP_S) for starter in starters):
            raise RollsafeError(f"The lab could not be built: a node did not start. See {self.folder}/jira*/node.log")
        deadline = time.monotonic() + UP_S
        for node in self.places.nodes:
            self._await(f"the SSH server of {node.name}", partial(_listens, node.ssh_port), deadline)
        for place in (self.places.scim, self.places.web):
            self._await(f"every server of {place.name}", partial(self._all_up, place), deadline)
        self._spawn("traffic", ["-m", "rollsafe.lab.traffic", str(self.folder / "traffic")], self.folder / "traffic")
        self._await("the first requests", self._flows, deadline)

    def _spawn_balancer(self, place: texts.BalancerPlace) -> None:
        own = ["-m", "rollsafe.lab.balancer", str(place.folder)]
        real = ["-m", "rollsafe.lab.leash", str(self.leash_path), self._haproxy, "-db", "-f"]
        real.append(str(place.folder / "haproxy.cfg"))
        child = self._spawn(place.name, real if self._haproxy else own, place.folder)
        (place.folder / "pid").write_text(f"{child.pid}\n")

    def _spawn(self, name: str, arguments: list[str], folder: Path) -> "subprocess.Popen[bytes]":
        """A child in a session of its own: the terminal's Ctrl-C is not for it."""
        with (folder / "log").open("ab") as log:
            self._children[name] = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            )
        return self._children[name]

    def _await(self, what: str, there: Callable[[], bool], deadline: float) -> None:
        while not there():
            dead = next((name for name, child in self._children.items() if child.poll() is not None), None)
            if dead or time.monotonic() > deadline:
                why = f"{dead} ended" if dead else f"{what} did not appear within {UP_S:g} s"
                raise RollsafeError(f"The lab could not be built: {why}. The logs are under {self.folder}")
            time.sleep(0.05)

    def _all_up(self, place: texts.BalancerPlace) -> bool:
        try:
            with socket.create_connection((HOST, place.admin_port), timeout=2) as sock:
                sock.sendall(f"show servers state {place.pool}\n".encode())
                lines = sock.makefile().read().splitlines()[2:]
        except OSError:
            return False
        # op state 2, admin state 0, check result 3 and full health (rise + fall - 1)
        good = [
            words
            for line in lines
            if (words := line.split()) and words[5:7] == ["2", "0"] and words[11:13] == ["3", "3"]
        ]
        return len(good) == len(self.places.nodes)

    def _flows(self) -> bool:
        services = self.summary().services
        return bool(services) and all(seen.requests for seen in services.values())

    def _end(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child is None:
            return
        child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _wait_gone(self, pid: int) -> None:
        """A node ends with the leash. One that does not, is ended, if it is still ours."""
        deadline = time.monotonic() + STOP_S
        while _alive(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        if _alive(pid) and b"rollsafe.lab.node" in _command_line(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _known_fault(name: str | None, haproxy: bool) -> Fault | None:
    if name is None:
        return None
    fault = FAULTS.get(name)
    if fault is None:
        raise InvalidInput([f"--fault {name}: there is no such fault. Known are: {', '.join(FAULTS)}"])
    if haproxy and fault.own_balancer:
        raise InvalidInput([f"--fault {name} needs the lab's own balancer: leave --haproxy out"])
    return fault


def _haproxy_program() -> str:
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise InvalidInput(["--haproxy: the program haproxy is not installed. Install it, or leave --haproxy out"])
    return program


def _places(folder: Path, nodes: int) -> texts.Places:
    ports = iter(_free_ports(3 * nodes + 4))
    names = [f"jira{number}" for number in range(1, nodes + 1)]
    return texts.Places(
        folder,
        HOST,
        _user(),
        tuple(texts.NodePlace(name, next(ports), next(ports), next(ports), folder / name) for name in names),
        scim=texts.BalancerPlace("scim-lb", "scim", next(ports), next(ports), folder / "scim-lb"),
        web=texts.BalancerPlace("web-lb", "jira", next(ports), next(ports), folder / "web-lb"),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "rollsafe"


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. Each is tried by binding it."""
    found = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as sock:
            try:
                sock.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RollsafeError(f"The lab needs {count} free ports of {PORTS.start} to {PORTS.stop}, and found {len(found)}.")


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    try:  # a zombie is gone in all but name
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
