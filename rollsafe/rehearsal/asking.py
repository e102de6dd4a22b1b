"""How a simulated process asks many questions at once (ports.Gather): with as few threads as have to wait."""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any, TypeVar

from rollsafe.rehearsal.clock import Timeline

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

CALL_S = 0.01  # what a call that meets no fault takes
INLINE_S = 0.5  # a question that takes longer must see its own clock move
STEP_S = 0.25  # the longest between two looks whether all have answered


class Slot:
    """One question that is asked aside."""

    def __init__(self, question: Callable[[], Any]) -> None:
        self.done = False
        self._question = question
        self._answer: Any = None
        self._error: BaseException | None = None

    def ask(self) -> None:
        """Ask, and keep what comes of it."""
        try:
            self._answer = self._question()
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is taken, Crash too
            self._error = error

    def finish(self) -> None:
        """The answer is there."""
        self.done = True

    def get(self) -> Any:
        """The answer. Raises what the question raised."""
        if self._error is not None:
            raise self._error
        return self._answer


class Asking:
    """The questions of one process. `calm` says whether the calls of so many questions will all take their usual
    moment; `alive` raises where the process is gone."""

    def __init__(self, timeline: Timeline, calm: Callable[[int], bool], alive: Callable[[], None]) -> None:
        self.asked: Counter[Hashable] | None = None  # how often each was asked, where somebody wants to know
        self.odd_s = 0.0  # when a call failed last, or questions were asked aside
        self._timeline, self._calm, self._alive = timeline, calm, alive
        self._inline_s: float | None = None  # set while a question is asked and time stands still: how long it took
        self._turn: list[Slot] | None = None  # set while it may step aside: the questions that come after it
        self._under_way: dict[Any, Slot] = {}

    @property
    def idle(self) -> bool:
        """Is no answer awaited, and none left over?"""
        return not self._under_way

    @property
    def answered(self) -> bool:
        """Is every question answered? Some of the answers may be left over."""
        return all(slot.done for slot in self._under_way.values())

    @property
    def left_over(self) -> Collection[Hashable]:
        """The questions whose answer came too late, or is still to come, and waits for a call that asks the same."""
        return self._under_way.keys()

    @property
    def ahead_s(self) -> float:
        """How far the clock of a question is ahead of the timeline; only where it waits, which is rare."""
        inline_s = self._inline_s
        return inline_s if inline_s is not None and inline_s > INLINE_S else 0.0

    def pass_time(self, seconds: float) -> None:
        """Time that this process spends."""
        if self._inline_s is None:
            self._timeline.pass_time(seconds)
        elif self._turn is not None and seconds > CALL_S:
            self._step_aside(seconds)
        else:
            self._inline_s += seconds

    def gather(self, questions: Mapping[K, Callable[[], T]], within_s: float) -> dict[K, T]:
        """ports.Gather. All begin at once: one after the other while time stands still, and then the time passes that
        the slowest took. Where one may have to wait, they are asked aside. A late answer comes with a later call.
        """
        if self.asked is not None:
            self.asked.update(questions.keys())
        if self._inline_s is not None or (not self._under_way and self._calm(len(questions))):
            return self._one_by_one(questions)
        timeline = self._timeline
        fresh = {key: Slot(question) for key, question in questions.items() if key not in self._under_way}
        self._under_way |= fresh
        timeline.spawn(lambda: self._ask_in_turn(list(fresh.values())))
        until, step = timeline.now + within_s, CALL_S
        while timeline.now < until and any(not self._under_way[key].done for key in questions):
            timeline.pass_time(min(step, until - timeline.now))
            step = min(step * 1.2, STEP_S)
            self._alive()
        self.odd_s = timeline.now
        done = [key for key in questions if self._under_way[key].done]
        return {key: self._under_way.pop(key).get() for key in done}

    def _one_by_one(self, questions: Mapping[K, Callable[[], T]]) -> dict[K, T]:
        longest, answers = 0.0, {}
        for key, question in questions.items():
            answers[key], took = self.inline(question)
            longest = max(longest, took)
        self.pass_time(longest)
        self._alive()
        return answers

    def inline(self, question: Callable[[], T]) -> tuple[T, float]:
        """Ask while time stands still; the answer, and how long it would have taken."""
        outer, turn = self._inline_s, self._turn
        self._inline_s, self._turn = 0.0, None
        try:
            answer = question()
            return answer, self._inline_s
        finally:
            self._inline_s, self._turn = outer, turn

    def _ask_in_turn(self, slots: list[Slot]) -> None:
        """Ask one after the other while time stands still. One that has to wait steps aside."""
        while slots:
            slot = slots.pop(0)
            self._inline_s, self._turn = 0.0, slots
            slot.ask()
            took_s = self._end_turn()
            if took_s is None:  # it stepped aside, and the others went on long ago
                slot.finish()
                return
            self._timeline.after(took_s, slot.finish)

    def _end_turn(self) -> float | None:
        took_s, self._inline_s, self._turn = self._inline_s, None, None
        return took_s

    def let_others_go_on(self) -> None:
        """Whoever asks just now will not return for a while."""
        if self._turn is not None:
            self._step_aside(0.0)

    def _step_aside(self, seconds: float) -> None:
        """This question waits on the timeline, like everybody; the next ones are asked by another thread."""
        assert self._inline_s is not None
        assert self._turn is not None
        took_s, others = self._inline_s, self._turn
        self._inline_s = self._turn = None
        if others:
            self._timeline.spawn(lambda: self._ask_in_turn(others))
        self._timeline.pass_time(took_s + seconds)
