"""A restart that systemd is still at: the node answers as ever until it is stopped, so that it is not put back."""

from dataclasses import replace

from rollsafe.engine import session as sessions
from rollsafe.engine.log import RunLog
from rollsafe.engine.runclock import RunClock
from rollsafe.model.reading import IdentityReading
from rollsafe.planner.outcome import Ending
from rollsafe.ports import Restarter
from rollsafe.rehearsal.world import SimWorld
from tests.engine.test_blocked_recover import killed_in_the_restart


class Busy:
    """A node whose systemd has a job, until so many looks are over."""

    def __init__(self, real: Restarter, looks: float) -> None:
        self._real, self.looks = real, looks
        self.begin, self.progress, self.let_go, self.end = real.begin, real.progress, real.let_go, real.end

    def identity(self, *, again_s: float | None = None) -> IdentityReading:
        self.looks -= 1
        told = self._real.identity(again_s=again_s)
        return replace(told, job=True) if self.looks > 0 else told


def recovered(looks: float) -> tuple[SimWorld, Ending, list[str]]:
    sim, engine = killed_in_the_restart()
    operator = sim.operator("second")
    world = sim.world(operator)
    world = replace(world, restarters={**world.restarters, "n1": Busy(world.restarters["n1"], looks)})
    clock = RunClock(world.clock)
    session = engine._session(operator, world, clock, RunLog("r2", clock, operator, ()))
    ended = sessions.recover(session, run_id=None, wait_s=20.0)
    waits = [record.message for record in operator.records if "systemd" in record.message]
    return sim, ended, waits


def test_recover_waits_for_the_job() -> None:
    sim, ended, waits = recovered(looks=4)
    assert ended.exit_code == 0
    assert len(waits) == 3
    assert sim.as_found()


def test_a_job_that_does_not_end_leaves_the_node_out_and_the_claim_for_another_recover() -> None:
    sim, ended, _ = recovered(looks=float("inf"))
    assert ended.exit_code == 30
    assert {entry["node"] for entry in ended.left_out} == {"n1"}
    assert "systemd is still at its restart" in ended.message
    assert all(node.claim is not None and node.claim.released for node in sim.nodes.values())
    assert not any(act.what.endswith("ready") for act in sim.outside.acts if act.operator == "second")
