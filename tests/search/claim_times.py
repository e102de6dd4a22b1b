"""The times that a process remembers, moved and made canonical.

Every time is compared with another and with 10 s (2 ticks) at most. So a gap between two remembered moments that follow
one another need never be told as more than 2 ticks: all comparisons come out the same.
"""

from collections.abc import Callable
from typing import cast

from tests.search.claim_operator import END, Rest
from tests.search.claim_replay import FAR, Answer, Question, Slot


def now_is_zero(rest: Rest) -> Rest:
    """The process goes on at this moment: what it heard is heard now, and all that it remembers is older."""
    back = rest.age
    moved = _mapped(rest, lambda at: at - back)._replace(heard=(), age=0)
    for place, value in rest.heard:
        moved = _heard(moved, place, Answer(value, 0))
    times = sorted({*_times(moved), 0})
    if times[0] < -FAR:
        moved = _mapped(moved, _squeezed(times).__getitem__)
    return moved


def _heard(rest: Rest, place: int, answer: Answer) -> Rest:
    if place == -1:
        return rest._replace(slots=(*rest.slots, answer))
    questions = list(cast(tuple[Question, ...], rest.slots[-1]))
    questions[place] = (*questions[place], answer)
    return rest._replace(slots=(*rest.slots[:-1], tuple(questions)))


def _squeezed(times: list[int]) -> dict[int, int]:
    told = {times[-1]: times[-1]}
    for older, newer in zip(reversed(times[:-1]), reversed(times[1:]), strict=True):
        told[older] = told[newer] - min(newer - older, FAR)
    return told


def _times(rest: Rest) -> list[int]:
    seen: list[int] = []
    if rest.phase != END:
        _mapped(rest, lambda at: seen.append(at) or at)  # type: ignore[func-returns-value]  # collects on the way
    return seen


def _mapped(rest: Rest, move: Callable[[int], int]) -> Rest:
    kept = rest.memory.kept
    if kept is not None:
        kept = kept._replace(
            asked=move(kept.asked),
            seen=tuple((node, view, move(at)) for node, view, at in kept.seen),
            ours=tuple((node, move(at)) for node, at in kept.ours),
        )
    slots = tuple(_mapped_slot(slot, move) for slot in rest.slots)
    return rest._replace(memory=rest.memory._replace(kept=kept), began=move(rest.began), slots=slots)


def _mapped_slot(slot: Slot, move: Callable[[int], int]) -> Slot:
    if isinstance(slot, Answer):
        return Answer(slot.value, move(slot.at))
    questions = cast(tuple[Question, ...], slot)
    return tuple(tuple(Answer(a.value, move(a.at)) for a in question) for question in questions)
