"""One look at the world: every question that matters now, side by side, each answer with the moment it was asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from rollsafe.engine.claim import ClaimKeeper
from rollsafe.engine.orders import Orders
from rollsafe.engine.pools import read_pool
from rollsafe.engine.runclock import RunClock
from rollsafe.engine.unknown import no_endpoint
from rollsafe.errors import PortError
from rollsafe.model.plan import Plan
from rollsafe.model.reading import HealthReading, IdentityReading, PoolReading, RestartReading, Unread
from rollsafe.planner.latency import LOOK_WITHIN_S
from rollsafe.planner.readings import Budget, PoolKey, Readings, Watch
from rollsafe.planner.state import NodeState, Restart, RunState
from rollsafe.planner.watch import observe as watch_observe
from rollsafe.ports import HealthCheck, Restarter, World

T = TypeVar("T")

WITHIN_S = LOOK_WITHIN_S  # a look takes no longer; a slower answer comes with the next look, or is too old by then
OLDEST_S = 2.0
BACK_OLDEST_S = 8.0  # of a pool while a node goes back: out of service for longer is worse than an answer that is slow
OTHERS_EVERY_S = 1.0  # the health of nodes that are not in hand is asked no more often


@dataclass(frozen=True, slots=True)
class _Answer:
    asked_s: float
    value: Any


class Observer:
    """Keeps the streaks and what was read last; asks no more than the planner needs."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        clock: RunClock,
        *,
        keeper: ClaimKeeper | None,
        orders: Orders,
        budget: Callable[[], Budget],
    ) -> None:
        self._world = world
        self._plan = plan
        self._clock = clock
        self._keeper = keeper
        self._orders = orders
        self._budget = budget
        self._watch = Watch()
        self._health: dict[tuple[str, str], _Answer] = {}
        self._last_s: float | None = None
        self._order_s = 0.0

    def look(self, state: RunState, *, everything: bool = False, since_s: float | None = None) -> Readings:
        """One look. `everything`: no answer of an earlier look is good enough. `since_s`: of a pool, every answer is
        that was asked for since then, however long it took."""
        asked_s = self._clock.at_s()
        hand = state.hand
        questions: dict[Any, Callable[[], Any]] = {}
        keys = sorted({m.pool_key for m in self._plan.members})
        for key in keys:
            questions["pool", key] = self._pool(key)
        for pair in self._health_due(state, everything=everything):
            for index, check in enumerate(self._world.checks.get(pair, ())):
                questions["health", pair, index] = self._asked(check)
        if hand is not None and hand.restart in (Restart.INTENT, Restart.BEGUN):
            questions["restart", hand.name] = self._progress(self._world.restarters[hand.name])
        if self._keeper is not None and self._claims_due(state, asked_s):
            questions |= self._keeper.questions()
        answers = self._world.gather(questions, WITHIN_S)
        if self._keeper is not None:
            self._keeper.heard(answers)
        ended_s = self._clock.at_s()
        young_s = ended_s - _patience_s(state) if since_s is None else since_s
        pools = {key: _young_enough(answers.get(("pool", key)), ended_s, young_s) for key in keys}
        return self._readings(state, asked_s, ended_s, pools, answers)

    def _readings(
        self,
        state: RunState,
        asked_s: float,
        ended_s: float,
        pools: dict[PoolKey, PoolReading | Unread],
        answers: dict[Any, _Answer],
    ) -> Readings:
        self._keep_health(answers)
        restart, identity = self._of_hand(state.hand, answers)
        order = self._orders.order
        if order and not self._order_s:
            self._order_s = asked_s
        now = Readings(
            at_s=asked_s,
            wall=self._clock.wall(),
            pools=pools,
            health=self._merged(state, ended_s),
            claims=dict(self._keeper.views) if self._keeper is not None else {},
            claims_at_s=self._keeper.read_at_s if self._keeper is not None else float("-inf"),
            restart=restart,
            identity=identity,
            budget=self._budget(),
            order=order,
            order_s=self._order_s,
        )
        gap, blind_s = self._gap(asked_s, ended_s), self._blind_s(asked_s)
        self._last_s = ended_s
        self._watch = watch_observe(self._plan, state, self._watch, now, gap=gap, blind_s=blind_s)
        return replace(now, watch=self._watch)

    def _gap(self, asked_s: float, ended_s: float) -> str:
        """Why this look does not follow the last one without a break; empty where it does."""
        if self._blind_s(asked_s):
            return f"nothing was looked at for {self._blind_s(asked_s):.1f} s"
        if ended_s - asked_s > WITHIN_S + self._limit_s:
            return f"one look took {ended_s - asked_s:.1f} s"
        return ""

    def _blind_s(self, asked_s: float) -> float:
        """For how long nothing was looked at, where that is a gap; else 0."""
        passed_s = asked_s - self._last_s if self._last_s is not None else 0.0
        return passed_s if passed_s > self._limit_s else 0.0

    @property
    def _limit_s(self) -> float:
        return max(3 * self._plan.policy.poll_s, 1.0) + 0.5

    # --- questions ---------------------------------------------------------------------------------------------

    def _pool(self, key: PoolKey) -> Callable[[], _Answer]:
        known = (key[0], key[1]) in self._world.balancers

        def ask() -> _Answer:
            asked_s = self._clock.at_s()
            if not known:  # the claim of a dead run names it
                return _Answer(asked_s, no_endpoint(self._world, key[0], key[1]))
            try:
                return _Answer(asked_s, read_pool(self._world, key))
            except PortError as error:
                return _Answer(asked_s, Unread(str(error)))

        return ask

    def _asked(self, check: HealthCheck) -> Callable[[], _Answer]:
        return lambda: _Answer(self._clock.at_s(), check.check())

    def _progress(self, restarter: Restarter) -> Callable[[], _Answer]:
        def ask() -> _Answer:
            asked_s = self._clock.at_s()
            progress: RestartReading | Unread
            identity: IdentityReading | Unread
            try:
                progress = restarter.progress()
            except PortError as error:
                progress = Unread(str(error))
            try:
                identity = restarter.identity()
            except PortError as error:
                identity = Unread(str(error))
            return _Answer(asked_s, (progress, identity))

        return ask

    def _health_due(self, state: RunState, *, everything: bool) -> list[tuple[str, str]]:
        """Which checks to ask. Never one of a node that may stop any moment: the stop would cut our own request."""
        now_s = self._clock.at_s()
        hand = state.hand
        due = []
        for pair in self._world.checks:
            in_hand = hand is not None and pair[0] == hand.name
            if pair[0] not in self._plan.all_nodes or (in_hand and hand is not None and _may_stop(hand)):
                continue
            last = self._health.get(pair)
            if everything or in_hand or last is None or now_s - last.asked_s >= OTHERS_EVERY_S:
                due.append(pair)
        return due

    def _claims_due(self, state: RunState, asked_s: float) -> bool:
        if self._keeper is None:
            return False
        age_s = asked_s - self._keeper.asked_at_s
        return age_s > 5.0 or (age_s > 1.0 and self._near_an_act(state))

    def _near_an_act(self, state: RunState) -> bool:
        """Is a node about to be begun, stopped or put back?"""
        hand = state.hand
        if hand is None:
            return True
        drained = not hand.stopped and all(d.outcome for d in hand.drains.values())
        going_back = hand.ready_s is None and (hand.healthy_s is not None or (state.halt is not None))
        return going_back or (drained and len(hand.drains) == len(self._plan.services))

    # --- answers -----------------------------------------------------------------------------------------------

    def _keep_health(self, answers: dict[Any, _Answer]) -> None:
        answered: dict[tuple[str, str], list[_Answer]] = {}
        for key, answer in answers.items():
            if key[0] == "health":
                answered.setdefault(key[1], []).append(answer)
        for pair, given in answered.items():
            given.sort(key=lambda answer: answer.asked_s)
            one = speaker(given, len(self._world.checks[pair]), lambda answer: answer.value.healthy)
            if one is not None:
                self._health[pair] = one

    def _merged(self, state: RunState, now_s: float) -> dict[tuple[str, str], HealthReading]:
        """What is young enough. Nothing that was heard of a node before its restart is believed after it."""
        hand = state.hand
        if hand is not None and _may_stop(hand):
            self._health = {pair: a for pair, a in self._health.items() if pair[0] != hand.name}
        limit_s = OLDEST_S + WITHIN_S + self._plan.policy.poll_s
        return {pair: a.value for pair, a in self._health.items() if now_s - a.asked_s <= limit_s}

    def _of_hand(
        self, hand: NodeState | None, answers: dict[Any, _Answer]
    ) -> tuple[RestartReading | Unread | None, IdentityReading | Unread | None]:
        if hand is None:
            return None, None
        answer = answers.get(("restart", hand.name))
        if answer is None or answer.asked_s < (hand.restart_s or 0.0):  # a late word of an earlier try
            late = Unread(f"no answer over SSH within {WITHIN_S:g} s")
            return late, late
        progress, identity = answer.value
        return progress, identity


def _patience_s(state: RunState) -> float:
    """How old a pool's answer may be."""
    goes_back = state.hand is not None and state.hand.ready_started_s is not None
    return BACK_OLDEST_S if goes_back else WITHIN_S + OLDEST_S


def _young_enough(answer: _Answer | None, now_s: float, since_s: float) -> PoolReading | Unread:
    if answer is None:
        return Unread(f"no answer within {WITHIN_S:g} s")
    if answer.asked_s < since_s:
        return Unread(f"its answer took {now_s - answer.asked_s:.1f} s")
    value = answer.value
    assert isinstance(value, PoolReading | Unread)
    return value


def speaker(given: Sequence[T], asked: int, healthy: Callable[[T], bool]) -> T | None:
    """Of the answers of a service's checks the one that speaks for it. All must hold: the first that does not speaks,
    and where one of them is missing, nobody does."""
    failed = next((one for one in given if not healthy(one)), None)
    return failed if failed is not None or len(given) < asked else next(iter(given), None)


def _may_stop(hand: NodeState) -> bool:
    """Is the node on its way to its restart, or in it?"""
    if hand.counts_as_stopped or hand.ready_s is not None:
        return False
    return hand.restart in (Restart.NONE, Restart.INTENT, Restart.BEGUN)
