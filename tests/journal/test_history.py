"""What the nodes' turns took, from a real journal."""

import sqlite3
from types import SimpleNamespace

import pytest

from rollsafe.cli.past import past_of
from rollsafe.journal.history import LAST_RUNS, past_turns
from rollsafe.journal.store import Store
from rollsafe.model.cluster import Policy
from tests.journal.conftest import STARTED, WHO, plan, record

NODES = ("jira1", "jira2")

WAITS_S = Policy().healthy_for_s + Policy().soak_s


def turn(
    store: Store,
    run: str,
    took_s: float,
    outcome: str = "restarted",
    *,
    cluster: str = "jira-prod",
    node: str = "jira1",
) -> None:
    journal = store.start_run(run, cluster, plan(), WHO, STARTED)
    end_s = 100.0 + took_s + WAITS_S
    journal.append(record(1, run, "node.started", node=node, at_s=100.0))
    journal.append(record(2, run, "node.finished", node=node, at_s=end_s, data={"outcome": outcome}))


def test_each_turn_that_restarted_a_node_latest_first(store: Store) -> None:
    for number, took_s in enumerate((70.0, 80.0, 90.0)):
        turn(store, f"r{number}", took_s)
    turn(store, "left-out", 999.0, outcome="left out")
    turn(store, "elsewhere", 999.0, cluster="jira-test")
    store.start_run("refused", "jira-prod", None, WHO, STARTED)
    assert past_turns(store, "jira-prod", NODES) == {"jira1": (90.0, 80.0, 70.0)}
    assert past_turns(store, "unheard-of", NODES) == {}


def test_refused_runs_do_not_crowd_out_what_is_known(store: Store) -> None:
    turn(store, "good", 70.0)
    for number in range(LAST_RUNS + 5):
        store.start_run(f"unplanned{number}", "jira-prod", None, WHO, STARTED)
        refused = store.start_run(f"refused{number}", "jira-prod", plan(), WHO, STARTED)
        refused.append(record(1, f"refused{number}", "run.finished", at_s=1.0, data={"outcome": "refused"}))
        turn(store, f"left-out{number}", 999.0, outcome="left out")
    assert past_turns(store, "jira-prod", NODES) == {"jira1": (70.0,)}


def test_runs_of_other_nodes_do_not_crowd_out_what_is_known(store: Store) -> None:
    turn(store, "good", 70.0)
    for number in range(LAST_RUNS + 5):
        turn(store, f"other{number}", 90.0, node="jira2")
    assert past_turns(store, "jira-prod", NODES) == {"jira1": (70.0,), "jira2": (90.0,) * LAST_RUNS}


def test_a_run_whose_name_was_refused_before_counts_by_its_name(store: Store) -> None:
    refused = store.start_run("r1", "jira-prod", plan(), WHO, STARTED)
    refused.append(record(1, "r1", "run.finished", at_s=1.0, data={"outcome": "refused"}))
    turn(store, "r1", 70.0)
    assert past_turns(store, "jira-prod", NODES) == {"jira1": (70.0,)}


def test_a_turn_that_was_resumed_says_nothing_of_how_long_one_takes(store: Store) -> None:
    journal = store.start_run("r1", "jira-prod", plan(), WHO, STARTED)
    journal.append(record(1, "r1", "node.started", at_s=0.0))
    journal.append(record(2, "r1", "run.resumed", at_s=30000.0))
    journal.append(record(3, "r1", "node.finished", at_s=30100.0, data={"outcome": "restarted"}))
    assert past_turns(store, "jira-prod", NODES) == {}


def test_a_damaged_run_is_passed_over(store: Store) -> None:
    turn(store, "good", 70.0)
    turn(store, "bad", 1.0)
    store.close()
    with sqlite3.connect(store.file) as raw:
        raw.execute("DROP TRIGGER records_stay")
        raw.execute("UPDATE records SET body = replace(body, '100.0', '200.0') WHERE run = 2")
    raw.close()
    assert past_turns(store, "jira-prod", NODES) == {"jira1": (70.0,)}


class Known:
    """The facts of a cluster that count here."""

    name = "jira-prod"
    live_nodes = (SimpleNamespace(name="jira1"),)

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
