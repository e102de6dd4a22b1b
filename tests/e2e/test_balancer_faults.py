"""Admin APIs that die or hang, and reloads that forget: at the start, in the middle, at the put-back."""

import pytest

from tests.e2e.judge import nothing_touched, sound, untouched
from tests.testbed import Testbed

pytestmark = pytest.mark.real


def often(fault: str, *others: str) -> list[object]:
    """One fault is tried by `make test`, the others by `make soak`: each is half a minute of a real window."""
    return [fault, *(pytest.param(other, marks=pytest.mark.soak) for other in others)]


@pytest.mark.parametrize("fault", often("refuse", "hang", "reset"))
@pytest.mark.parametrize("wire", ["scim2", "web"])
def test_a_silent_endpoint_at_the_start_is_a_refusal(bed: Testbed, fault: str, wire: str) -> None:
    bed.relays[wire].become(fault)
    finished = sound(bed, bed.watched("run", "--yes"), 10)
    nothing_touched(bed)
    assert bed.relays[wire].host in finished["message"], "the endpoint is named"


@pytest.mark.parametrize("fault", often("reset", "hang", "refuse"))
def test_an_endpoint_falls_silent_before_the_node_is_stopped(bed: Testbed, fault: str) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("write.done", service="web", node="jira1")
    bed.relays["scim2"].become(fault)
    result = run.result()
    bed.settle()
    finished = sound(bed, result, 20, 30, 40)
    assert bed.node("jira1").restarts == 0
    untouched(bed, "jira2", "jira3")
    states = bed.observer.samples[-1].admin()
    assert states[bed.web.endpoint, "jira1"] == "ready", "put back where the balancer can be reached"
    assert states[bed.scim[0].endpoint, "jira1"] == "ready"
    assert bed.relays["scim2"].host in str(finished), "the silent endpoint is named"
    assert bed.failed_requests() == []


@pytest.mark.parametrize("fault", often("refuse", "hang", "reset"))
def test_an_endpoint_is_silent_at_the_put_back(bed: Testbed, fault: str) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("step.started", step="healthy", node="jira1")
    bed.relays["scim2"].become(fault)
    result = run.result()
    bed.settle()
    finished = sound(bed, result, 30)
    untouched(bed, "jira2", "jira3")
    states = bed.observer.samples[-1].admin()
    assert states[bed.web.endpoint, "jira1"] == "ready", "one endpoint's silence keeps nobody else waiting"
    assert states[bed.scim[0].endpoint, "jira1"] == "ready"
    assert states[bed.scim[1].endpoint, "jira1"] != "ready"
    assert {entry["endpoint"] for entry in finished["left_out"]} == {f"tcp://{bed.scim[1].host}:9990"}
    bed.relays["scim2"].become("pass")
    bed.observer.start()
    recovered = bed.rollsafe("recover", "--yes")
    bed.settle()
    assert recovered.exit == 0, recovered.text
    assert bed.all_up()


@pytest.mark.soak
def test_an_endpoint_that_comes_back_in_time_is_no_failure(bed: Testbed) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes", "--nodes", "jira1")
    run.wait_for("step.started", step="healthy", node="jira1")
    bed.relays["scim2"].become("refuse")
    run.wait_for("step.started", step="ready", node="jira1")
    bed.relays["scim2"].become("pass")
    result = run.result()
    bed.settle()
    sound(bed, result, 0, 20)
    assert bed.observer.not_as_found() == []


@pytest.mark.soak
def test_a_reload_in_the_middle_of_a_drain_never_stops_a_node_in_service(bed: Testbed) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("write.done", service="web", node="jira1")
    bed.web.reload()
    result = run.result()
    bed.settle()
    sound(bed, result, 0, 20)
    assert [r for r in bed.failed_requests() if r["service"] == "scim"] == []


def test_a_reload_while_the_node_is_down_is_written_over_and_journalled(bed: Testbed) -> None:
    bed.node("jira1").next_faults(start_s=3)
    bed.observer.start()
    run = bed.start("run", "--yes", "--nodes", "jira1")
    run.wait_for("step.started", step="healthy", node="jira1")
    bed.scim[0].reload()
    result = run.result()
    bed.settle()
    finished = sound(bed, result, 0, 20)
    rewritten = [(e, s) for _, e, n, s in bed.observer.changes() if n == "jira1" and e == bed.scim[0].endpoint]
    assert [state for _, state in rewritten].count("ready") >= 1
    assert len(rewritten) >= 4, f"out, wiped, out again, back: {bed.observer.history()}\n{finished}"
