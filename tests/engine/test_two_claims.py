"""Claims that a takeover finds where it did not expect them: another dead run's, and one that shows only later."""

import pytest

from rollsafe.engine.claim import first_record
from rollsafe.engine.takeover import OUTWAIT_S
from rollsafe.model.claim import ClaimRecord, Token, Who
from rollsafe.rehearsal.operator import Call
from rollsafe.rehearsal.world import SimWorld
from tests.engine.test_blocked_recover import Fault, Way, killed_in_the_restart, recovered

SOMEBODY = Who("somebody", "elsewhere", 7, "2026-11-25T02:00:00Z")


def died_while_it_claimed(sim: SimWorld, node: str) -> None:
    """Another run that had claimed this node only, met the first run's claim, and died before it removed its own."""
    sim.nodes[node].claim = first_record(sim.cluster.name, "second", "second", SOMEBODY)


def claims(sim: SimWorld) -> dict[str, ClaimRecord]:
    return {name: node.claim for name, node in sim.nodes.items() if node.claim is not None}


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_two_dead_runs_do_not_block_one_another(node: str) -> None:
    sim, engine = killed_in_the_restart()
    sim.nodes[node].claim = None  # the file is lost
    died_while_it_claimed(sim, node)
    _, ended = recovered(sim, engine)
    assert (ended.exit_code, ended.left_out) == (0, ())
    assert "another claim" not in ended.message
    assert sim.as_found()
    assert not claims(sim)


def test_another_run_that_has_begun_a_node_is_not_swept_away() -> None:
    sim, engine = killed_in_the_restart()
    begun = sim.nodes["n2"].claim
    assert begun is not None
    sim.nodes["n1"].claim = None
    died_while_it_claimed(sim, "n1")
    second = sim.nodes["n1"].claim
    assert second is not None
    sim.nodes["n1"].claim = ClaimRecord(**{**_fields(second), "entries": begun.entries, "node_in_hand": "n1"})
    _, ended = recovered(sim, engine)
    assert ended.exit_code != 0
    assert sim.nodes["n1"].claim.token.run == "second"


def _fields(record: ClaimRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in ClaimRecord.__dataclass_fields__}


def test_a_copy_that_shows_only_later_is_raised_before_its_node_is_written_to() -> None:
    sim, engine = killed_in_the_restart()
    hidden, sim.nodes["n1"].claim = sim.nodes["n1"].claim, None
    operator = sim.operator()
    epochs = []

    def look(site: str) -> None:
        if site.startswith("claim.swap") and sim.nodes["n1"].claim is None:
            sim.nodes["n1"].claim = hidden
        if site.startswith("balancer.write"):
            epochs.append({name: claim.token.epoch for name, claim in claims(sim).items()})

    operator.hooks.append(lambda call: look(call.site))
    ended = engine("recover", operator, sim.world(operator), "r")
    assert ended.exit_code == 0
    assert epochs
    assert all(set(seen.values()) == {2} for seen in epochs), epochs
    assert sim.as_found()
    assert not claims(sim)


def test_a_node_that_is_reached_again_within_the_ten_seconds_is_raised_too() -> None:
    sim, engine = killed_in_the_restart()
    _, ended = recovered(sim, engine, Fault(Way.REFUSED, site="claim.swap n1"))
    assert ended.exit_code == 0
    assert sim.as_found()
    assert not claims(sim)


def test_the_ten_seconds_begin_anew_with_a_node_that_is_reached_only_later() -> None:
    """Till then the dead run's last look at the claims may have found this one to be its own."""
    sim, engine = killed_in_the_restart()
    operator = sim.operator(faults=[Fault(Way.REFUSED, site="claim.swap n1")])
    writes: list[float] = []

    def note(call: Call) -> None:
        if call.site.startswith("balancer.write"):
            writes.append(call.at_s)

    operator.hooks.append(note)
    assert engine("recover", operator, sim.world(operator), "r").exit_code == 0
    raised_s = {name: node.claimed_at for name, node in sim.nodes.items()}
    assert raised_s["n1"] >= raised_s["n2"] + OUTWAIT_S, "it was raised in the second round"
    assert min(writes) >= raised_s["n1"] + OUTWAIT_S


def test_a_connection_cut_after_the_ten_seconds_blocks_its_node_only() -> None:
    sim, engine = killed_in_the_restart()
    operator = sim.operator()
    swaps: list[str] = []

    def cut(site: str) -> None:
        swaps.append(site)
        if site == "claim.swap n3" and swaps.count(site) == 2:
            operator.faults.append(Fault(Way.REFUSED, site=site))

    operator.hooks.append(lambda call: cut(call.site))
    ended = engine("recover", operator, sim.world(operator), "r")
    assert operator.records[-1].type == "run.finished"
    assert (ended.exit_code, ended.left_out) == (40, ())
    assert "The claim on n3 could not be taken over, and stays" in ended.message
    assert sim.as_found()
    _, again = recovered(sim, engine)
    assert again.exit_code == 0
    assert not claims(sim)


def test_another_run_that_begins_a_node_while_it_is_taken_over_keeps_its_undo_record() -> None:
    sim, engine = killed_in_the_restart()
    begun = sim.nodes["n2"].claim
    assert begun is not None
    for name in sim.nodes:
        sim.nodes[name].claim = None
    sim.nodes["n3"].claim = ClaimRecord(**{**_fields(begun), "entries": {}, "node_in_hand": None})
    died_while_it_claimed(sim, "n1")
    second = sim.nodes["n1"].claim
    assert second is not None
    later = ClaimRecord(**{**_fields(second), "entries": begun.entries, "node_in_hand": "n1"})
    later = ClaimRecord(**{**_fields(later), "token": Token("second", 1, "second", 1)})
    operator = sim.operator()

    def begin(site: str) -> None:
        if site == "claim.swap n1" and sim.nodes["n1"].claim == second:
            sim.nodes["n1"].claim = later

    operator.hooks.append(lambda call: begin(call.site))
    engine("recover", operator, sim.world(operator), "r")
    kept = sim.nodes["n1"].claim
    assert kept is not None
    assert (kept.token.run, kept.entries) == ("second", begun.entries)
