"""The run's log: each record is made durable, folded into the state, and then told to the listeners, in this order."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rollsafe.engine.runclock import RunClock
from rollsafe.errors import JournalError
from rollsafe.model.reading import Member
from rollsafe.model.record import Record
from rollsafe.planner.fold import advance, member_data
from rollsafe.planner.state import RunState
from rollsafe.ports import JournalWriter, Listener

LAST_WORD_S = 0.3  # how long the last record of a process that must end waits for whoever hangs in the journal


class Closed(Exception):
    """The run was ended from outside, and its last record is told: whoever comes back from a call does nothing more."""


class RunLog:
    """Writes records, from several threads. Raises JournalError when a record can't be made durable, and Closed."""

    def __init__(
        self,
        run: str,
        clock: RunClock,
        journal: JournalWriter,
        listeners: Sequence[Listener],
        *,
        state: RunState | None = None,
        first_seq: int = 1,
    ) -> None:
        self.run = run
        self.state = state or RunState(run=run)
        self.broken: JournalError | None = None
        self.intents_elsewhere: Callable[[Record], None] | None = None  # durable too; used when the journal is broken
        self._clock = clock
        self._journal = journal
        self._listeners = listeners
        self._seq = first_seq
        self._lock = threading.RLock()
        self.over = False  # has this process written its last record?
        self._closed = False

    def write(
        self,
        kind: str,
        message: str = "",
        *,
        node: str | None = None,
        service: str | None = None,
        balancer: str | None = None,
        endpoint: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Record:
        """One record: on disk, in the state, told. An intent that can't be made durable raises, and nothing is done."""
        with self._lock:
            self._refuse_after_the_end()
            record = self._record(kind, message, node, service, balancer, endpoint, data)
            self._store(record)
            self._refuse_after_the_end()  # the journal may have hung until now
            self._tell(record)
            return record

    def close(self) -> None:
        """From now on no record is written but the last one, nor anything done that needs one; whoever hangs in the
        journal is not waited for. The state stays as it is now."""
        free = self._lock.acquire(timeout=LAST_WORD_S)
        self._closed = True
        if free:
            self._lock.release()

    def end(self, kind: str, message: str, data: Mapping[str, Any]) -> None:
        """The last record of a closed log, where there is none: told first, for the journal may hang."""
        free = self._lock.acquire(timeout=0.1)
        try:
            if self.over:
                return
            record = self._record(kind, message, None, None, None, None, data)
            self._tell(record)
            if free:
                self._store(record)
        finally:
            if free:
                self._lock.release()

    def _refuse_after_the_end(self) -> None:
        if self._closed:
            raise Closed

    def _record(
        self,
        kind: str,
        message: str,
        node: str | None,
        service: str | None,
        balancer: str | None,
        endpoint: str | None,
        data: Mapping[str, Any] | None,
    ) -> Record:
        at_s = round(self._clock.at_s(), 4)
        where = (node, service, balancer, endpoint)
        return Record(self.run, self._seq, kind, self._clock.stamp(), at_s, message, *where, data or {})

    def note(self, kind: str, message: str = "", *, service: str | None = None, data: Mapping[str, Any]) -> None:
        """As `write`, for those who don't know when the run ends: after its last record nothing is written."""
        with self._lock:
            if not self.over:
                self.write(kind, message, service=service, data=data)

    def _store(self, record: Record) -> None:
        """Durable before it is acted on. With a broken journal no node is taken out or stopped any more; a put-back's
        intent goes into the claim on the nodes instead, and everything else is told all the same."""
        try:
            if self.broken is None:
                self._append(record)
                return
        except JournalError as error:
            self.broken = error
        taking_out = record.data.get("taking_out") and self.state.mode != "recover"  # there it marks what is out anew
        if record.type == "restart.intent" or (record.type == "write.intent" and taking_out):
            raise self.broken
        if record.type == "write.intent":
            self._elsewhere(record)

    def _append(self, record: Record) -> None:
        """An error that does not come back (a moment of a full disk) costs no window."""
        try:
            self._journal.append(record)
        except JournalError:
            self._journal.append(record)

    def _elsewhere(self, record: Record) -> None:
        if self.intents_elsewhere is None:
            assert self.broken is not None
            raise self.broken
        self.intents_elsewhere(record)

    def about(self, kind: str, member: Member, message: str = "", **data: Any) -> Record:
        """A record about one member."""
        return self.write(
            kind,
            message,
            node=member.node,
            service=member.service,
            balancer=member.balancer,
            endpoint=member.endpoint,
            data={**member_data(member), **data},  # its names once more, for the fold
        )

    def restart_over(self, node: str, outcome: str) -> None:
        """The step `restart` has ended: done or failed. What proves it, or why, is told before."""
        self.write("step.finished", f"restart: {outcome}", node=node, data={"step": "restart", "outcome": outcome})

    def _tell(self, record: Record) -> None:
        self._seq += 1
        self.over = self.over or record.type == "run.finished"
        self.state = advance(self.state, record)
        for listener in self._listeners:
            listener.hear(record)
