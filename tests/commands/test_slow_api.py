"""An admin API that always answers later than a look waits: whoever would begin a run says no, others do not mind."""

import pytest

from tests.commands.conftest import Looked, through
from tests.commands.test_plan import noes, shown

pytestmark = pytest.mark.real


@pytest.mark.parametrize("command", [["plan"], ["doctor"], ["run", "--yes"]])
def test_a_slow_admin_api_is_10_with_the_time_the_limit_and_the_remedy(looked: Looked, command: list[str]) -> None:
    looked.bed.relays["web"].become("slow")
    result = looked.bed.rollsafe(*command)
    assert result.exit == 10, result.text
    message = result.finished["message"]
    assert f"{through(looked.bed.web.endpoint)} answers in 2.3" in message
    assert "s at best, and a run needs it within 1.5 s" in message
    assert "a longer `timeout` does not help" in message
    assert [line for line in looked.to_balancers if not line.startswith("show ")] == []
    if command == ["plan"]:
        assert noes(shown(result)) == {"latency"}


def test_who_takes_nothing_out_is_not_refused_for_it(looked: Looked) -> None:
    looked.bed.relays["web"].become("slow")
    for command in (["status"], ["recover", "--yes"], ["ready", "jira1", "--yes"]):
        result = looked.bed.rollsafe(*command)
        assert result.exit == 0, result.text
