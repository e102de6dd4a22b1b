"""The bed itself: a whole cluster of real programs on loopback, its inventory, its load and its observer."""

import http.client
import json
import os
import pwd
import random
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.testbed import command
from tests.testbed.apache import PASSWORD, USER, Apache
from tests.testbed.haproxy import Haproxy
from tests.testbed.nodes import TestNode
from tests.testbed.observer import Observer
from tests.testbed.process import Daemon, wait_until
from tests.testbed.relay import Relay
from tests.testbed.sshd import Sshd, keygen

ADMIN = 9990  # the relay's port; the observer looks at 9999 itself
TENANT, TOKEN = "zbs848185728", "scim-canary-7f3a9c"
# Short, and yet long enough for a busy machine: a gap of more than three polls makes a run observe everything anew.
SHORT_POLICY = {
    "healthy_for": "1s",
    "soak": "1s",
    "poll": "500ms",
    "start_timeout": "20s",
    "gate_timeout": "5s",
    "put_back_timeout": "6s",
}


class Testbed:
    """`with Testbed(tmp_path) as bed: bed.rollsafe("run", "--yes")`.

    `pair`: SCIM has an HA pair of HAProxy. `scim="apache"`: SCIM has Apache instead. `load`: clients during the whole
    time. `check_every`: HAProxy's own checks. `overrides` are merged over the inventory (maps merge, everything else
    replaces).
    """

    __test__ = False

    def __init__(
        self,
        folder: Path,
        nodes: int = 3,
        *,
        pair: bool = True,
        scim: str = "haproxy",
        load: bool = True,
        start_s: float = 1.0,
        check_every: str = "200ms",
        overrides: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.base = free_base()
        self.nodes = [TestNode(f"jira{i}", f"{self.base}.{10 + i}", folder / f"jira{i}") for i in range(1, nodes + 1)]
        self._pair, self._scim_product, self._with_load, self._start_s = pair, scim, load, start_s
        self._check_every = check_every
        self._overrides = overrides or {}
        self._stack = ExitStack()
        self._running: list[command.Running] = []
        self.scim: list[Haproxy | Apache] = []
        self.web: Haproxy
        self.relays: dict[str, Relay] = {}  # scim1, scim2, web: the wire to each admin API
        self.sshds: dict[str, Sshd] = {}
        self.observer: Observer
        self._load: Daemon | None = None
        self.slow_answers: list[int] = []

    # --- life -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _build(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "home" / ".ssh").mkdir(parents=True)
        (self.folder / "claims").mkdir()
        public = keygen(self.folder / "operator_key")
        (self.folder / "authorized_keys").write_text(public + "\n")
        self._start_nodes()
        self._start_balancers()
        known = "\n".join(server.known_host for server in self.sshds.values()) + "\n"
        (self.folder / "known_hosts").write_text(known)
        self.write_inventory()
        wait_until(self.all_up, 15, "all members up on all endpoints")
        self.observer = Observer([*self.scim, self.web], self.nodes)
        self._stack.callback(self.observer.stop)
        self._stack.callback(self._stop_commands)
        if self._with_load:
            self.start_load()

    def _start_nodes(self) -> None:
        for node in self.nodes:
            node.prepare(TENANT, TOKEN, self._start_s)
            node.start()
            self._stack.callback(node.end)
            server = Sshd(self.folder / f"sshd-{node.name}", node.host, self.folder / "authorized_keys")
            self._stack.callback(server.stop)
            server.start()
            self.sshds[node.name] = server

    def _start_balancers(self) -> None:
        inter = self._check_every
        if self._scim_product == "apache":
            self.scim = [Apache(self.folder / "apache", f"{self.base}.2", self.nodes, TENANT)]
        else:
            hosts = [2, 3] if self._pair else [2]
            self.scim = [
                Haproxy(self.folder / f"scim-lb{i}", f"{self.base}.{i}", "scim", self.nodes, TENANT, inter=inter)
                for i in hosts
            ]
        self.web = Haproxy(self.folder / "web-lb", f"{self.base}.4", "web", self.nodes, inter=inter)
        for balancer in self.balancers:
            self._stack.callback(balancer.stop)
            self._stack.callback(balancer.wake)
            balancer.start()
        names = [f"scim{i}" for i in range(1, len(self.scim) + 1)]
        for name, balancer in zip([*names, "web"], self.balancers, strict=True):
            relay = self.relays[name] = Relay(balancer.host, ADMIN, 9999)
            self._stack.callback(relay.stop)
            relay.start()

    def _stop_commands(self) -> None:
        for running in self._running:
            running.stop()

    # --- parts ------------------------------------------------------------------------------------------------------

    @property
    def balancers(self) -> list[Haproxy | Apache]:
        return [*self.scim, self.web]

    def node(self, name: str) -> TestNode:
        return next(node for node in self.nodes if node.name == name)

    def all_up(self) -> bool:
        """Is every member in service on every endpoint?"""
        words = [(seat.admin, seat.status) for balancer in self.balancers for seat in balancer.seats().values()]
        return all(admin == "ready" and status in ("UP", "Init Ok") for admin, status in words)

    # --- the inventory ----------------------------------------------------------------------------------------------

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    def write_inventory(self, **overrides: Any) -> None:
        """Write inventory.yml, as a person would write it for this cluster but for the short times."""
        content = merge(merge(self._inventory(), self._overrides), overrides)
        self.inventory.write_text(yaml.safe_dump(content, sort_keys=False))

    def _inventory(self) -> dict[str, Any]:
        nodes = {
            n.name: {"host": n.host, "restart": {"command": n.restart_command, "identity": n.identity_command}}
            for n in self.nodes
        }
        scim_lb: dict[str, Any] = {"driver": self._scim_product, "endpoints": [through_relay(b) for b in self.scim]}
        if self._scim_product == "apache":
            scim_lb |= {"username": USER, "password": "env:LB_PASSWORD"}
        ssh = {"user": pwd.getpwuid(os.geteuid()).pw_name, "port": 2222, "private_key": "operator_key"}
        return {
            "cluster": "bed",
            "product": "jira",
            "nodes": nodes,
            "ssh": {**ssh, "known_hosts": "known_hosts", "connect_timeout": "3s"},
            "restart": {"sudo": False, "timeout": "6s"},
            "balancers": {"scim-lb": scim_lb, "web-lb": {"driver": "haproxy", "endpoints": [through_relay(self.web)]}},
            "services": {"scim": self._scim_service(), "web": self._web_service()},
            "policy": SHORT_POLICY,
            "claim_dir": str(self.folder / "claims"),
        }

    def _scim_service(self) -> dict[str, Any]:
        probe = {"base_url": f"http://{self.scim[0].address}", "interval": "500ms", "timeout": "2s", "max_outage": "3s"}
        return {
            "port": 5501,
            "balancer": "scim-lb",
            "pool": "scim",
            "tenants": [{"id": TENANT, "token": "env:SCIM_TOKEN"}],
            "drain": {"idle": "required", "timeout": "4s"},
            "probe": probe,
        }

    def _web_service(self) -> dict[str, Any]:
        url = f"http://{self.web.address}/status"
        probe: dict[str, Any] = {
            "url": url,
            "status": 200,
            "json": {"state": "RUNNING"},
            "interval": "500ms",
            "timeout": "2s",
        }
        probe["max_outage"] = "3s"
        drain = {"idle": "preferred", "timeout": "1s", "linger": "4s"}
        return {
            "port": 8080,
            "balancer": "web-lb",
            "pool": "web",
            "drain": drain,
            "probe": {**probe, "max_outage": "3s"},
        }

    # --- the operator -----------------------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """What the operator's shell holds: a home of its own, and the secrets."""
        home = self.folder / "home"
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "USER": "night-operator",
            "LANG": "C.UTF-8",
            "SCIM_TOKEN": TOKEN,
            "LB_PASSWORD": PASSWORD,
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "PYTHONWARNINGS": "error",
        }

    def start(self, *words: str, home: Path | None = None, job: bool = False) -> command.Running:
        """Start `rollsafe WORDS -i inventory.yml -o json` and return at once. `home`: another machine's operator."""
        environment = self.environment
        if home is not None:
            environment |= {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
        extra = () if {"-o", "--output"} & set(words) else ("-o", "json")
        running = command.start([*words, "-i", str(self.inventory), *extra], self.folder, environment, job=job)
        self._running.append(running)
        return running

    def rollsafe(self, *words: str, timeout_s: float = 120, home: Path | None = None) -> command.Result:
        """Run `rollsafe WORDS` to its end."""
        return self.start(*words, home=home).result(timeout_s)

    # --- the clients ------------------------------------------------------------------------------------------------

    def start_load(self, **changes: Any) -> None:
        """Start the clients; they go on until `stop_load`."""
        settings = {"scim": [b.address for b in self.scim], "web": [self.web.address], "tenant": TENANT, "token": TOKEN}
        settings |= {"scim_clients": 2, "scim_pause_s": 0.1, "scim_ms": 60}
        settings |= {"web_clients": 4, "web_pause_s": 0.25, "web_ms": 40, "slow_ms": 1200, "sticky": True}
        path = self.folder / "load.json"
        path.write_text(json.dumps(settings | changes))
        program = [sys.executable, str(Path(__file__).with_name("load.py")), str(path), str(self.folder / "load.jsonl")]
        self._load = Daemon("load", program, self.folder / "load.log")
        self._stack.callback(self.stop_load)
        self._load.start()
        self._load.wait_for(lambda: len(self.requests()) > 10)

    def stop_load(self) -> None:
        if self._load is not None:
            self._load.stop(signal.SIGTERM, 20)
            self._load = None

    def requests(self, service: str | None = None) -> list[dict]:
        """What the clients saw so far."""
        path = self.folder / "load.jsonl"
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if service in (None, line["service"])]

    def failed_requests(self) -> list[dict]:
        return [request for request in self.requests() if not request["good"]]

    def cut_requests(self) -> list[str]:
        """The requests that stops of nodes broke off, as the nodes count them."""
        return [f"{node.name}: {request}" for node in self.nodes for request in node.cut]

    def slow_scim(self, seconds: float) -> list[threading.Thread]:
        """A SCIM write of so many seconds in flight on each node (round robin; so only without other clients)."""
        threads = [threading.Thread(target=self._post, args=(seconds,), daemon=True) for _ in self.nodes]
        for thread in threads:
            self._stack.callback(thread.join, seconds + 15)
        flying = sum(seat.active for seat in self.scim[0].seats().values())
        for count, thread in enumerate(threads, flying + 1):
            thread.start()
            wait_until(lambda n=count: sum(s.active for s in self.scim[0].seats().values()) >= n, 5, "a slow write")
        return threads

    def _post(self, seconds: float) -> None:
        connection = http.client.HTTPConnection(self.scim[0].address, timeout=seconds + 10)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        try:
            connection.request("POST", f"/scim/{TENANT}/v2/Users?ms={seconds * 1000:.0f}", "{}", headers)
            self.slow_answers.append(connection.getresponse().status)
        except (OSError, http.client.HTTPException):
            self.slow_answers.append(0)
        finally:
            connection.close()

    # --- watching ---------------------------------------------------------------------------------------------------

    def watched(self, *words: str, timeout_s: float = 120) -> command.Result:
        """Run a command under the observer's eyes, and stop the clients after it."""
        self.observer.start()
        result = self.rollsafe(*words, timeout_s=timeout_s)
        self.settle()
        return result

    def settle(self) -> None:
        """End of the watched time: the clients end, a last look is taken."""
        time.sleep(0.3)
        self.stop_load()
        self.observer.stop()


def through_relay(balancer: Haproxy | Apache) -> str:
    """The admin API's address as the inventory names it: on the wire that a test can cut."""
    return balancer.endpoint.replace(":9999", f":{ADMIN}")


def free_base() -> str:
    """Three numbers of a loopback network in which nobody listens."""
    for _ in range(50):
        base = f"127.{random.randint(10, 250)}.{random.randint(1, 250)}"
        try:
            for host, port in (("11", 8080), ("11", 2222), ("2", 9999), ("4", 8000)):
                with socket.socket() as probe:
                    probe.bind((f"{base}.{host}", port))
        except OSError:
            continue
        return base
    raise OSError("no free loopback network found in 50 tries")


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Maps merge, everything else is replaced; None removes."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result
