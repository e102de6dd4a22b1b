"""A state machine over one simulated cluster: runs that end or die, resume, recover, people, reloads, moving windows.

After every step the outside observer has seen nothing that rollsafe must never do, and at the end of every story one
recover brings everything back.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.model.cluster import WindowRules
from rollsafe.model.reading import AdminState
from rollsafe.planner import next_step
from rollsafe.planner.state import Restart
from rollsafe.rehearsal.faults import Crash, CrashPoint, Fault, Way
from rollsafe.rehearsal.happen import mend
from rollsafe.rehearsal.judgement import Ended, judge
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.outside import Violation
from rollsafe.rehearsal.play import defects
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld

CRASHES = st.none() | st.one_of(
    st.builds(CrashPoint, st.just("record"), st.integers(5, 160), st.booleans()),
    st.builds(CrashPoint, st.just("effect"), st.integers(5, 55), st.booleans()),
)
SITES = st.sampled_from(("", "balancer.read", "balancer.write", "claim.swap", "claim.read", "restarter", "check"))
FAULTS = st.lists(
    st.builds(Fault, st.sampled_from(list(Way)), st.integers(1, 500), SITES, st.sampled_from((1, 2, 20))), max_size=2
)
NODES = st.sampled_from(("n1", "n2", "n3"))
HANDS = st.sampled_from((AdminState.READY, AdminState.READY, AdminState.DRAIN, AdminState.MAINT))
NEVER = WindowRules("UTC", ("Mon 03:00-03:01",))  # the stories are told on a Saturday


class Story(RuleBasedStateMachine):
    """What can happen to one cluster, one thing after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: list[Violation] = []
        self.runs = 0
        self.last: Operator | None = None  # of the last `run`, whose journal a resume has
        self.may_resume = False
        self.ends: datetime | None = None  # of the window

    @initialize(endpoints=st.integers(1, 2), seed=st.integers(0, 3))
    def build(self, endpoints: int, seed: int) -> None:
        cluster, steps = shorten(small_cluster(3, endpoints), EACH_NODE)
        self.sim = SimWorld(cluster, seed)
        self.engine = Engine(cluster, steps)

    # --- commands ----------------------------------------------------------------------------------------------

    @rule(crash=CRASHES, faults=FAULTS, again=st.booleans())
    def run(self, crash: CrashPoint | None, faults: list[Fault], again: bool) -> None:
        self.runs += 1
        operator = self.last = self._operator(crash, faults)
        before = len(self.sim.outside.acts)
        ended = self._command("run", operator, f"run{self.runs}")
        self.may_resume = (ended is None or ended.exit_code in (30, 40)) and f"run{self.runs}" in self.engine.plans
        if self.engine.cluster.window is NEVER and ended is not None:
            assert ended.exit_code in (10, 30), "outside of its window a run is refused, or names a dead run"
            assert len(self.sim.outside.acts) == before, "outside of its window a run touched something"
        self._begun_in_time(operator)
        if again and self.may_resume:
            self.resume(None, [])

    @precondition(lambda self: self.may_resume)
    @rule(crash=CRASHES, faults=FAULTS)
    def resume(self, crash: CrashPoint | None, faults: list[Fault]) -> None:
        assert self.last is not None
        operator = self._operator(None, faults)
        operator.records = list(self.last.records)
        if crash is not None:  # counted from where the journal ends
            after = len(operator.records) if crash.kind == "record" else 0
            operator.crash = replace(crash, index=crash.index + after)
        self._command("resume", operator, f"run{self.runs}")
        self.last, self.may_resume = operator, not self._free()

    @rule(crash=CRASHES, faults=FAULTS)
    def recover(self, crash: CrashPoint | None, faults: list[Fault]) -> None:
        self._command("recover", self._operator(crash, faults), "recovery")

    # --- what else happens -------------------------------------------------------------------------------------

    @rule(node=NODES, admin=HANDS, service=st.sampled_from((None, "scim", "web")))
    def somebody_sets(self, node: str, admin: AdminState, service: str | None) -> None:
        self.sim.person_sets(node, admin, service)

    @rule(which=st.integers(0, 2))
    def a_balancer_reloads(self, which: int) -> None:
        endpoints = list(self.sim.endpoints.values())
        endpoints[which % len(endpoints)].reload()

    @rule(node=NODES, seconds=st.sampled_from((5.0, 60.0)), service=st.sampled_from((None, "scim", "web")))
    def a_node_falls_ill(self, node: str, seconds: float, service: str | None) -> None:
        self.sim.nodes[node].fall_ill(seconds, service)

    @rule(seconds=st.sampled_from((1.0, 15.0, 120.0)))
    def time_passes(self, seconds: float) -> None:
        self.sim.timeline.pass_time(seconds)

    @rule(minutes=st.sampled_from((None, None, None, 0, 1, 2, 600)))
    def the_window_moves(self, minutes: int | None) -> None:
        """It is gone, closed, or it ends in so many minutes."""
        now = self.sim.start + timedelta(seconds=self.sim.timeline.now)
        rules, self.ends = (None, None) if minutes is None else (NEVER, now)
        if minutes:
            begins, ends = now - timedelta(minutes=1), now + timedelta(minutes=minutes)
            rules = WindowRules("UTC", (f"{begins:%a} {begins:%H:%M}-{ends:%H:%M}",))
            self.ends = ends
        self.engine.cluster = replace(self.engine.cluster, window=rules)

    @rule()
    def somebody_mends_machines(self) -> None:
        mend(self.sim)

    # --- what must hold ----------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_broken(self) -> None:
        if hasattr(self, "sim"):
            broken = self.broken + self.sim.outside.violations
            assert not broken, "\n".join(map(str, broken))

    @invariant()
    def at_most_one_node_is_out_by_our_hand(self) -> None:
        if hasattr(self, "sim"):
            assert len(self.sim.outside.nodes_out_by_us()) <= 1

    @invariant()
    def whatever_is_out_by_our_hand_is_claimed(self) -> None:
        if hasattr(self, "sim") and self._free():
            assert self.sim.as_found()

    def teardown(self) -> None:
        """Whatever happened: once machines work, one recover brings everything back."""
        if not hasattr(self, "sim"):
            return
        if self.broken or self.sim.outside.violations:
            self.sim.close()
            return  # told already
        try:
            target(float(len(self.sim.outside.acts)))
            self._everything_comes_back()
        finally:
            self.sim.close()

    def _everything_comes_back(self) -> None:
        self.sim.timeline.pass_time(60.0)
        mend(self.sim)
        self.sim.timeline.pass_time(60.0)
        ended = self._command("recover", self._operator(None, []), "recovery")
        assert ended is not None
        assert ended.exit_code == 0, ended
        assert self.sim.as_found()
        assert self._free()
        self.nothing_is_broken()

    # --- how ---------------------------------------------------------------------------------------------------

    def _operator(self, crash: CrashPoint | None, faults: list[Fault]) -> Operator:
        return self.sim.operator(faults=[replace(fault) for fault in faults], crash=crash)

    def _command(self, mode: str, operator: Operator, run: str) -> Ended | None:
        known = len(operator.records)
        ended = None
        with suppress(Crash):
            ended = self.engine(mode, operator, self.sim.world(operator), run)
        operator.dead = True
        self.broken += defects(operator.records[known:])
        if ended is not None:
            self.broken += judge(self.sim.outside, operator, ended, mode=mode)
        return ended

    def _free(self) -> bool:
        return all(node.claim is None or node.claim.done for node in self.sim.nodes.values())

    def _begun_in_time(self, operator: Operator) -> None:
        """I7, from outside: no node is begun after the window's end."""
        begun = [datetime.fromisoformat(r.time) for r in operator.records if r.type == "node.started"]
        assert self.ends is None or all(at < self.ends for at in begun)


def short_of(examples: int, steps: int) -> settings:
    """The same stories every time, and no limit of time for one of them: machines are slow and loaded."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def test_whatever_happens_in_whatever_order_nothing_breaks() -> None:
    run_state_machine_as_test(Story, settings=short_of(60, 12))


def test_a_broken_planner_is_found_by_a_story(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_step, "_may_go_back", lambda _plan, hand, _now: hand.restart is Restart.DONE)
    with pytest.raises(AssertionError, match="I4"):
        run_state_machine_as_test(Story, settings=settings(short_of(10, 4), phases=(Phase.generate,)))


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_long_stories_break_nothing() -> None:
    run_state_machine_as_test(Story, settings=settings(short_of(1500, 25), derandomize=False, print_blob=True))
