"""The SQLite file: opened with full syncing, and every failure translated. Knows tables, not what is in them."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from rollsafe.errors import JournalError
from rollsafe.journal.place import on_network, prepare
from rollsafe.journal.trouble import RECOVER, trouble

SCHEMA_VERSION = 1
APPLICATION = 0x726F6C6C  # "roll": how the file is known as ours
BUSY_S = 5.0

_WAL_TRIES = 100  # switching to WAL is not covered by the busy time-out
_WAL_PAUSE_S = BUSY_S / _WAL_TRIES

# Records and runs are never changed or removed; the triggers hold even against a defect of ours. `heads` holds each
# run's length and last hash, for a chain alone does not show that its end was cut off.
_SCHEMA = (
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL UNIQUE,
        cluster TEXT NOT NULL,
        body TEXT NOT NULL,
        hash TEXT NOT NULL)""",
    "CREATE INDEX runs_of_cluster ON runs (cluster, id)",
    """CREATE TABLE records (
        run INTEGER NOT NULL REFERENCES runs (id),
        n INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        body TEXT NOT NULL,
        hash TEXT NOT NULL,
        PRIMARY KEY (run, n),
        UNIQUE (run, seq)) WITHOUT ROWID""",
    "CREATE TABLE heads (run INTEGER PRIMARY KEY REFERENCES runs (id), length INTEGER NOT NULL, hash TEXT NOT NULL)",
    "CREATE TRIGGER runs_stay BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "CREATE TRIGGER runs_remain BEFORE DELETE ON runs BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "CREATE TRIGGER records_stay BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "CREATE TRIGGER records_remain BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class Connection(Protocol):
    """What is used of sqlite3.Connection: the seam at which tests let the k-th call fail."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        """Run one statement."""

    def close(self) -> None:
        """Let go of the file."""


# Of a damaged file sqlite3 also raises what it met: text that is no UTF-8, a length that no memory can hold.
_FAILURES = (sqlite3.Error, OSError, UnicodeDecodeError, MemoryError, OverflowError)

Connect = Callable[[Path], Connection]


def connect(file: Path) -> Connection:
    """A connection that begins no transaction by itself and may be used from several threads, one at a time."""
    connection: Connection = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    return connection


class Database:
    """One file. Opens it when first used, and anew after a failure. Raises only JournalError."""

    def __init__(self, file: Path, connector: Connect = connect) -> None:
        self.file = file
        self._connector = connector
        self._connection: Connection | None = None
        self._opened: tuple[int, int] | None = None  # device and inode of the file that it holds
        self._gone = ""  # how it was taken away from this process, once it was
        self._lock = threading.RLock()
        self._checked = False

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            self._checked = False
            if connection is not None:
                with suppress(sqlite3.Error, OSError):
                    connection.close()

    @contextmanager
    def writing(self, doing: str) -> Iterator[Connection]:
        """A transaction that is on disk when the block has ended; after an error nothing of it is, or all (a commit
        that failed is in doubt: look)."""
        with self._transaction("BEGIN IMMEDIATE", doing) as connection:
            yield connection

    @contextmanager
    def reading(self, doing: str) -> Iterator[Connection]:
        """A transaction that sees one moment of the file."""
        with self._transaction("BEGIN", doing) as connection:
            yield connection

    def check(self) -> None:
        """Once per opening: is the file's structure whole? Raises JournalError where it is not."""
        with self._lock:
            if self._checked:
                return
            with self.reading("checking it") as connection:
                found = connection.execute("PRAGMA integrity_check(1)").fetchall()
            if found != [("ok",)]:
                what = str(found[0][0] if found and found[0] else "no answer").replace("\n", " ")[:200]
                raise trouble(ValueError(f"it is damaged: {what}"), self.file, "checking it")
            self._checked = True

    @contextmanager
    def _transaction(self, begin: str, doing: str) -> Iterator[Connection]:
        with self._lock:
            try:
                connection = self._open()
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
            except _FAILURES as error:
                self._give_up()
                raise trouble(error, self.file, doing) from error
            except BaseException:
                self._give_up()
                raise

    def _give_up(self) -> None:
        """After a failure nothing is assumed of the connection: roll back, and let the next use open a new one."""
        if self._connection is not None:
            with suppress(sqlite3.Error, OSError):
                self._connection.execute("ROLLBACK")
        self.close()

    def _open(self) -> Connection:
        if self._connection is not None and self._opened != _identity(self.file):
            what = "was replaced" if self.file.exists() else "was removed"  # what is written now nobody can find again
            self._gone = f"the journal {self.file} {what} while this process held it open. {RECOVER}"
        if self._gone:
            raise JournalError(self._gone)
        if self._connection is None:
            prepare(self.file)
            connection = self._connector(self.file)
            self._connection = connection
            self._set_up(connection)
            self._opened = _identity(self.file)
        return self._connection

    def _set_up(self, connection: Connection) -> None:
        if on_network(self.file):
            connection.execute("PRAGMA journal_mode = TRUNCATE").fetchall()
        elif _one(connection, "PRAGMA journal_mode") != "wal":
            _switch_to_wal(connection)
        wal = _one(connection, "PRAGMA journal_mode") == "wal"
        # What stands only in the WAL is gone without a trace where that is lost, cut short or has a flipped byte, for
        # SQLite reads it as far as it is whole. So each commit goes into the file itself at once.
        connection.execute("PRAGMA wal_autocheckpoint = 1").fetchall()
        # FULL syncs the WAL at each commit. Without a WAL, EXTRA also syncs the folder when the journal is removed.
        connection.execute(f"PRAGMA synchronous = {'FULL' if wal else 'EXTRA'}")
        if _one(connection, "PRAGMA user_version") != SCHEMA_VERSION:
            self._make_tables(connection)
        elif _one(connection, "PRAGMA application_id") != APPLICATION:
            raise self._stranger()

    def _make_tables(self, connection: Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        version = _one(connection, "PRAGMA user_version")  # another process may have made them meanwhile
        if version == 0 and _one(connection, "SELECT count(*) FROM sqlite_master") == 0:
            for statement in _SCHEMA:
                connection.execute(statement)
        connection.execute("COMMIT")
        if version not in (0, SCHEMA_VERSION):
            raise JournalError(
                f"the journal {self.file} has version {version}, this rollsafe knows {SCHEMA_VERSION}: use the newer "
                f"rollsafe that made it, or name another file with `state:`. {RECOVER}"
            )
        if _one(connection, "PRAGMA application_id") != APPLICATION:
            raise self._stranger()

    def _stranger(self) -> JournalError:
        return JournalError(f"{self.file} is a database of another program: name another file with `state:`. {RECOVER}")


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        seen = file.stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def _switch_to_wal(connection: Connection) -> None:
    pause = threading.Event()
    for last_try in [*[False] * _WAL_TRIES, True]:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except sqlite3.OperationalError as error:
            if last_try or error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            pause.wait(_WAL_PAUSE_S)


def _one(connection: Connection, question: str) -> Any:
    row = connection.execute(question).fetchone()
    return row[0] if row else None
