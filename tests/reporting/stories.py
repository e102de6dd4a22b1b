"""Whole runs, told as the engine tells them: the records that every listener and report is tried on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rollsafe.cli.probe_news import batch_data
from rollsafe.model.reading import Evidence, ProbeSample
from rollsafe.model.record import Record
from rollsafe.model.settings import ProbeSettings
from rollsafe.probes.batch import EVERY_S, Batch

START = datetime(2026, 3, 7, 1, 0, 0, tzinfo=UTC)
ENDPOINTS = {"scim": ("scim-lb", "ssh://lb1/run/haproxy.sock"), "web": ("web-lb", "https://10.0.2.5/balancer-manager")}


class Story:
    """Collects records; `wait` passes time, `say` writes one."""

    def __init__(
        self, nodes: list[str], run: str = "20260307-010000-ab12", services: tuple[str, ...] = ("scim", "web")
    ):
        self.run = run
        self.nodes = nodes
        self.services = services
        self.at = 0.0
        self.records: list[Record] = []

    def wait(self, seconds: float) -> None:
        self.at += seconds

    def say(
        self, type_: str, node: str | None = None, service: str | None = None, message: str = "", **data: Any
    ) -> Record:
        endpoint = data.pop("endpoint", None)
        balancer = data.pop("balancer", None)
        moment = (START + timedelta(seconds=self.at)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = Record(
            self.run, len(self.records) + 1, type_, moment, self.at, message, node, service, balancer, endpoint, data
        )
        self.records.append(record)
        return record

    def begin(self, reason: str = "CHG-4711", mode: str = "run") -> None:
        self.say(
            "run.started",
            cluster="jira-prod",
            nodes=self.nodes,
            services=list(self.services),
            who="ola",
            host="bastion",
            pid=4242,
            reason=reason,
            url="https://ci.example.com/jobs/17",
            mode=mode,
            estimate_s=70.0 * len(self.nodes),
        )
        self.wait(0.4)

    def gate(self, node: str, gate: str, allowed: bool = True, reason: str = "", remedy: str = "") -> None:
        self.say("gate.checked", node, gate=gate, allowed=allowed, reason=reason, remedy=remedy)

    def write(self, node: str, service: str, to: str, why: str, done: bool = True) -> None:
        balancer, endpoint = ENDPOINTS[service]
        data = {"pool": service, "seat": node, "found": "ready", "to": to, "why": why}
        self.say("write.intent", node, service, balancer=balancer, endpoint=endpoint, **data)
        self.wait(0.05)
        if done:
            self.say("write.done", node, service, balancer=balancer, endpoint=endpoint, took_s=0.05, **data)

    def drain(self, node: str, service: str, sessions: list[int]) -> None:
        self.say("step.started", node, service, step="drain")
        self.write(node, service, "drain", "drain before the restart")
        since = self.at
        for active in sessions:
            self.say(
                "step.waiting",
                node,
                service,
                step="drain",
                reading={"active": active, "state": "drain"},
                left_s=90 - (self.at - since),
                since_s=self.at - since,
                **{"for": "0 active"},
            )
            self.wait(3)
        self.say("step.finished", node, service, step="drain", outcome="drained")

    def restart(self, node: str) -> None:
        self.say("restart.intent", node, identity_before="a1b2c3d4e5f60718", epoch=1, revision=3)
        self.say("restart.begun", node)
        self.wait(9)
        self.say("restart.ended", node, exit_status=0)
        self.say("restart.done", node, identity_before="a1b2c3d4e5f60718", identity_after="f6e5d4c3b2a19080")
        self.wait(0.004)  # a real clock goes on between two records
        self.say("step.finished", node, step="restart", outcome="done")

    def healthy(self, node: str, states: list[str]) -> None:
        self.say("step.started", node, step="healthy")
        since = self.at
        for word in states:
            self.say(
                "step.waiting",
                node,
                "web",
                step="healthy",
                reading={"state": word},
                left_s=1800 - (self.at - since),
                since_s=self.at - since,
                **{"for": "15 s unbroken health"},
            )
            self.wait(4)
        self.say("step.finished", node, step="healthy", outcome="done")

    def ready(self, node: str) -> None:
        self.say("step.started", node, step="ready")
        for service in self.services:
            self.write(node, service, "ready", "as found")
            self.wait(0.4)
        self.say("step.finished", node, step="ready", outcome="done")

    def soak(self, node: str) -> None:
        self.say("step.started", node, step="soak")
        self.wait(10)
        self.say("step.finished", node, step="soak", outcome="done")

    def whole_node(self, node: str, position: int) -> None:
        self.gate(node, "claim", reason="ours on 3 of 3 nodes")
        self.gate(node, "capacity", reason="2 of 2 others serve scim")
        self.say("node.started", node, position=position, of=len(self.nodes))
        begun = self.at
        self.drain(node, "web", [12, 5, 0])
        self.drain(node, "scim", [1, 0])
        self.restart(node)
        self.healthy(node, ["STARTING", "STARTING", "RUNNING"])
        self.ready(node)
        out = self.at - begun
        self.soak(node)
        self.say("node.finished", node, outcome="restarted", out_of_service_s=round(out, 1))

    def finish(self, outcome: str, code: int, message: str, nodes: dict[str, Any], **more: Any) -> None:
        services = more.pop("services", None) or {
            one: {"probes": 37, "failed": 0, "longest_outage_s": 0.0, "availability": 1.0} for one in self.services
        }
        data = {"left_out": [], "others": [], **more}
        self.say(
            "run.finished",
            message=message,
            outcome=outcome,
            exit_code=code,
            nodes=nodes,
            services=services,
            duration_s=round(self.at, 1),
            **data,
        )


def good_run(nodes: int = 3) -> list[Record]:
    """Every node restarted, nothing failed."""
    names = [f"jira{number}" for number in range(1, nodes + 1)]
    story = Story(names)
    story.begin()
    for position, node in enumerate(names, 1):
        story.whole_node(node, position)
    outcomes = {
        record.node: {"outcome": "restarted", "out_of_service_s": record.data["out_of_service_s"]}
        for record in story.records
        if record.type == "node.finished"
    }
    story.finish("done", 0, f"All {nodes} nodes were restarted and are as they were found.", outcomes)
    return story.records


def node_out(reason: str = "CHG-4711") -> list[Record]:
    """jira2 never comes up; the SCIM probe fails twice."""
    story = Story(["jira1", "jira2", "jira3"])
    story.begin(reason)
    story.whole_node("jira1", 1)
    story.gate("jira2", "capacity", reason="2 of 2 others serve scim")
    story.say("node.started", "jira2", position=2, of=3)
    story.drain("jira2", "web", [4, 0])
    story.drain("jira2", "scim", [0])
    story.restart("jira2")
    story.say("probe.failed", None, "scim", probe="entra", status=503, detail="no server", latency_s=0.02, outage_s=0.0)
    story.wait(5)
    story.say("probe.failed", None, "scim", probe="entra", status=503, detail="no server", latency_s=0.02, outage_s=5.0)
    story.wait(2.5)
    story.say("probe.recovered", None, "scim", probe="entra", outage_s=7.5)
    story.say("step.started", "jira2", step="healthy")
    since = story.at
    for _ in range(6):
        story.say(
            "step.waiting",
            "jira2",
            "scim",
            step="healthy",
            reading={"state": "refused"},
            left_s=30 - (story.at - since),
            since_s=story.at - since,
            **{"for": "15 s unbroken health"},
        )
        story.wait(5)
    why = "jira2 did not become healthy within 30 s: scim says refused"
    story.say("step.finished", "jira2", message=why, step="healthy", outcome="timed out")
    story.say("node.finished", "jira2", message=why, outcome="left out", out_of_service_s=52.3)
    left = [
        {
            "node": "jira2",
            "service": service,
            "balancer": ENDPOINTS[service][0],
            "endpoint": ENDPOINTS[service][1],
            "state": "drain",
            "mend": "rollsafe recover -i inventory.yml",
        }
        for service in story.services
    ]
    story.finish(
        "node-out",
        30,
        "jira2 is out of service: it did not become healthy within 30 s (scim says refused). "
        "When it runs again: rollsafe recover -i inventory.yml",
        {
            "jira1": {"outcome": "restarted", "out_of_service_s": 37.0},
            "jira2": {"outcome": "left out", "out_of_service_s": 52.3},
            "jira3": {"outcome": "not begun"},
        },
        left_out=left,
        others=[{"node": "jira3", "service": "web", "state": "maint", "endpoint": ENDPOINTS["web"][1]}],
        services={
            "scim": {"probes": 24, "failed": 2, "longest_outage_s": 7.5, "availability": 0.9167},
            "web": {"probes": 24, "failed": 0, "longest_outage_s": 0.0, "availability": 1.0},
        },
    )
    return story.records


def refused() -> list[Record]:
    """A gate says no before anything was touched."""
    story = Story(["jira1", "jira2"])
    story.begin()
    story.gate("jira1", "claim", reason="no other claim on 2 of 2 nodes")
    story.gate(
        "jira2",
        "capacity",
        allowed=False,
        reason="without jira2 0 of 1 others serve scim: jira1 is down",
        remedy="start jira1, or put it back",
    )
    story.gate("jira2", "reach", allowed=False, reason="jira2 could not be reached over SSH: connection refused")
    story.finish(
        "refused",
        10,
        "Refused, nothing was touched: without jira2 0 of 1 others serve scim: jira1 is down.",
        {"jira1": {"outcome": "not begun"}, "jira2": {"outcome": "not begun"}},
    )
    return story.records


def signalled() -> list[Record]:
    """SIGINT while jira1 drains; it is put back, no other is begun."""
    story = Story(["jira1", "jira2"])
    story.begin()
    story.say("node.started", "jira1", position=1, of=2)
    story.say("step.started", "jira1", "web", step="drain")
    story.write("jira1", "web", "drain", "drain before the restart")
    story.wait(2)
    story.say("signal", name="SIGINT", message="SIGINT: jira1 is put back, no other node is begun.")
    story.say("run.stopping", message="asked to stop")
    story.write("jira1", "web", "ready", "as found")
    story.say("step.finished", "jira1", "web", step="drain", outcome="given up", message="asked to stop")
    story.say("node.finished", "jira1", outcome="put back", out_of_service_s=2.2)
    nodes = {"jira1": {"outcome": "put back", "out_of_service_s": 2.2}, "jira2": {"outcome": "not begun"}}
    story.finish("stopped", 20, "Stopped by SIGINT; every node is as it was found.", nodes)
    return story.records


def killed() -> list[Record]:
    """The process vanished right after an intent: no outcome, no run.finished."""
    records = signalled()
    last = next(index for index, record in enumerate(records) if record.type == "write.intent")
    return records[: last + 1]


def probed(
    records: list[Record],
    interval: float = 5.0,
    bad: tuple[float, float] | None = None,
    silent: tuple[float, float] | None = None,
) -> list[Record]:
    """The same run, with a probe from its begin to its end: those between `bad` fail, none is sent between `silent`."""
    batch = Batch(ProbeSettings("scim", "entra", "https://scim.example.com", interval_s=interval))
    told: list[dict[str, object]] = []
    at, due, end = 0.0, EVERY_S, records[-1].at_s
    while at < end:
        if not (silent and silent[0] <= at < silent[1]):
            batch.add(_sample(at, good=not (bad and bad[0] <= at < bad[1])))
        at += interval
        if at >= due or at >= end:
            due += EVERY_S
            told += [batch_data(taken, 0.0)] if (taken := batch.take()) is not None else []
    first, last = len(records), records[-1]
    more = [
        Record(last.run, first + n, "probe.samples", last.time, end, data={"probes": [one]})
        for n, one in enumerate(told)
    ]
    return [*records[:-1], *more, replace(last, seq=first + len(more))]


def _sample(at: float, *, good: bool) -> ProbeSample:
    evidence = Evidence(200 if good else 503, "", 0.02, "" if good else "no server")
    return ProbeSample("scim", "entra", at, at + 0.001, good, 0.015 + (at % 7) / 500, evidence, "jira3")
