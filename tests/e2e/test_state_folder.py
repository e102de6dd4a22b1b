"""The folder of the journal is removed under a run: nothing is taken out or stopped any more, and it is said."""

import shutil

import pytest

from tests.e2e.judge import sound
from tests.testbed import Testbed

pytestmark = pytest.mark.real


def test_a_node_that_is_down_by_then_goes_back_and_no_other_is_begun(bed: Testbed) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes", "--nodes", "jira1,jira2")
    run.wait_for("restart.begun")
    shutil.rmtree(bed.folder / "home" / "state")
    result = run.result()
    bed.settle()
    finished = sound(bed, result, 20)
    assert "was removed while this process held it open" in finished["message"]
    assert [bed.node(f"jira{i}").restarts for i in (1, 2)] == [1, 0]


@pytest.mark.soak
def test_a_run_that_had_only_to_put_back_its_last_node_says_what_is_not_recorded(bed: Testbed) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes", "--nodes", "jira1")
    run.wait_for("step.started", step="soak")
    shutil.rmtree(bed.folder / "home" / "state")
    result = run.result()
    bed.settle()
    assert "The journal is broken" in sound(bed, result, 0)["message"]
