"""A run whose claim is taken over in the middle of a node: what became of that node it does not know, and says so."""

from dataclasses import replace

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.model.reading import AdminState
from rollsafe.model.record import Record
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld

SEEN_TO_ITS_END = "step.started"  # the soak is short: it is over before the claims are looked at again
MOMENTS = {
    "the first drain": ("write.done", {}),
    "the restart, on its way": ("restart.begun", {}),
    "the restart, proven": ("restart.done", {}),
    "healthy": ("step.finished", {"step": "healthy"}),
    "back, and being watched": (SEEN_TO_ITS_END, {"step": "soak"}),
}


def take_over(sim: SimWorld, *, puts_back: bool) -> None:
    """Somebody else raises every claim, and may put back what is out."""
    for node in sim.nodes.values():
        assert node.claim is not None
        token = node.claim.token
        node.claim = replace(node.claim, token=replace(token, epoch=token.epoch + 1, holder="somebody"))
    if puts_back:
        for service in ("scim", "web"):
            sim.person_sets("n1", AdminState.READY, service)


@pytest.mark.parametrize("puts_back", [True, False])
@pytest.mark.parametrize("moment", MOMENTS)
def test_the_last_line_says_of_the_node_what_was_said_when_it_was_given_up(moment: str, puts_back: bool) -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    operator, (type_, words) = sim.operator(), MOMENTS[moment]
    told: list[Record] = []

    def hear(record: Record) -> None:
        if not told and (record.type, record.node) == (type_, "n1") and words.items() <= record.data.items():
            told.append(record)
            take_over(sim, puts_back=puts_back)

    operator.listeners.append(hear)
    engine("run", operator, sim.world(operator), "r")
    assert told
    given_up = next(r for r in operator.records if r.type == "node.finished" and r.node == "n1").data["outcome"]
    assert given_up == ("restarted" if type_ == SEEN_TO_ITS_END else "unknown")
    nodes = operator.records[-1].data["nodes"]
    assert {name: node["outcome"] for name, node in nodes.items()} == {
        "n1": given_up,
        "n2": "not begun",
        "n3": "not begun",
    }
