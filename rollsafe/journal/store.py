"""The history of all runs on this machine: open it, begin a run, go on with one, read it back, verify it, export it."""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from rollsafe.errors import InvalidInput, JournalError
from rollsafe.journal.attempts import attempts_of, names_that_begin, next_name, stored_name, told_name, touched_nothing
from rollsafe.journal.chain import canonical, read_record, seal
from rollsafe.journal.database import Connect, Connection, Database, connect
from rollsafe.journal.place import store_path
from rollsafe.journal.trouble import Damaged, damaged
from rollsafe.journal.writer import Head, RunJournal
from rollsafe.model.claim import Who
from rollsafe.model.plan import Plan
from rollsafe.model.record import Record

LAST = "last"
DAMAGED = "damaged"
_CHUNK = 500  # records that are read at once
_MOST_RUNS = 100_000


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in a list. `outcome` is None where it did not end (yet), `damaged` where the file can't be trusted."""

    run: str
    cluster: str
    started: str  # RFC 3339, UTC
    who: Who
    records: int
    outcome: str | None = None
    exit_code: int | None = None
    ended: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """Is the chain of a run whole? `first_bad_seq` is None where it is, or where the place has no number.

    Whoever keeps `records` and `last_hash` elsewhere can tell later that nothing was cut off and made anew.
    """

    ok: bool
    first_bad_seq: int | None
    reason: str
    records: int = 0
    last_hash: str = ""
    ended: bool = False  # is the run's own last record, run.finished, the last one?


@dataclass(frozen=True, slots=True)
class _Run:
    """A run's first line, checked."""

    key: int
    body: dict[str, Any]
    hash: str
    head: Head


class _Broken(Exception):
    """The chain breaks at the record with this number (None: it has none)."""

    def __init__(self, seq: int | None, reason: str) -> None:
        super().__init__(reason)
        self.seq = seq
        self.reason = reason


def open_store(url: str | None = None) -> "Store":
    """The store that the inventory's `state` names; None: the user's own. Nothing is opened before it is used.

    Raises InvalidInput where the address makes no sense.
    """
    return Store(Database(store_path(url)))


