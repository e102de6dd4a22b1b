"""A resume from a journal that lost its end (an older copy): what is not true of the cluster is not believed."""

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.model.record import Record
from rollsafe.rehearsal.faults import Crash, CrashPoint, Fault, Way
from rollsafe.rehearsal.judgement import Ended
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld


def died(at: int) -> tuple[Engine, SimWorld, list[Record]]:
    """A run that died after that many effects; the cluster, and the records that it had written."""
    cluster, steps = shorten(small_cluster(nodes=2), EACH_NODE)
    engine, sim = Engine(cluster, steps, ("n1",)), SimWorld(cluster)
    first = sim.operator("first", crash=CrashPoint("effect", at, after=True))
    with pytest.raises(Crash):
        engine("run", first, sim.world(first), "r")
    return engine, sim, first.records


def resumed(at: int, lost: int, *faults: Fault) -> tuple[SimWorld, Ended]:
    """The same, resumed from a journal without its last records."""
    engine, sim, records = died(at)
    second = sim.operator("second", faults=list(faults))
    second.records = records[: len(records) - lost]
    return sim, engine("resume", second, sim.world(second), "r")


def truncations() -> list[tuple[int, int]]:
    """(effects, records lost): with web drained, with scim drained, after the restart; down to the claim."""
    pairs = []
    for at in (6, 8, 12):
        _, sim, records = died(at)
        sim.close()
        pairs += [(at, lost) for lost in range(len(records) - claim_made(records) + 1)]
    return pairs


def claim_made(records: list[Record]) -> int:
    """How many records there were with the claim's."""
    return next(n for n, record in enumerate(records, 1) if record.type == "claim.made")


@pytest.mark.parametrize(("at", "lost"), truncations())
def test_a_resume_from_an_older_copy_of_the_journal_leaves_nothing_out_unsaid(at: int, lost: int) -> None:
    sim, ended = resumed(at, lost)
    out = {(s.node.name, e.balancer) for e in sim.endpoints.values() for s in e.seats() if s.admin.out}
    claims = {name for name, node in sim.nodes.items() if node.claim is not None}
    sim.close()
    if ended.exit_code in (0, 20):
        assert (out, claims) == (set(), set()), ended.message
    else:
        assert out <= {(e["node"], e["balancer"]) for e in ended.left_out} or ended.exit_code == 40, ended
        assert claims, "recover finds them"


def test_an_endpoint_that_is_silent_while_the_journal_is_compared_is_no_proof_that_it_is_whole() -> None:
    _, sim, records = died(9)
    sim.close()
    silent = Fault(Way.REFUSED, 1, "balancer.read scim-lb", times=3)
    sim, ended = resumed(9, len(records) - claim_made(records), silent)
    claims = {name for name, node in sim.nodes.items() if node.claim is not None}
    sim.close()
    assert ended.exit_code in (10, 30)
    assert "does not tell of such a write" in ended.message
    assert claims == {"n1", "n2"}
