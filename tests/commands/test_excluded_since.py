"""A node was excluded after a run had died: recover ends the copy of the claim there, too, over real SSH."""

import pytest

from tests.commands.conftest import Looked

pytestmark = pytest.mark.real


def test_recover_leaves_no_copy_of_the_claim_on_a_node_that_is_excluded_by_now(looked: Looked) -> None:
    bed = looked.bed
    looked.claim(released=True, nodes=("jira1", "jira2", "jira3"))
    bed.write_inventory(nodes={"jira3": {"excluded": "CHG9"}})
    result = bed.rollsafe("recover", "--yes")
    assert result.exit == 0, result.text
    assert [path.name for path in (bed.folder / "claims").glob("*.json")] == []
    assert "jira3" not in result.finished["message"]
