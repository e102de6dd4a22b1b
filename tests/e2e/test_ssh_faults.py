"""sshd that refuses or hangs: with one careful tool after another this drained a whole cluster; here it drains none."""

import pytest

from tests.e2e.judge import claims, nothing_touched, sound, untouched
from tests.testbed import Testbed

pytestmark = pytest.mark.real
FAULTS = ["refuse", pytest.param("hang", marks=pytest.mark.soak)]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("nodes", [["jira2"], ["jira1", "jira2", "jira3"]], ids=["one", "all"])
def test_a_dead_sshd_at_the_start_is_a_refusal(bed: Testbed, fault: str, nodes: list[str]) -> None:
    for name in nodes:
        getattr(bed.sshds[name], fault)()
    finished = sound(bed, bed.watched("run", "--yes"), 10)
    nothing_touched(bed)
    assert nodes[0] in finished["message"]
    assert bed.failed_requests() == []


@pytest.mark.parametrize("fault", FAULTS)
def test_sshd_of_the_next_node_dies_while_one_is_out(bed: Testbed, fault: str) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("step.started", step="healthy", node="jira1")
    getattr(bed.sshds["jira2"], fault)()
    result = run.result()
    bed.settle()
    finished = sound_but_for_claims(bed, result, 20, 30, 40)
    assert "jira2" in finished["message"]
    untouched(bed, "jira2", "jira3")
    assert bed.observer.not_as_found() == [], "jira1 is healthy: it is put back"
    assert bed.failed_requests() == []


@pytest.mark.parametrize("fault", FAULTS)
def test_sshd_of_the_node_in_hand_dies_before_its_restart(bed: Testbed, fault: str) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("write.done", service="web", node="jira1")
    getattr(bed.sshds["jira1"], fault)()
    result = run.result()
    bed.settle()
    sound_but_for_claims(bed, result, 20, 30, 40)
    assert bed.node("jira1").restarts == 0
    untouched(bed, "jira2", "jira3")
    assert bed.observer.not_as_found() == [], "it was never stopped: it is put back"


@pytest.mark.parametrize("fault", FAULTS)
def test_sshd_of_the_node_in_hand_dies_after_its_restart(bed: Testbed, fault: str) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("restart.begun", node="jira1")
    getattr(bed.sshds["jira1"], fault)()
    result = run.result()
    bed.settle()
    sound_but_for_claims(bed, result, 20, 30, 40)
    untouched(bed, "jira2", "jira3")
    assert bed.failed_requests() == []


@pytest.mark.soak
def test_recover_goes_on_once_sshd_is_back(bed: Testbed) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("restart.begun", node="jira1")
    bed.sshds["jira1"].refuse()
    run.result()
    bed.sshds["jira1"].start()
    recovered = bed.rollsafe("recover", "--yes", "--take-over")
    bed.settle()
    sound(bed, recovered, 0)
    assert claims(bed) == []


def test_a_host_key_that_changes_during_a_run_is_told_once(bed: Testbed) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("step.started", step="healthy", node="jira1")
    bed.sshds["jira2"].refuse()
    bed.sshds["jira2"].new_host_key()
    bed.sshds["jira2"].start()
    finished = run.result().finished
    untouched(bed, "jira2", "jira3")
    said = "jira2: THE HOST KEY OF"
    assert (finished["exit_code"], finished["message"].count("THE HOST KEY OF")) == (40, 1), finished["message"]
    assert finished["message"].split(" Then: ")[0].endswith("could not be changed on jira2: as told.")
    recovered = bed.rollsafe("recover", "--yes").finished
    assert recovered["exit_code"] == 40
    assert said in recovered["message"]
    assert "jira2: jira2" not in recovered["message"]


def sound_but_for_claims(bed: Testbed, result, *expected: int) -> dict:
    """A claim on a node that can't be reached stays there; 40 or 30 tells so. Everything else as always."""
    if claims(bed):
        assert result.exit in (30, 40), result.text
        for path in (bed.folder / "claims").glob("*.json"):
            path.unlink()
    if result.exit == 30:
        (bed.folder / "claims" / "bed.kept.json").touch()
    return sound(bed, result, *expected)
