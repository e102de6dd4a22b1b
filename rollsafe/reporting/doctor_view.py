"""What `doctor` shows: a checklist, each entry ok, no, not read or not known, with the fix.

The JSON object (`-o json`) has `type` "doctor"; `checks`, each with `topic`, `where`, `answer` (ok, no, unread,
unknown) and `detail`, which names the fix where there is one; `outcome`, `exit_code`, `message`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rollsafe.reporting.plan_view import Paint
from rollsafe.reporting.words import clean


class Answer(Enum):
    """How one check came out."""

    OK = "ok"
    NO = "no"
    UNREAD = "unread"  # nobody answered
    UNKNOWN = "unknown"  # it can't be known without changing something


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the checklist. `detail` is what was seen, or what is wrong and how to mend it."""

    topic: str
    where: str
    answer: Answer
    detail: str


_MARKS = {
    Answer.OK: ("ok", "good"),
    Answer.NO: ("NO", "bad"),
    Answer.UNREAD: ("??", "bad"),
    Answer.UNKNOWN: ("--", "warn"),
}


def doctor_json(
    cluster: str, items: Sequence[Item], time: str, outcome: str, exit_code: int, message: str
) -> dict[str, Any]:
    """The object of `-o json`, as the module's text says."""
    return {
        "time": time,
        "run": "",
        "seq": 1,
        "type": "doctor",
        "cluster": cluster,
        "checks": [
            {"topic": i.topic, "where": i.where, "answer": i.answer.value, "detail": clean(i.detail)} for i in items
        ],
        "outcome": outcome,
        "exit_code": exit_code,
        "message": message,
    }


def doctor_lines(items: Sequence[Item], paint: Paint) -> Iterator[str]:
    """The checklist for people, a heading for each topic."""
    topic = ""
    for item in items:
        if item.topic != topic:
            topic = item.topic
            yield paint(topic, "head")
        mark, style = _MARKS[item.answer]
        where = f"{clean(item.where)}: " if item.where else ""
        yield f"  {paint(mark, style)}  {where}{clean(item.detail)}"
