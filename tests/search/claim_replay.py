"""The real claim code, driven one remote step at a time.

A process of rollsafe is a function of the answers that it got. So it is run from the start of its phase with the
answers known so far, and where it asks for one more it is left: what it asks for is the next step, and somebody decides
when, and how, that is answered. No thread, no time: a phase is replayed as often as is needed.

Time is counted in ticks of 5 s. A process looks at the clock only when it gets an answer and goes on (`Answer.at`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

from rollsafe.engine.claim import ClaimKeeper, Seen
from rollsafe.engine.runclock import RunClock
from rollsafe.errors import ClaimError, Effect, ShellError
from rollsafe.model.claim import ClaimRecord, Token
from rollsafe.planner.readings import ClaimView
from rollsafe.ports import ClaimFile, World

TICK_S = 5.0
FAR = 2  # ticks: as long as any limit that the code knows


class Ask(NamedTuple):
    """One remote step, or a wait: what the process asks of the world."""

    kind: str  # read, create, swap; begin; seat, write; healthy, outcome; sleep
    node: str = ""
    token: Token | None = None
    record: int | None = None  # index in `Records`
    word: str = ""


class Answer(NamedTuple):
    """What came back, and when the process went on with it."""

    value: Any  # a record's index, a bool, a word; or one of the failures below
    at: int = 0


NOTHING_DONE, NO_WORD, TOO_LATE = "nothing done", "no word", "too late"  # the last one: no answer, the others are in
FAILURES = (NOTHING_DONE, NO_WORD)


class Stuck(BaseException):
    """The process asks for what is not known yet: `open` says what, by the place of the question (-1: no gather)."""

    def __init__(self, asked: Mapping[int, Ask], questions: int = 0, inside: tuple[Any, ...] = ()) -> None:
        self.open, self.questions = dict(asked), questions
        self.inside = inside  # of each question of a gather: what was answered, or where it stands


class _Stuck(BaseException):
    def __init__(self, asked: Ask) -> None:
        self.asked = asked


class _Late(BaseException):
    """This question gets no answer while the process waits for it."""


class Records:
    """Claim records by number: two that differ in their beat or their words only are one."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._records: list[ClaimRecord] = []

    def number(self, record: ClaimRecord | None) -> int | None:
        """The number of the record."""
        if record is None:
            return None
        entries = tuple((node, tuple(e.wrote for e in entry)) for node, entry in record.entries.items())
        key = (record.token, record.node_in_hand, record.done, record.released, entries)
        if key not in self._numbers:
            self._numbers[key] = len(self._records)
            self._records.append(record)
        return self._numbers[key]

    def __getitem__(self, number: int) -> ClaimRecord:
        return self._records[number]


Question = tuple[Answer, ...]
Slot = Answer | tuple[Question, ...]  # one answer, or those of all questions of a gather


@dataclass(slots=True)
class Script:
    """The answers that are known, as the ports of one process."""

    records: Records
    slots: tuple[Slot, ...]
    at: int
    _next: int = 0
    _question: tuple[Question, list[int]] | None = None

    @property
    def taken(self) -> int:
        """How many slots were asked for."""
        return self._next

    def ask(self, asked: Ask) -> Any:
        """The answer, where it is known. Raises ClaimError or ShellError where the call fails."""
        if self._question is not None:
            known, taken = self._question
            if taken[0] == len(known):
                raise _Stuck(asked)
            answer = known[taken[0]]
            taken[0] += 1
        else:
            if self._next == len(self.slots):
                raise Stuck({-1: asked})
            answer = cast(Answer, self.slots[self._next])
            self._next += 1
        self.at = answer.at
        return self._value(asked, answer)

    def _value(self, asked: Ask, answer: Answer) -> Any:
        if answer.value == TOO_LATE:
            raise _Late
        if answer.value in FAILURES:
            error = ShellError if asked.kind == "begin" else ClaimError
            raise error(answer.value, effect=Effect.NONE if answer.value == NOTHING_DONE else Effect.UNKNOWN)
        if asked.kind == "read":
            return None if answer.value is None else self.records[answer.value]
        return answer.value

    def gather(self, questions: Mapping[Any, Callable[[], Any]], within_s: float) -> dict[Any, Any]:
        """All questions side by side. Each begins at once; they are answered in any order."""
        if not questions:
            return {}
        known = self.slots[self._next] if self._next < len(self.slots) else ((),) * len(questions)
        self._next += 1
        began = latest = self.at
        answers, stuck = {}, {}
        inside: list[Any] = []
        for place, (key, question) in enumerate(questions.items()):
            self.at = began
            self._question = (cast(Question, known[place]), [0])
            try:
                answers[key] = question()
                inside.append(("answer", answers[key]))
            except _Stuck as error:
                stuck[place] = error.asked
                inside.append(error)
            except _Late:
                inside.append("late")
            self._question = None
            latest = max(latest, self.at)
        if stuck:
            raise Stuck(stuck, len(questions), (began, latest, *inside))
        self.at = latest
        return answers


