"""The run's log: each record is made durable, folded into the state, and then told to the listeners, in this order."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rollsafe.engine.runclock import RunClock
from rollsafe.errors import JournalError
from rollsafe.model.reading import Member
from rollsafe.model.record import Record
from rollsafe.planner.fold import advance
from rollsafe.planner.state import RunState
from rollsafe.ports import JournalWriter, Listener


class RunLog:
    """Writes records, from several threads. Raises JournalError when a record can't be made durable."""

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
            record = Record(
                self.run,
                self._seq,
                kind,
                self._clock.stamp(),
                round(self._clock.at_s(), 4),
                message,
                node,
                service,
                balancer,
                endpoint,
                data or {},
            )
            self._store(record)
            self._tell(record)
            return record

    def note(self, kind: str, message: str = "", *, service: str | None = None, data: Mapping[str, Any]) -> None:
        """As `write`, for those who don't know when the run ends: after its last record nothing is written."""
        with self._lock:
            if not self.state.finished:
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
            data={"pool": member.pool, "seat": member.seat, **_names(member), **data},
        )

    def _tell(self, record: Record) -> None:
        self._seq += 1
        self.state = advance(self.state, record)
        for listener in self._listeners:
            listener.hear(record)


def _names(member: Member) -> dict[str, str]:
    """The member's names once more, for the fold."""
    return {
        "node": member.node,
        "service": member.service,
        "balancer": member.balancer,
        "endpoint": member.endpoint,
    }
