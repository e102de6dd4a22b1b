"""An identity that proves nothing is found out before anything is touched: by doctor, plan and run, over real SSH."""

import pytest

from tests.commands.conftest import Looked

pytestmark = pytest.mark.real

PROVES_NOTHING = {
    "it prints nothing": ("true", "restart.identity (true) printed nothing"),
    "it fails": ("cat /no/such.pid", "restart.identity (cat /no/such.pid) ended with exit status 1"),
    "it differs at each reading": ("date +%s.%N", "though nothing was restarted"),
}
REMEDY = "To change it: correct restart.unit or restart.identity in the inventory"


@pytest.mark.parametrize("row", PROVES_NOTHING)
def test_doctor_plan_and_run_say_no_and_nothing_is_touched(looked: Looked, row: str) -> None:
    identity, words = PROVES_NOTHING[row]
    bed = looked.bed
    bed.write_inventory(nodes={"jira2": {"restart": {"identity": identity}}})
    for command in (("doctor",), ("plan",), ("run", "--yes"), ("run", "--nodes", "jira2", "--yes")):
        result = bed.rollsafe(*command)
        assert result.exit == 10, result.text
        message = result.events[-1]["message"]
        assert "jira2" in message
        assert words in message
        assert REMEDY in message
    assert [line for line in looked.to_balancers if not line.startswith("show ")] == []
    assert [path.name for path in (bed.folder / "claims").glob("*.json")] == []
    assert [node.restarts for node in bed.nodes] == [0, 0, 0]
    assert bed.rollsafe("plan", "--nodes", "jira1").exit == 0, "jira2 is not to be restarted"


def test_run_and_doctor_find_an_age_in_whole_seconds(looked: Looked) -> None:
    bed = looked.bed
    age = 'echo "up $(( $(date +%s) - 1700000000 )) s"'
    bed.write_inventory(nodes={"jira2": {"restart": {"identity": age}}})
    for command in (("doctor",), ("run", "--yes")):
        result = bed.rollsafe(*command)
        assert result.exit == 10, result.text
        assert "though nothing was restarted" in result.text
