"""What a rolling restart costs on real HAProxy and OpenSSH: time and CPU per node, memory; and `plan` for 20 nodes.

    python -m benchmarks.rolling

Time per node counts what is beyond the unavoidable of the same run: the longest request in flight when the drain
began, the node's own stop and start, `healthy_for`, `soak`, and the balancer's own check after maint. CPU is compared
with a loop of plain Python on the same machine, memory with a bare interpreter, `plan` with OpenSSH's own client, which
runs `true` on the same nodes all at once. Exit 1 past a limit.
"""

import json
import os
import pwd
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.testbed import Result, Testbed

NODES = 3
PLANNED = 20
HEALTHY_FOR_S, SOAK_S = 1.0, 1.0
CHECK_S = 2 * 0.2  # the testbed's HAProxy: two good checks, 200 ms apart, before a member counts as up
HAPROXY_INTER = "2s"  # its default
LIMITS = {"time per node, beyond": 1.0, "CPU per node": 0.7, "peak memory": 90.0, "plan for 20 nodes": 1.0}
ANSIBLE = {"time per node, beyond": "5.4 s", "CPU per node": "7.6 s", "peak memory": "151 MiB"}


@dataclass(frozen=True)
class Measure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    baseline: float
    what: str

    @property
    def ok(self) -> bool:
        return self.value <= LIMITS[self.name]

    def __str__(self) -> str:
        compared = f"{self.value / self.baseline:6.2f} x {self.what} ({self.baseline:.2f} {self.unit})"
        limit = f"limit {LIMITS[self.name]:g} {self.unit}"
        verdict = "ok" if self.ok else "OVER"
        than = f", Ansible {ANSIBLE[self.name]}" if self.name in ANSIBLE else ""
        return f"{self.name:22} {self.value:7.2f} {self.unit:4} {compared:60} {limit}{than}: {verdict}"


def stamp(event: dict) -> float:
    """The event's time, in seconds since 1970."""
    return datetime.fromisoformat(event["time"]).timestamp()


def first(events: list[dict], type_: str, node: str, **wanted: str) -> float:
    """When the first such event of a node was."""
    for event in events:
        fields = {**(event.get("data") or {}), **event}
        if event["type"] == type_ and event.get("node") == node and all(fields.get(k) == v for k, v in wanted.items()):
            return stamp(event)
    raise LookupError(f"no {type_} {wanted} of {node}")


def in_flight_s(bed: Testbed, service: str, node: str, moment: float) -> float:
    """How long the last request that was in flight on a node at that moment went on."""
    ends = [r["time"] + r["took"] for r in bed.requests(service) if r["node"] == node and r["time"] <= moment]
    return max([end - moment for end in ends if end > moment], default=0.0)


def unavoidable_s(bed: Testbed, events: list[dict], node: str) -> float:
    """What no tool could save for this node, in this run."""
    stopped = bed.node(node).report("stopped")[-1]["time"]
    serving = bed.node(node).report("serving")[-1]["time"]
    flight = sum(in_flight_s(bed, s, node, first(events, "write.done", node, service=s)) for s in ("web", "scim"))
    return flight + (serving - stopped) + HEALTHY_FOR_S + CHECK_S + SOAK_S


def rolling(folder: Path) -> tuple[Result, float, float]:
    """One run under load: what it left, seconds per node in all, seconds per node that were unavoidable."""
    with Testbed(folder, nodes=NODES, overrides={"policy": {"poll": "250ms"}}) as bed:
        bed.stop_load()
        bed.start_load(web_clients=3, web_pause_s=0.3, slow_ms=400, sticky=False)
        result = bed.watched("run", "--yes")
        assert result.exit == 0, result.text
        assert bed.failed_requests() == [], bed.failed_requests()
        assert bed.cut_requests() == [], bed.cut_requests()
        events = result.events
        names = [node.name for node in bed.nodes]
        whole = sum(first(events, "node.finished", n) - first(events, "node.started", n) for n in names)
        least = sum(unavoidable_s(bed, events, n) for n in names)
        if "-v" in sys.argv:
            (Path(tempfile.gettempdir()) / "rolling-events.jsonl").write_text(result.stdout)
    return result, whole / NODES, least / NODES


def plan_20(folder: Path) -> tuple[float, float]:
    """Seconds that `plan` takes for 20 nodes and 2 balancers, and OpenSSH's client for `true` on each of them.

    Each is the best of three, as a person's second try would be, and they take turns: both meet the same machine.

    All 20 nodes share this machine with it, so HAProxy checks each of them as often as it does by default.
    """
    with Testbed(folder, nodes=PLANNED, pair=False, load=False, check_every=HAPROXY_INTER) as bed:
        results, others = [], []
        for _ in range(3):
            results.append(bed.rollsafe("plan"))
            others.append(ssh_to_all(bed))
        assert all(result.exit == 0 for result in results), results[0].text
        return min(result.seconds for result in results), min(others)


def ssh_to_all(bed: Testbed) -> float:
    """Seconds until `ssh NODE true`, begun on every node at once, has ended on the last."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    options = ["-F", os.devnull, "-o", f"UserKnownHostsFile={bed.folder / 'known_hosts'}", "-o", "BatchMode=yes"]
    words = ["ssh", *options, "-i", str(bed.folder / "operator_key"), "-p", "2222", "-l", user]
    began = time.perf_counter()
    clients = [subprocess.Popen([*words, node.host, "true"], stderr=subprocess.PIPE) for node in bed.nodes]
    said = [client.communicate(timeout=60)[1] for client in clients]
    assert all(client.returncode == 0 for client in clients), said
    return time.perf_counter() - began


def bare() -> tuple[float, float]:
    """(CPU seconds of ten million turns of a plain loop, MiB of a bare interpreter)."""
    code = "import resource\nfor _ in range(10_000_000): pass\nu = resource.getrusage(resource.RUSAGE_SELF)\n"
    code += "import json; print(json.dumps([u.ru_utime + u.ru_stime, u.ru_maxrss / 1024]))"
    cpu, memory = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    return cpu, memory


def main() -> int:
    """Measure, print, judge."""
    began = time.perf_counter()
    cpu_base, memory_base = bare()
    with tempfile.TemporaryDirectory(prefix="rollsafe-bench-") as folder:
        result, whole, least = rolling(Path(folder) / "run")
        plan_s, ssh_s = plan_20(Path(folder) / "plan")
    measures = [
        Measure("time per node, beyond", whole - least, "s", least, "the unavoidable"),
        Measure("CPU per node", result.cpu_s / NODES, "s", cpu_base, "10 million loop turns"),
        Measure("peak memory", result.peak_mib, "MiB", memory_base, "a bare interpreter"),
        Measure("plan for 20 nodes", plan_s, "s", ssh_s, f"{PLANNED} x `ssh NODE true` at once"),
    ]
    for measure in measures:
        print(measure)
    mine = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"(whole benchmark: {time.perf_counter() - began:.0f} s, {mine.ru_utime + mine.ru_stime:.0f} s of CPU)")
    return 0 if all(measure.ok for measure in measures) else 1


if __name__ == "__main__":
    sys.exit(main())
