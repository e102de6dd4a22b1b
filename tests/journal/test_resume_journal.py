"""A resume writes into a run's journal only once it takes the run over: until then the run may live and write there."""

from rollsafe.cli.resuming import FromTheTakeover
from rollsafe.journal.store import open_store
from rollsafe.model.record import Record
from tests.journal.conftest import STARTED, WHO, plan, record


def test_a_resume_that_is_refused_leaves_the_living_runs_journal_alone(url: str) -> None:
    with open_store(url) as ours, open_store(url) as theirs:
        living = ours.start_run("r1", "jira-prod", plan(), WHO, STARTED)
        living.append(record(1))
        resuming = FromTheTakeover(lambda: theirs.continue_run("r1"))
        resuming.append(Record("r1", 2, "run.finished", STARTED, 2.0, "it lives"))
        living.append(record(2))
        assert [it.seq for it in ours.records("r1")] == [1, 2]
        resuming.append(Record("r1", 3, "claim.raising", STARTED, 3.0, data={"holder": "h2"}))
        resuming.append(Record("r1", 4, "run.resumed", STARTED, 4.0))
        assert [it.type for it in ours.records("r1")][2:] == ["claim.raising", "run.resumed"]
        assert ours.verify("r1").ok