@dataclass(frozen=True, slots=True)
class ScriptedClaim:
    """ports.ClaimFile and the fence of the restart, on one node."""

    script: Script
    node: str

    def read(self) -> ClaimRecord | None:
        return cast(ClaimRecord | None, self.script.ask(Ask("read", self.node)))

    def create(self, record: ClaimRecord) -> bool:
        return bool(self.script.ask(Ask("create", self.node, None, self.script.records.number(record))))

    def swap(self, expected: Token, record: ClaimRecord | None) -> bool:
        return bool(self.script.ask(Ask("swap", self.node, expected, self.script.records.number(record))))


_claim: type[ClaimFile] = ScriptedClaim


class ScriptedClock:
    """The run's clock: it stands still until an answer comes."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def at_s(self) -> float:
        return self._script.at * TICK_S

    def sleep(self, seconds: float) -> None:
        self._script.ask(Ask("sleep", word=str(int(seconds // TICK_S))))


def ports(script: Script, nodes: tuple[str, ...]) -> tuple[World, RunClock]:
    """The world and the clock of one process."""
    claims = {node: ScriptedClaim(script, node) for node in nodes}
    nobody: Any = None  # neither probes nor a heart; the search beats for it
    world = World({}, claims, {}, {}, (), nobody, nobody, script.gather, nobody)
    return world, cast(RunClock, ScriptedClock(script))


class Kept(NamedTuple):
    """A ClaimKeeper at rest, as a value."""

    record: int
    tokens: tuple[tuple[str, Token], ...]
    asked: int  # tick
    seen: tuple[tuple[str, ClaimView, int], ...]  # node, view, tick
    ours: tuple[tuple[str, int], ...]  # node, tick


def keep(keeper: ClaimKeeper, records: Records) -> Kept:
    """What the keeper knows, at tick 0. How it words what it saw makes no difference, nor does what is older than any
    limit."""
    number = records.number(keeper.record)
    assert number is not None
    seen = tuple((n, ClaimView(s.view.ours), _tick(s.asked_s)) for n, s in sorted(keeper._seen.items()))
    ours = tuple((n, _tick(s)) for n, s in sorted(keeper._ours_s.items()))
    return Kept(number, tuple(sorted(keeper.tokens.items())), _tick(keeper.asked_at_s), seen, ours)


def restore(keeper: ClaimKeeper, kept: Kept, records: Records) -> None:
    """Make a new keeper know what another knew."""
    keeper.record = replace(records[kept.record], who=keeper.record.who)
    keeper.tokens = dict(kept.tokens)
    keeper.asked_at_s = kept.asked * TICK_S
    keeper._seen = {node: Seen(view, at * TICK_S) for node, view, at in kept.seen}
    keeper._ours_s = {node: at * TICK_S for node, at in kept.ours}


def _tick(seconds: float) -> int:
    return -FAR if seconds < -FAR * TICK_S else round(seconds / TICK_S)
