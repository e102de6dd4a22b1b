"""The k-th I/O fails, the disk is full, the file is cut short or has flipped bytes: never a wrong record, silently."""

import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rollsafe.errors import InvalidInput, JournalError
from rollsafe.journal.database import connect
from rollsafe.journal.store import Store, open_store
from rollsafe.model.record import Record
from tests.journal.conftest import STARTED, WHO, plan, record


def sqlite_error(code: int, name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


KINDS = {
    "disk is full": lambda: sqlite_error(sqlite3.SQLITE_FULL, "SQLITE_FULL"),
    "I/O error": lambda: sqlite_error(sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC"),
    "written to": lambda: sqlite_error(sqlite3.SQLITE_READONLY, "SQLITE_READONLY"),
}


class Faults:
    """Counts statements; lets the k-th fail (and all later ones, where told), before or after it took effect."""

    def __init__(self, kind: str, at: int, for_ever: bool, after: bool) -> None:
        self.error, self.at, self.for_ever, self.after = KINDS[kind], at, for_ever, after
        self.count = 0
        self.armed = True

    def connect(self, file: Path) -> "Faulty":
        return Faulty(connect(file), self)

    def hit(self) -> bool:
        self.count += 1
        return self.armed and (self.count == self.at or (self.for_ever and self.count > self.at))


class Faulty:
    """A connection behind a fault."""

    def __init__(self, real: Any, faults: Faults) -> None:
        self.real, self.faults = real, faults

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        hit = self.faults.hit()
        if hit and not self.faults.after:
            raise self.faults.error()
        result = self.real.execute(sql, parameters)
        if hit:
            result.close()  # a statement that is not ended would hold its lock for as long as the traceback lives
            raise self.faults.error()
        return result

    def close(self) -> None:
        self.real.close()


def scenario(store: Store, note: Callable[[Record], None]) -> None:
    """A run that repeats each failed append once, as an engine may."""
    try:
        journal = store.start_run("r1", "jira-prod", plan(), WHO, STARTED)
    except (JournalError, InvalidInput):
        journal = store.continue_run("r1") if exists(store) else store.start_run("r1", "c", plan(), WHO, STARTED)
    for seq in range(1, 4):
        try:
            journal.append(record(seq))
        except JournalError:
            journal.append(record(seq))
        note(record(seq))


def exists(store: Store) -> bool:
    try:
        return store.find("r1") == "r1"
    except InvalidInput:
        return False


@pytest.mark.parametrize("after", [False, True], ids=["before", "after the effect"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_io_fails_once(tmp_path: Path, kind: str, after: bool) -> None:
    for k in range(1, 200):
        url = f"sqlite:///{tmp_path}/{k}.db"
        faults = Faults(kind, k, for_ever=False, after=after)
        acknowledged: list[Record] = []
        with Store.at(url, faults.connect) as store:
            scenario(store, acknowledged.append)
        with open_store(url) as store:
            assert list(store.records("r1")) == acknowledged == [record(1), record(2), record(3)], f"fault {k}"
        if faults.count < k:
            break
    assert 30 < k < 199, "the loop went on until a run met no more faults"


APPEND = ("BEGIN", "SELECT", "INSERT", "UPDATE", "COMMIT")  # the statements of one record


@pytest.mark.parametrize("nth", range(1, len(APPEND) + 1), ids=APPEND)
def test_another_record_than_the_one_in_doubt_is_written_too(tmp_path: Path, nth: int) -> None:
    """Who gives the failed record up may go on with the next."""
    faults = Faults("I/O error", 0, for_ever=False, after=True)
    with Store.at(f"sqlite:///{tmp_path}/r.db", faults.connect) as store:
        journal = store.start_run("r1", "jira-prod", plan(), WHO, STARTED)
        faults.at = faults.count + nth
        with pytest.raises(JournalError):
            journal.append(record(1))
        journal.append(record(2))
        took_place = [record(1)] if APPEND[nth - 1] == "COMMIT" else []
        assert list(store.records("r1")) == [*took_place, record(2)]
        assert store.verify("r1").ok


@pytest.mark.parametrize("after", [False, True], ids=["before", "after the effect"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_io_fails_for_ever_after(tmp_path: Path, kind: str, after: bool) -> None:
    for k in range(1, 200):
        url = f"sqlite:///{tmp_path}/{k}.db"
        faults = Faults(kind, k, for_ever=True, after=after)
        acknowledged: list[Record] = []
        failed = ""
        with Store.at(url, faults.connect) as store:
            try:
                scenario(store, acknowledged.append)
            except JournalError as error:
                failed = str(error)
        if not failed:
            break
        assert kind in failed
        assert f"{k}.db" in failed
        assert "rollsafe recover" in failed
        with open_store(url) as store:
            if exists(store):
                found = list(store.records("r1"))
                assert found[: len(acknowledged)] == acknowledged
                assert len(found) <= len(acknowledged) + 1, "at most the one in doubt more"
                assert store.verify("r1").ok
            else:
                assert acknowledged == []
    assert 30 < k < 199


FULL = """
import signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from rollsafe.errors import JournalError
from rollsafe.journal.store import open_store
from tests.journal.conftest import STARTED, WHO, plan, record
journal = open_store(sys.argv[1]).start_run("r1", "jira-prod", plan(), WHO, STARTED)
for seq in range(1, 100000):
    try:
        journal.append(record(seq))
    except JournalError as error:
        print(error, flush=True)
        break
    print(seq, flush=True)
"""


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/r.db"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    done = subprocess.run(
        [sys.executable, "-c", FULL, url], stdout=subprocess.PIPE, text=True, timeout=60, preexec_fn=limit, check=True
    )
    *acknowledged, error = done.stdout.splitlines()
    assert len(acknowledged) > 5
    assert "r.db" in error
    assert "the disk is full" in error or "I/O error" in error
    with open_store(url) as store:
        found = list(store.records("r1"))
    assert [r.seq for r in found][: len(acknowledged)] == [int(line) for line in acknowledged]
    assert len(found) <= len(acknowledged) + 1


def another(folder: Path) -> None:
    folder.rename(folder.with_name("away"))
    folder.mkdir()
    (folder / "r.db").touch()


GONE = {
    "removed, with its folder": (shutil.rmtree, "was removed"),
    "moved away, and another is there": (another, "was replaced"),
}


@pytest.mark.parametrize("row", GONE)
def test_a_file_that_nobody_finds_again_takes_no_record(tmp_path: Path, row: str) -> None:
    away, told = GONE[row]
    with open_store(f"sqlite:///{tmp_path}/state/r.db") as store:
        journal = store.start_run("r1", "jira-prod", plan(), WHO, STARTED)
        journal.append(record(1))
        away(tmp_path / "state")
        with pytest.raises(JournalError, match=f"r.db {told}"):
            journal.append(record(2))
        with pytest.raises(JournalError):
            journal.append(record(2))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_right_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with open_store(f"sqlite:///{tmp_path}/r.db") as store, pytest.raises(JournalError, match=r"r\.db.*rights"):
        store.start_run("r1", "c", plan(), WHO, STARTED)
    tmp_path.chmod(0o700)


def test_a_path_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in ("file/r.db", "."):
        with open_store(f"sqlite:///{tmp_path}/{path}") as store, pytest.raises(JournalError, match="rollsafe recover"):
            store.start_run("r1", "c", plan(), WHO, STARTED)


def test_a_file_that_another_process_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollsafe.journal.database.BUSY_S", 0.2)
    with open_store(f"sqlite:///{tmp_path}/r.db") as store:
        journal = store.start_run("r1", "c", plan(), WHO, STARTED)
        other = sqlite3.connect(store.file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="another process has held it"):
            journal.append(record(1))
        other.execute("ROLLBACK")
        other.close()
        journal.append(record(1))
        assert list(store.records("r1")) == [record(1)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed journal of two runs, 12 pages or so, with nothing left in its WAL."""
    folder = tmp_path_factory.mktemp("whole")
    with open_store(f"sqlite:///{folder}/r.db") as store:
        for run in ("r1", "r2"):
            journal = store.start_run(run, "jira-prod", plan(), WHO, STARTED)
            for seq in range(1, 31):
                journal.append(record(seq, run))
    assert sorted(f.name for f in folder.iterdir()) == ["r.db"]
    return folder / "r.db"


def outcome(file: Path) -> str:
    """`right`, or the refusal; fails where a wrong record came silently."""
    with open_store(f"sqlite:///{file}") as store:
        try:
            for run in ("r1", "r2"):
                assert list(store.records(run)) == [record(seq, run) for seq in range(1, 31)], "a wrong record"
                assert store.plan(run) == plan(), "a wrong plan"
                store.continue_run(run)
            for row in store.runs(5):
                assert row.outcome == "damaged" or row.who == WHO, "a wrong row"
        except (JournalError, InvalidInput):
            return "refused"
    return "right"


def listed(file: Path) -> list[str]:
    """The runs that the list shows, by a store that was asked nothing else; both where it is refused."""
    with open_store(f"sqlite:///{file}") as store:
        try:
            return [row.run for row in store.runs()]
        except JournalError:
            return ["r2", "r1"]


def test_a_file_cut_short_is_refused(whole: Path, tmp_path: Path) -> None:
    raw = whole.read_bytes()
    for i, size in enumerate([*range(1, 600, 37), *range(600, len(raw), 997), len(raw) - 1]):
        file = tmp_path / f"{i}.db"
        file.write_bytes(raw[:size])
        assert outcome(file) == "refused", f"cut to {size}"
        assert listed(file) == ["r2", "r1"], "no run is lost in silence"


def test_a_table_that_lost_its_last_row_is_no_shorter_list_of_runs(whole: Path, tmp_path: Path) -> None:
    """No chain misses a run that is gone with all of it; the file's own structure does."""
    file = tmp_path / "r.db"
    shutil.copy(whole, file)
    other = sqlite3.connect(file)
    ((page,),) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs'")
    ((size,),) = other.execute("PRAGMA page_size")
    other.close()
    raw, at = bytearray(file.read_bytes()), (page - 1) * size
    assert (raw[at], raw[at + 4]) == (13, 2), "a leaf of a table, with two cells"
    raw[at + 4] = 1
    file.write_bytes(raw)
    with open_store(f"sqlite:///{file}") as store, pytest.raises(JournalError, match="checking it failed: it is dama"):
        store.runs()


def test_flipped_bytes_never_give_a_wrong_record(whole: Path, tmp_path: Path) -> None:
    raw = whole.read_bytes()
    chance = random.Random(7)
    seen = {"right": 0, "refused": 0}
    for i in range(400):
        damaged = bytearray(raw)
        for _ in range(chance.choice([1, 1, 4, 64])):
            damaged[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        file = tmp_path / f"{i}.db"
        file.write_bytes(damaged)
        seen[outcome(file)] += 1
        assert len(listed(file)) == 2, "no run is lost in silence"
        file.unlink()
    assert seen["refused"] > 200
    assert seen["right"] > 0, "a flip in free space harms nobody"


@pytest.mark.parametrize("runs", [1, 2])
def test_a_wal_that_is_damaged_or_lost_hides_nothing(tmp_path: Path, runs: int) -> None:
    """A killed writer leaves its WAL, which SQLite reads as far as its checksums are whole: nothing may hang on it."""
    with open_store(f"sqlite:///{tmp_path}/r.db") as store:
        for run in range(runs):
            journal = store.start_run(f"r{run}", "jira-prod", plan(), WHO, STARTED)
            for seq in range(1, 31):
                journal.append(record(seq, f"r{run}"))
        for name in ("r.db", "r.db-wal"):
            shutil.copy(tmp_path / name, tmp_path / f"copy-{name}")
    main, wal = ((tmp_path / f"copy-{name}").read_bytes() for name in ("r.db", "r.db-wal"))
    chance = random.Random(7)
    for i in range(60):
        folder = tmp_path / str(i)
        folder.mkdir()
        damaged = bytearray(wal)
        damaged[chance.randrange(len(wal))] ^= 1 << chance.randrange(8)
        (folder / "r.db").write_bytes(main)
        if i:  # the first: a copy of the file alone
            (folder / "r.db-wal").write_bytes(damaged if i % 2 else damaged[: chance.randrange(len(damaged))])
        with open_store(f"sqlite:///{folder}/r.db") as copy:
            for run in range(runs):
                assert list(copy.records(f"r{run}")) == [record(seq, f"r{run}") for seq in range(1, 31)]
