"""Plain lines, for CI logs and dumb terminals: one sentence an event, long waits told every 15 seconds."""

import contextlib
from collections.abc import Mapping
from typing import IO

from rollsafe.model.record import Record
from rollsafe.reporting.closing import closing_lines
from rollsafe.reporting.outlet import Outlet
from rollsafe.reporting.sentences import sentence
from rollsafe.reporting.words import clean, clock_face, place, text

REPEAT_S = 15.0

# What the journal needs and a reader of a log does not, unless something goes wrong.
_QUIET = frozenset({"write.intent", "restart.intent", "claim.changed", "probe.samples", "node.landed"})


class PlainLines:
    """A Listener that writes lines such as `[ 1:04] jira1 web: draining: 3 active, waiting for 0 active, 41 s left`.

    `verbose` also shows intents, claims and every gate that says yes.
    """

    def __init__(self, stream: IO[str], *, verbose: bool = False) -> None:
        self._outlet = Outlet(stream)
        self._verbose = verbose
        self._told: dict[str, tuple[str, float]] = {}  # a wait or a gate -> what was said of it, and when
        self._closed_gates: set[str] = set()

    def hear(self, record: Record) -> None:
        """Write the record's line, or nothing where it adds nothing."""
        with contextlib.suppress(Exception):  # a listener never disturbs the run
            for line in self._lines(record):
                self._outlet.line(line)

    def close(self) -> None:
        """Write what a stalled reader has not taken yet."""
        self._outlet.close()

    def _lines(self, record: Record) -> list[str]:
        if record.type == "run.finished":
            return closing_lines(record)
        return [f"[{clock_face(record.at_s):>6}] {sentence(record)}"] if self._worth(record) else []

    def _worth(self, record: Record) -> bool:
        if record.type == "step.waiting":
            key = f"{place(record)} {text(record.data, 'step')}"
            seen = record.data.get("reading")  # STARTING that becomes RUNNING is news; 12 active that become 11 are not
            progress = _progress(seen) if text(record.data, "step") == "healthy" else ""
            return self._news(key, f"{text(record.data, 'for')} {progress}", record.at_s)
        if record.type == "gate.checked":
            return self._gate_worth(record)
        if record.type == "step.finished" and text(record.data, "step") == "restart":
            return self._verbose  # restart.done has said it, with the proof, or restart.failed, with the reason
        return self._verbose or record.type not in _QUIET

    def _gate_worth(self, record: Record) -> bool:
        key = f"{place(record)} {text(record.data, 'gate')}"
        if not record.data.get("allowed"):
            self._closed_gates.add(key)
            return self._news(key, "no", record.at_s)
        opened = key in self._closed_gates
        self._closed_gates.discard(key)
        self._told.pop(key, None)
        return self._verbose or opened

    def _news(self, key: str, said: str, at_s: float) -> bool:
        """Has this not been said, or not for a while?"""
        before = self._told.get(key)
        if before is not None and before[0] == said and at_s - before[1] < REPEAT_S:
            return False
        self._told[key] = (said, at_s)
        return True


def _progress(seen: object) -> str:
    """The health words of a reading: `STARTING`, or those of each service."""
    return (
        ", ".join(clean(one, 40) for one in seen.values() if isinstance(one, str)) if isinstance(seen, Mapping) else ""
    )
