"""When do two processes, each waiting for an answer, go on alike? When they stand at the same place of the real code,
with the same words in hand, whatever way led there.

A process that waits was left by an exception, and its traceback holds every frame of the real code: where it stands,
and its local names. All that it will do follows from those that may still be read, from the keeper, and from the
answers to come. Only the place in a `for` loop is in no name; the loops that ask something name what they are at, and
what they go over counts as read. A type that is not known here is an error: nothing is left out silently.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from types import FunctionType, TracebackType
from typing import Any

from rollsafe.engine.claim import ClaimKeeper
from rollsafe.model.claim import ClaimRecord
from rollsafe.ports import World
from tests.search.claim_live import live
from tests.search.claim_replay import FAR, TICK_S, Records, Script, ScriptedClaim, ScriptedClock, Stuck, keep

NOT_REAL = ("tests/search/claim_replay.py", "tests/search/claim_parts.py", "tests/search/claim_world.py")
SAME_FOR_ALL = (World, Script, ScriptedClock)


class Frames:
    """Names places in the code by values that can be compared."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._known: dict[type, Callable[[Any], Any]] = {}

    def of(self, stuck: Stuck) -> Any:
        """Where a process stands that asked for what is not known yet."""
        questions = tuple(
            self.place(it.__traceback__) if isinstance(it, BaseException) else self.word(it) for it in stuck.inside
        )
        return self.place(stuck.__traceback__), tuple(stuck.open.items()), questions

    def place(self, trace: TracebackType | None) -> Any:
        """Every frame of the real code, from the outermost."""
        told = []
        while trace is not None:
            code = trace.tb_frame.f_code
            if not code.co_filename.endswith(NOT_REAL) and code.co_name != "think":
                local = trace.tb_frame.f_locals
                names = sorted(live(code, trace.tb_lasti) & set(local))
                words = tuple((name, self.word(local[name])) for name in names)
                told.append((code.co_name, code.co_firstlineno, trace.tb_lasti, words))
            trace = trace.tb_next
        return tuple(told)

    def word(self, thing: Any) -> Any:
        """A value that is equal for what makes no difference."""
        if thing is None or isinstance(thing, bool | int | str | bytes):
            return thing
        if isinstance(thing, float):
            return max(thing, -FAR * TICK_S)  # a moment; how far back it is makes no difference beyond that
        if isinstance(thing, ClaimRecord):
            return "record", self._records.number(thing)
        if isinstance(thing, SAME_FOR_ALL) or type(thing) is object:
            return type(thing).__name__
        return self._compound(thing)

    def _compound(self, thing: Any) -> Any:
        name = type(thing).__name__
        if isinstance(thing, ClaimKeeper):
            return name, self.keeper(thing)
        if isinstance(thing, ScriptedClaim):
            return name, thing.node
        if isinstance(thing, Enum):
            return name, thing.value
        if isinstance(thing, BaseException):
            return name, str(thing), self.word(getattr(thing, "effect", None))
        if isinstance(thing, FunctionType):
            inside = tuple(self.word(cell.cell_contents) for cell in thing.__closure__ or ())
            return thing.__qualname__, inside
        if isinstance(thing, Mapping):
            return name, tuple((self.word(key), self.word(value)) for key, value in thing.items())
        if isinstance(thing, tuple | list):
            return name, tuple(self.word(it) for it in thing)
        if isinstance(thing, set | frozenset):
            return name, tuple(sorted(repr(self.word(it)) for it in thing))
        if is_dataclass(thing):
            return name, tuple(self.word(getattr(thing, it.name)) for it in fields(thing) if it.name != "memory")
        raise TypeError(f"nobody knows when two of {type(thing)} are the same")

    def keeper(self, keeper: ClaimKeeper) -> Any:
        """What a keeper knows. One that ends reads no claim any more."""
        kept = keep(keeper, self._records)
        return (kept._replace(asked=0, seen=(), ours=()) if keeper._ended else kept), keeper._ended