class Store:
    """All runs of one file. Every method raises JournalError where the file can't be used or is damaged."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.file = database.file

    @classmethod
    def at(cls, url: str, connector: Connect = connect) -> Self:
        """A store whose connections are made by `connector`."""
        return cls(Database(store_path(url), connector))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    # --- writing --------------------------------------------------------------------------------------------------

    def start_run(self, run: str, cluster: str, plan: Plan | None, who: Who, started: str) -> RunJournal:
        """Begin a run: its first line is on disk when this returns. `plan` is None for a command by hand.

        Raises InvalidInput where a run of this name is known already, and did more than look.
        """
        self._database.check()
        name = self._free_name(run)
        body = _first_line(name, cluster, plan, who, started)
        first = seal("", body)
        with self._database.writing(f"beginning run {run}") as connection:
            if connection.execute("SELECT 1 FROM runs WHERE run = ?", (name,)).fetchone():
                raise _known(run)  # another process was quicker
            connection.execute(
                "INSERT INTO runs (run, cluster, body, hash) VALUES (?, ?, ?, ?)", (name, cluster, body, first)
            )
            key = connection.execute("SELECT id FROM runs WHERE run = ?", (name,)).fetchone()[0]
            connection.execute("INSERT INTO heads (run, length, hash) VALUES (?, 0, ?)", (key, first))
        return RunJournal(self._database, run, key, (0, first), 0)

    def continue_run(self, run: str) -> RunJournal:
        """Go on with a run, whose whole chain is verified first. The journal's `last_seq` is the highest number."""
        self._database.check()
        found = self._run(run)
        last_seq = max((record.seq for record in self.records(run)), default=0)
        return RunJournal(self._database, run, found.key, found.head, last_seq)

    # --- reading --------------------------------------------------------------------------------------------------

    def runs(self, limit: int = 20) -> list[RunRow]:
        """The latest runs, latest first. A file that is not whole is refused: it may have lost some without a trace."""
        self._database.check()
        return self._rows("SELECT run FROM runs ORDER BY id DESC LIMIT ?", (max(0, min(limit, _MOST_RUNS)),))

    def latest(self, cluster: str) -> RunRow | None:
        """The latest run of a cluster; None where there is none."""
        rows = self._rows("SELECT run FROM runs WHERE cluster = ? ORDER BY id DESC LIMIT 1", (cluster,))
        return rows[0] if rows else None

    def runs_that_restarted(self, cluster: str, node: str, limit: int) -> list[str]:
        """The names of a cluster's latest runs that tell of a restart of this node, latest first."""
        question = (
            "SELECT run FROM runs WHERE cluster = ? AND EXISTS (SELECT 1 FROM records WHERE records.run = runs.id"
            " AND instr(records.body, ?) > 0 AND instr(records.body, ?) > 0) ORDER BY id DESC LIMIT ?"
        )
        with self._database.reading("looking for past runs") as connection:
            return _names(connection, question, (cluster, '"outcome":"restarted"', f'"node":"{node}"', limit))

    def find(self, run_or_prefix: str) -> str:
        """The name of the run that this is, or begins, or `last`. Raises InvalidInput where none or several fit.

        A name alone means its latest attempt; `NAME~1` is the first.
        """
        with self._database.reading("looking for a run") as connection:
            if run_or_prefix == LAST:
                names = _names(connection, "SELECT run FROM runs ORDER BY id DESC LIMIT 1", ())
            else:
                exact = stored_name(connection, run_or_prefix)
                if _texts(connection, "SELECT run FROM runs WHERE run = ?", (exact,)):
                    return run_or_prefix
                names = names_that_begin(connection, run_or_prefix, 6)
        if not names or not run_or_prefix:
            raise InvalidInput([f"no run {run_or_prefix!r} in {self.file}: `rollsafe runs` lists them"])
        if len(names) > 1:
            raise InvalidInput([f"several runs begin with {run_or_prefix!r}: {', '.join(names)}; say more of it"])
        return names[0]

    def row(self, run: str) -> RunRow:
        """One run as in the list: told from its first and its last record."""
        try:
            found = self._run(run)
        except Damaged as error:
            return RunRow(run, "?", "?", Who("?", "?", 0, "?"), 0, DAMAGED, message=str(error))
        body = found.body
        who = Who(**{name: value for name, value in body["who"].items() if name in Who.__dataclass_fields__})
        row = RunRow(run, body["cluster"], body["started"], who, found.head[0])
        try:
            return _ended(row, self._last(found))
        except _Broken as broken:
            return replace(row, outcome=DAMAGED, message=broken.reason)

    def plan(self, run: str) -> Plan | None:
        """The plan that is stored with the run; None for a command by hand. Raises UnknownPlan for a newer one's."""
        from rollsafe.journal.codec import plan_from_json

        stored = self.plan_json(run)
        return None if stored is None else plan_from_json(stored, f"run {run} in {self.file}")

    def plan_json(self, run: str) -> dict[str, Any] | None:
        """The stored plan as it was written, of whatever version."""
        self._database.check()
        stored: dict[str, Any] | None = self._run(run).body.get("plan")
        return stored

    def records(self, run: str) -> Iterator[Record]:
        """All records of the run in the order of writing, each verified before it is given.

        Raises JournalError at the first one that is not what was written, and at the end where the last ones are
        missing: only a list of them that was read to its end is the whole story.
        """
        self._database.check()
        try:
            for _, record, _ in self._chain(self._run(run)):
                yield record
        except _Broken as broken:
            where = "" if broken.seq is None else f"record {broken.seq}: "
            raise damaged(self.file, run, where + broken.reason) from None

    def verify(self, run: str) -> Verification:
        """Was any record of the run changed, dropped, moved or cut off? Raises JournalError only where the file can't
        be read at all."""
        try:
            self._database.check()
            found = self._run(run)
            last = deque(self._chain(found), 1)
        except _Broken as broken:
            return Verification(False, broken.seq, broken.reason)
        except JournalError as error:
            return Verification(False, None, str(error))
        ended = bool(last) and last[0][1].type == "run.finished"
        return Verification(True, None, "every record is as it was written", *found.head, ended)

    def export(self, run: str) -> Iterator[str]:
        """The chain as JSON lines `{"n", "hash", "body"}`: each hash is SHA-256 of the former hash, a newline, and the
        body as canonical JSON (sorted keys, no spaces, ASCII). Raises as `records` does."""
        self._database.check()
        found = self._run(run)
        yield canonical({"n": 0, "hash": found.hash, "body": found.body})
        try:
            for n, record_body, digest in ((n, body, digest) for n, _, (body, digest) in self._chain(found)):
                yield canonical({"n": n, "hash": digest, "body": json.loads(record_body)})
        except _Broken as broken:
            raise damaged(self.file, run, broken.reason) from None

    # --- inside ---------------------------------------------------------------------------------------------------

    def _rows(self, question: str, values: tuple[Any, ...]) -> list[RunRow]:
        with self._database.reading("listing runs") as connection:
            names = _names(connection, question, values)
        return [self.row(name) for name in names]

    def _free_name(self, run: str) -> str:
        """The name to store a new run under. Raises InvalidInput where one of this name did more than look."""
        with self._database.reading(f"beginning run {run}") as connection:
            before = attempts_of(connection, run)
        if before and not touched_nothing(self.records(run)):
            raise _known(run)
        return next_name(run, before)

    def _run(self, run: str) -> _Run:
        """The first line of a run, verified. Raises InvalidInput where there is no such run."""
        question = "SELECT r.id, r.run, r.cluster, r.body, r.hash, h.length, h.hash FROM runs r"
        question += " LEFT JOIN heads h ON h.run = r.id WHERE r.run = ?"
        with self._database.reading(f"reading run {run}") as connection:
            stored = stored_name(connection, run)
            row = connection.execute(question, (stored,)).fetchone()
        if row is None:
            raise InvalidInput([f"no run {run!r} in {self.file}: `rollsafe runs` lists them"])
        key, name, cluster, body, digest, length, last = row
        whole = isinstance(body, str) and isinstance(length, int) and isinstance(last, str) and length >= 0
        if not whole or seal("", body) != digest:
            raise damaged(self.file, run, "its first line (who, when, plan) is not what was written")
        fields = json.loads(body)
        if (fields["run"], fields["cluster"]) != (name, cluster) or name != stored:
            raise damaged(self.file, run, "its first line belongs to another run")
        return _Run(key, fields, digest, (length, last))

    def _chain(self, run: _Run) -> Iterator[tuple[int, Record, tuple[str, str]]]:
        """(place, record, (body, hash)) of each record, verified against the one before and, at the end, the head."""
        length, last = run.head
        previous, n, seq = run.hash, 0, None
        while n < length:
            chunk = self._chunk(run, n)
            if not chunk:
                raise _Broken(seq, f"{length - n} of {length} records after this one are missing")
            for place, number, body, digest in chunk:
                n += 1
                record = _checked(place, number, body, digest, n, previous)
                previous, seq = digest, record.seq
                yield n, record, (body, digest)
        if previous != last:
            raise _Broken(seq, "the end of the run is not what was written")

    def _chunk(self, run: _Run, after: int) -> list[tuple[Any, ...]]:
        question = "SELECT n, seq, body, hash FROM records WHERE run = ? AND n > ? AND n <= ? ORDER BY n LIMIT ?"
        with self._database.reading(f"reading run {run.body['run']}") as connection:
            rows: list[tuple[Any, ...]] = connection.execute(question, (run.key, after, run.head[0], _CHUNK)).fetchall()
        return rows

    def _last(self, run: _Run) -> Record | None:
        """The last record, verified against the one before it; None where there is none."""
        length, last = run.head
        if length == 0:
            return None
        rows = self._chunk(run, max(0, length - 2))
        previous = run.hash if length == 1 else (rows[0][3] if len(rows) == 2 else None)
        if not rows or previous is None or rows[-1][3] != last:
            raise _Broken(None, "its last record is missing")
        place, number, body, digest = rows[-1]
        return _checked(place, number, body, digest, length, previous)


