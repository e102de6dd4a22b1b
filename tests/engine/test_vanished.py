"""A member that somebody takes out of its pool while its node is in hand: another's doing, and named."""

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.model.record import Record
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld
from tests.engine.test_blocked_recover import killed_in_the_restart, recovered


def take_out(sim: SimWorld) -> None:
    """The balancer is reloaded with a configuration that lacks n1."""
    for pool in next(iter(sim.endpoints.values())).pools.values():
        pool.pop("n1")


def test_recover_puts_back_the_others_names_the_one_that_is_gone_and_ends_the_claims() -> None:
    sim, engine = killed_in_the_restart()
    take_out(sim)
    _, ended = recovered(sim, engine)
    assert ended.exit_code == 0, ended
    assert ("n1", "no member of its pool any more") in {(it["node"], it["state"]) for it in ended.others}
    assert "by other hands: scim of n1 on tcp://scim-lb1:9999 is no member of its pool any more" in ended.message
    assert all(node.claim is None for node in sim.nodes.values())
    assert sim.as_found()
    _, again = recovered(sim, engine)
    assert again.exit_code == 0


@pytest.mark.parametrize(
    ("type_", "step"),
    [
        pytest.param("step.finished", "drain", id="between two drains"),
        pytest.param("step.started", "healthy", id="while the node starts"),
    ],
)
def test_a_run_finishes_the_node_begins_no_other_and_names_what_is_gone(type_: str, step: str) -> None:
    cluster, steps = shorten(small_cluster(endpoints=2), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    operator, gone = sim.operator("first"), False

    def hear(record: Record) -> None:
        nonlocal gone
        if (record.type, record.data.get("step"), record.node) == (type_, step, "n1") and not gone:
            gone = True
            take_out(sim)

    operator.listeners.append(hear)
    ended = engine("run", operator, sim.world(operator), "r")
    assert ended.exit_code == 20, ended
    assert "no member of its pool any more" in {str(it["state"]) for it in ended.others}
    assert "no member of its pool any more" in ended.message
    assert {node.name for node in sim.nodes.values() if node.restarts} <= {"n1"}
    assert sim.as_found()
    assert all(node.claim is None for node in sim.nodes.values())


def test_resume_says_what_is_true_of_a_member_that_is_gone_and_blames_no_journal() -> None:
    sim, engine = killed_in_the_restart()
    take_out(sim)
    operator = sim.operator("second")
    operator.records.extend(sim.operators[0].records)
    ended = engine("resume", operator, sim.world(operator), "r")
    gone = "scim on tcp://scim-lb1:9999 has no member n1 any more, so that n1 can't be gone on with: somebody took it"
    assert ended.exit_code == 30, "web of n1 is out by that run still"
    assert gone in ended.message
    assert "journal" not in ended.message
    assert ended.message.endswith("To put it back: rollsafe recover")
