"""Writes one run's records, each chained to the one before it and on disk before `append` returns."""

import threading
from typing import Any

from rollsafe.errors import JournalError
from rollsafe.journal.chain import record_body, seal
from rollsafe.journal.database import Database
from rollsafe.journal.trouble import RECOVER
from rollsafe.model.record import Record
from rollsafe.ports import JournalWriter

Head = tuple[int, str]  # how many records there are, and the hash of the last (or of the run's first line)


class NoJournal:
    """Stands in where there is no journal to be had; every record is refused with the reason."""

    def __init__(self, reason: JournalError) -> None:
        self._reason = reason

    def append(self, record: Record) -> None:
        """Raises JournalError, always."""
        raise JournalError(f"record {record.seq} has no journal: {self._reason}")


class RunJournal:
    """Append-only, from any thread. It writes only while nobody else goes on with the run."""

    def __init__(self, database: Database, run: str, key: int, head: Head, last_seq: int) -> None:
        self.run = run
        self.last_seq = last_seq  # the highest number that a record carries; 0 before the first
        self._database = database
        self._key = key
        self._head = head
        self._in_doubt: tuple[Head, str] | None = None  # head and body, if a commit that failed took place after all
        self._lock = threading.Lock()

    def append(self, record: Record) -> None:
        """Returns only when the record is on disk. Raises JournalError where it could not be put there.

        After an error the same record may be appended again: if it is there already, that is enough.
        """
        if record.run != self.run:
            raise JournalError(f"a record of run {record.run} came to the journal of run {self.run}: a defect")
        body = record_body(record)
        with self._lock:
            self._append(record.seq, body)
            self.last_seq = max(self.last_seq, record.seq)

    def _append(self, seq: int, body: str) -> None:
        with self._database.writing(f"writing record {seq} of run {self.run}") as connection:
            if self._took_place(connection.execute("SELECT length, hash FROM heads WHERE run = ?", (self._key,)), body):
                return
            after = (self._head[0] + 1, seal(self._head[1], body))
            self._in_doubt = (after, body)
            connection.execute(
                "INSERT INTO records (run, n, seq, body, hash) VALUES (?, ?, ?, ?, ?)",
                (self._key, after[0], seq, body, after[1]),
            )
            connection.execute("UPDATE heads SET length = ?, hash = ? WHERE run = ?", (*after, self._key))
        self._head, self._in_doubt = after, None

    def _took_place(self, heads: Any, body: str) -> bool:
        """Settle what a failed commit left in doubt. True: it was this very record, and it is on disk."""
        found = heads.fetchone()
        doubt, self._in_doubt = self._in_doubt, None
        if doubt is not None and found == doubt[0]:
            self._head = doubt[0]
            return doubt[1] == body
        if found != self._head:
            raise JournalError(
                f"the journal {self._database.file}: run {self.run} does not end any more where this process wrote "
                f"last: another process has gone on with it, or the file is damaged. Nothing was written. {RECOVER}"
            )
        return False


_conforms: type[JournalWriter] = RunJournal