def _known(run: str) -> InvalidInput:
    told = f"run {run} is known already, and may have touched the cluster: give another --run-id, or see"
    return InvalidInput([f"{told} `rollsafe show {run}`"])


def _first_line(run: str, cluster: str, plan: Plan | None, who: Who, started: str) -> str:
    from rollsafe.journal.codec import plan_digest, plan_to_json

    stored = {} if plan is None else {"plan": plan_to_json(plan), "plan_digest": plan_digest(plan)}
    first = {"run": run, "cluster": cluster, "started": started, "who": asdict(who), **stored}
    return canonical(first)


def _checked(place: Any, number: Any, body: Any, digest: Any, n: int, previous: str) -> Record:
    seq = number if isinstance(number, int) else None
    if place != n:
        raise _Broken(seq, f"a record before this one is missing (it is number {place}, expected {n})")
    if not isinstance(body, str) or seal(previous, body) != digest:
        raise _Broken(seq, "it is not what was written")
    try:
        record = read_record(body)
    except (ValueError, TypeError) as error:
        raise _Broken(seq, f"it is no record ({error})") from error
    if record.seq != number:
        raise _Broken(seq, "its number is not what was written")
    return record


def _ended(row: RunRow, last: Record | None) -> RunRow:
    if last is None or last.type != "run.finished":
        return row
    outcome, code = last.data.get("outcome"), last.data.get("exit_code")
    return replace(
        row,
        outcome=str(outcome) if outcome is not None else "finished",
        exit_code=code if isinstance(code, int) else None,
        ended=last.time,
        message=last.message,
    )


def _names(connection: Connection, question: str, values: tuple[Any, ...]) -> list[str]:
    """What people call the runs that the question finds."""
    return [told_name(connection, stored) for stored in _texts(connection, question, values)]


def _texts(connection: Connection, question: str, values: tuple[Any, ...]) -> list[str]:
    return [row[0] for row in connection.execute(question, values).fetchall() if isinstance(row[0], str)]
