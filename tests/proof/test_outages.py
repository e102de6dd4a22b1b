"""Outages of known length in front of a real HAProxy: what is reported is right, and past the limit the run stops."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.judge import sound
from tests.testbed import Result, Testbed
from tests.testbed.relay import Relay

pytestmark = pytest.mark.real
INTERVAL_S, POLL_S = 0.25, 0.5
MACHINE_S = 0.5  # what a busy machine adds to a moment
DOOR = 8010  # the identity provider's way to SCIM: a wire in front of HAProxy
MakeBed = Callable[..., tuple[Testbed, Relay]]


@pytest.fixture
def make_bed(tmp_path: Path) -> Iterator[MakeBed]:
    """A bed whose SCIM probe goes through a wire that can be cut."""
    with ExitStack() as stack:

        def make(load: bool = False, policy: dict[str, str] | None = None, **probe: str) -> tuple[Testbed, Relay]:
            asked = {"interval": "250ms", "timeout": "2s", "max_outage": "60s", **probe}
            overrides = {"services": {"scim": {"probe": asked}}, "policy": policy or {}}
            bed = Testbed(tmp_path / "bed", pair=False, load=load, overrides=overrides)
            stack.enter_context(bed)
            door = Relay(bed.scim[0].host, DOOR, 8000)
            stack.callback(door.stop)
            door.start()
            bed.write_inventory(services={"scim": {"probe": {"base_url": f"http://{door.host}:{DOOR}"}}})
            return bed, door

        yield make


def moment(event: dict) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def first(result: Result, type_: str, **wanted: object) -> dict:
    return next(e for e in result.events if e["type"] == type_ and all(e.get(k) == v for k, v in wanted.items()))


@pytest.mark.parametrize(
    "seconds",
    [0.3, 3.0, *(pytest.param(s, marks=pytest.mark.soak) for s in (1.0, 10.0, 30.0))],
)
def test_the_longest_outage_is_right_to_one_interval(make_bed: MakeBed, seconds: float) -> None:
    bed, door = make_bed(policy={"soak": f"{seconds * 1000 + 2000:.0f}ms"})
    bed.observer.start()
    run = bed.start("run", "--yes", "--nodes", "jira1")
    run.wait_for("step.started", step="soak", node="jira1")
    began = time.monotonic()
    door.become("refuse")
    time.sleep(seconds)
    door.become("pass")
    lasted = time.monotonic() - began
    result = run.result()
    bed.settle()
    seen = sound(bed, result, 0)["services"]["scim"]
    assert seen["longest_outage_s"] == pytest.approx(lasted, abs=INTERVAL_S + MACHINE_S / 2)
    assert seen["failed"] == pytest.approx(lasted / INTERVAL_S, abs=2)
    assert first(result, "probe.recovered", service="scim")["outage_s"] == pytest.approx(
        seen["longest_outage_s"], abs=0.01
    )


def test_a_hang_is_one_outage_in_events_and_report(make_bed: MakeBed) -> None:
    """Requests that are sent after it are good long before the last one that hangs has failed."""
    bed, door = make_bed(policy={"soak": "6s"})
    bed.observer.start()
    run = bed.start("run", "--yes", "--nodes", "jira1", "--markdown", "report.md")
    run.wait_for("step.started", step="soak", node="jira1")
    began = time.time()
    door.become("hang")
    time.sleep(1.5)
    door.mode = "pass"  # those that hang go on to
    ended = time.time()
    result = run.result()
    bed.settle()
    sound(bed, result, 0)
    recovered = [e for e in result.events if e["type"] == "probe.recovered"]
    assert [e["outage_s"] for e in recovered] == [pytest.approx(ended - began, abs=INTERVAL_S + MACHINE_S)]
    failed = [e["failed_in_a_row"] for e in result.events if e["type"] == "probe.failed"]
    assert failed == list(range(1, len(failed) + 1))
    told = re.findall(r"out from (\d+):(\d+) for ([\d.]+) s", (bed.folder / "report.md").read_text())
    assert [float(lasted) for _, _, lasted in told] == [pytest.approx(recovered[0]["outage_s"], abs=0.1)]
    since_s = began - moment(first(result, "run.started"))
    assert int(told[0][0]) * 60 + int(told[0][1]) == pytest.approx(since_s, abs=1.0 + INTERVAL_S + MACHINE_S)


def test_past_the_hard_limit_a_node_not_yet_stopped_is_back_at_once(make_bed: MakeBed) -> None:
    bed, door = make_bed(max_outage="1s")
    bed.slow_scim(20)
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("write.done", service="scim", node="jira1")
    door.become("refuse")
    result = run.result()
    bed.settle()
    finished = sound(bed, result, 20)
    assert "max_outage" in finished["message"]
    failed, stopped = first(result, "probe.failed", service="scim"), first(result, "run.stopping")
    limit_s = 1.0 + INTERVAL_S + POLL_S + MACHINE_S
    assert moment(stopped) - moment(failed) < limit_s
    back = [e for e in result.events if e["type"] == "write.done" and e["to"] == "ready"]
    assert moment(back[-1]) - moment(stopped) < POLL_S + MACHINE_S
    assert all(node.restarts == 0 for node in bed.nodes)


def test_one_404_stops_a_run_for_entra_where_refused_connections_do_not(make_bed: MakeBed) -> None:
    bed, door = make_bed(budget="entra")
    bed.slow_scim(20)
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("write.done", service="scim", node="jira1")
    door.become("refuse")
    run.wait_for("probe.failed", service="scim")
    door.become("pass")
    run.wait_for("probe.recovered", service="scim")
    door.become("404")
    run.wait_for("probe.failed", service="scim", status=404)
    door.become("pass")
    result = run.result()
    bed.settle()
    finished = sound(bed, result, 20)
    assert "max_rejections" in finished["message"]
    assert 1 <= finished["services"]["scim"]["rejected"] < finished["services"]["scim"]["failed"]
    refused, missing = (first(result, "probe.failed", service="scim", status=one) for one in (None, 404))
    assert moment(refused) < moment(missing) < moment(first(result, "run.stopping"))
    assert all(node.restarts == 0 for node in bed.nodes)


def test_below_the_hard_limit_the_next_node_is_held_and_then_begun(make_bed: MakeBed) -> None:
    bed, door = make_bed(policy={"gate_timeout": "20s"})
    bed.observer.start()
    run = bed.start("run", "--yes", "--nodes", "jira1,jira2")
    run.wait_for("step.started", step="soak", node="jira1")
    door.become("refuse")
    held = run.wait_for("gate.checked", gate="budget", node="jira2", allowed=False)
    assert "failing for" in held["reason"]
    door.become("pass")
    result = run.result()
    bed.settle()
    finished = sound(bed, result, 0)
    assert [finished["nodes"][name]["outcome"] for name in ("jira1", "jira2")] == ["restarted", "restarted"]


def test_a_run_does_not_end_well_while_its_service_is_not_seen(make_bed: MakeBed) -> None:
    bed, door = make_bed(policy={"gate_timeout": "3s", "soak": "2s"})
    bed.observer.start()
    run = bed.start("run", "--yes", "--nodes", "jira1")
    run.wait_for("step.started", step="soak", node="jira1")
    door.become("refuse")
    result = run.result()
    bed.settle()
    finished = sound(bed, result, 20)
    assert "every node was restarted, but the scim probe" in finished["message"]
    assert finished["nodes"]["jira1"]["outcome"] == "restarted"


def test_a_report_made_later_is_the_run_s_own_and_tells_who_reached_the_node(make_bed: MakeBed) -> None:
    bed, _ = make_bed(load=True)
    kinds = ("html", "json", "markdown", "junit")
    own, later = ([word for kind in kinds for word in (f"--{kind}", f"{when}.{kind}")] for when in ("own", "later"))
    result = bed.rollsafe("run", "--yes", "--nodes", "jira1", *own)
    assert result.exit == 0, result.text
    made = bed.rollsafe("report", *later, "-o", "text")
    assert made.exit == 0, made.text
    for kind in kinds:
        assert (bed.folder / f"own.{kind}").read_text() == (bed.folder / f"later.{kind}").read_text()
    seen = [event for event in result.events if event["type"] == "probe.samples"]
    asked = sum(probe["probes"] for event in seen for probe in event["probes"])
    told = sum(service["probes"] for service in result.finished["services"].values())
    assert told - 2 <= asked <= told, "one that is under way at the end may be in neither"
    landed = first(result, "node.landed", node="jira1")
    assert {one["service"] for one in landed["members"]} == {"scim", "web"}
    assert any(one["requests"] > 0 for one in landed["members"]), "its clients come back in their own time"
