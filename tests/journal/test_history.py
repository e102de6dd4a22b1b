"""What the nodes' turns took, from a real journal."""

import sqlite3

import pytest

from rollsafe.cli.past import past_of
from rollsafe.journal.history import LAST_RUNS, past_turns
from rollsafe.journal.store import Store
from rollsafe.model.cluster import Policy
from tests.journal.conftest import STARTED, WHO, plan, record

WAITS_S = Policy().healthy_for_s + Policy().soak_s


def turn(store: Store, run: str, took_s: float, outcome: str = "restarted", cluster: str = "jira-prod") -> None:
    journal = store.start_run(run, cluster, plan(), WHO, STARTED)
    journal.append(record(1, run, "node.started", at_s=100.0))
    journal.append(record(2, run, "node.finished", at_s=100.0 + took_s + WAITS_S, data={"outcome": outcome}))


def test_each_turn_that_restarted_a_node_latest_first(store: Store) -> None:
    for number, took_s in enumerate((70.0, 80.0, 90.0)):
        turn(store, f"r{number}", took_s)
    turn(store, "left-out", 999.0, outcome="left out")
    turn(store, "elsewhere", 999.0, cluster="jira-test")
    store.start_run("refused", "jira-prod", None, WHO, STARTED)
    assert past_turns(store, "jira-prod") == {"jira1": (90.0, 80.0, 70.0)}
    assert past_turns(store, "unheard-of") == {}


def test_refused_runs_do_not_crowd_out_what_is_known(store: Store) -> None:
    turn(store, "good", 70.0)
    for number in range(LAST_RUNS + 5):
        store.start_run(f"refused{number}", "jira-prod", None, WHO, STARTED)
    assert past_turns(store, "jira-prod") == {"jira1": (70.0,)}


def test_a_turn_that_was_resumed_says_nothing_of_how_long_one_takes(store: Store) -> None:
    journal = store.start_run("r1", "jira-prod", plan(), WHO, STARTED)
    journal.append(record(1, "r1", "node.started", at_s=0.0))
    journal.append(record(2, "r1", "run.resumed", at_s=30000.0))
    journal.append(record(3, "r1", "node.finished", at_s=30100.0, data={"outcome": "restarted"}))
    assert past_turns(store, "jira-prod") == {}


def test_a_damaged_run_is_passed_over(store: Store) -> None:
    turn(store, "good", 70.0)
    turn(store, "bad", 1.0)
    store.close()
    with sqlite3.connect(store.file) as raw:
        raw.execute("DROP TRIGGER records_stay")
        raw.execute("UPDATE records SET body = replace(body, '100.0', '200.0') WHERE run = 2")
    raw.close()
    assert past_turns(store, "jira-prod") == {"jira1": (70.0,)}


class Known:
    """The two facts of a cluster that count here."""

    name = "jira-prod"

    def __init__(self, state: str) -> None:
        self.state = state


def test_where_there_is_no_journal_none_is_made(store: Store, url: str) -> None:
    assert past_of(Known(url)) == {}
    assert not store.file.parent.exists()
    turn(store, "good", 70.0)
    assert past_of(Known(url)) == {"jira1": (70.0,)}


def test_a_journal_that_is_none_costs_the_estimate_and_is_told(
    store: Store, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store.file.parent.mkdir()
    store.file.write_text("no database at all, though it is long enough to be taken for one" * 30)
    assert past_of(Known(url)) == {}
    assert "no history to estimate from" in capsys.readouterr().err
