"""Runs begun, written, read back, gone on with, found, verified and exported."""

import json
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rollsafe.errors import InvalidInput, JournalError
from rollsafe.journal.chain import verify_lines
from rollsafe.journal.place import on_network, store_path
from rollsafe.journal.store import Store, open_store
from rollsafe.model.record import Record
from tests.journal.conftest import STARTED, WHO, plan, record


def write(store: Store, run: str = "r1", count: int = 5, cluster: str = "jira-prod") -> None:
    journal = store.start_run(run, cluster, plan(), WHO, STARTED)
    for seq in range(1, count + 1):
        journal.append(record(seq, run))


def attempt(store: Store, *kinds: str, cluster: str = "jira-prod") -> list[Record]:
    data = {"outcome": "refused", "exit_code": 10}
    records = [record(seq, "r1", kind, data=data) for seq, kind in enumerate(kinds, start=1)]
    journal = store.start_run("r1", cluster, plan(), WHO, STARTED)
    for one in records:
        journal.append(one)
    return records


def finish(store: Store, run: str, seq: int, outcome: str = "done", code: int = 0) -> None:
    data = {"outcome": outcome, "exit_code": code}
    store.continue_run(run).append(record(seq, run, "run.finished", message="all well", data=data))


def test_what_was_written_is_read(store: Store, url: str) -> None:
    write(store, count=1203)
    assert list(store.records("r1")) == [record(seq) for seq in range(1, 1204)]
    assert store.plan("r1") == plan()
    store.close()
    with open_store(url) as again:
        assert list(again.records("r1"))[-1] == record(1203)
        assert again.verify("r1").ok


def test_the_file_is_for_its_owner_only(store: Store) -> None:
    write(store)
    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.file.parent.stat().st_mode) == 0o700
    sidecars = [f for f in store.file.parent.iterdir() if f != store.file]
    assert sidecars, "WAL leaves files beside the database while it is open"
    assert all(stat.S_IMODE(f.stat().st_mode) == 0o600 for f in sidecars)


def test_every_commit_is_synced(store: Store) -> None:
    write(store)
    connection = store._database._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_network_file_system_gets_no_wal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollsafe.journal.database.on_network", lambda _file: True)
    write(store)
    connection = store._database._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (3,)  # EXTRA
    assert len(list(store.records("r1"))) == 5


def test_network_file_systems_are_known_by_the_mounts() -> None:
    mounts = "/dev/sda / ext4 rw 0 0\nnas:/home /home nfs4 rw 0 0\n/dev/sdb /home/lo\\040cal ext4 rw 0 0\nodd\n"
    assert on_network(Path("/home/anna/rollsafe.db"), mounts)
    assert not on_network(Path("/home/lo cal/rollsafe.db"), mounts)
    assert not on_network(Path("/homes/rollsafe.db"), mounts)
    assert not on_network(Path("/x.db"), "")


def test_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert store_path(None) == tmp_path / "rollsafe" / "rollsafe.db"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/anna")
    assert store_path(None) == Path("/home/anna/.local/state/rollsafe/rollsafe.db")
    assert store_path("sqlite:////var/lib/r.db") == Path("/var/lib/r.db")
    assert store_path("sqlite:///r.db") == Path("r.db")
    with pytest.raises(InvalidInput, match="not part of this version"):
        store_path("postgresql://u:canary@db/x")
    for bad in ("sqlite://", "sqlite:///", "/var/lib/r.db", "mysql://u:canary@db/x"):
        with pytest.raises(InvalidInput, match="no address") as error:
            store_path(bad)
        assert "canary" not in str(error.value)


def test_a_run_is_begun_once(store: Store) -> None:
    write(store)
    with pytest.raises(InvalidInput, match="r1 is known already"):
        write(store)
    assert len(list(store.records("r1"))) == 5


LOOKED = ("run.started", "gate.checked", "probe.failed", "run.finished")


@pytest.mark.parametrize(
    ("kinds", "again"),
    [
        pytest.param(LOOKED, True, id="a gate that said no leaves the name free"),
        pytest.param(("run.started", "step.waiting", "run.finished"), True, id="so does a wait for another's claim"),
        pytest.param(("run.started", "claim.made", "run.finished"), False, id="a claim was written to the nodes"),
        pytest.param(("run.started", "something.new", "run.finished"), False, id="what is not known may be a touch"),
        pytest.param(("run.started", "gate.checked"), False, id="a run that did not end may still live"),
        pytest.param((), False, id="nor may one that has said nothing yet be taken for dead"),
    ],
)
def test_a_name_is_free_again_after_a_run_that_only_looked(store: Store, kinds: tuple[str, ...], again: bool) -> None:
    attempt(store, *kinds)
    if again:
        attempt(store, "run.started")
        assert [r.type for r in store.records("r1")] == ["run.started"]
    else:
        with pytest.raises(InvalidInput, match="r1 is known already"):
            attempt(store, "run.started")
        assert [r.type for r in store.records("r1")] == list(kinds)


def test_each_attempt_of_a_name_stays_as_it_was_written(store: Store, url: str) -> None:
    write(store, "r0")
    first, second = attempt(store, *LOOKED), attempt(store, *LOOKED)
    third = attempt(store, "run.started", "claim.made", cluster="other")
    assert [row.run for row in store.runs()] == ["r1", "r1~2", "r1~1", "r0"]
    assert [row.outcome for row in store.runs()] == [None, "refused", "refused", None]
    for told, wanted in {"r1~1": first, "r1~2": second, "r1~3": third, "r1": third}.items():
        assert store.find(told) == told
        assert list(store.records(told)) == wanted
        assert store.verify(told).ok
        assert verify_lines(list(store.export(told))) == ""
        assert store.row(told).run == told
    assert (store.find("last"), store.find("r1")) == ("r1", "r1")
    store.close()
    with open_store(url) as other:
        other.continue_run("r1").append(record(3))
    assert [r.seq for r in store.records("r1")] == [1, 2, 3]
    for unknown in ("r1~4", "r1~0", "r0~2", "~1"):
        with pytest.raises(InvalidInput, match="no run"):
            store.find(unknown)


def test_going_on_with_a_run(store: Store) -> None:
    write(store, count=3)
    journal = store.continue_run("r1")
    assert journal.last_seq == 3
    journal.append(record(4))
    assert [r.seq for r in store.records("r1")] == [1, 2, 3, 4]
    assert store.verify("r1").ok


def test_who_was_taken_over_writes_no_more(store: Store, url: str) -> None:
    old = store.start_run("r1", "jira-prod", plan(), WHO, STARTED)
    old.append(record(1))
    with open_store(url) as other:
        other.continue_run("r1").append(record(2))
    with pytest.raises(JournalError, match="another process has gone on"):
        old.append(record(3))
    with pytest.raises(JournalError, match="another process has gone on"):
        old.append(record(3))
    assert [r.seq for r in store.records("r1")] == [1, 2]


def test_finding_a_run(store: Store) -> None:
    for run in ("20261003-a1", "20261003-b2", "b"):
        write(store, run, 1)
    assert store.find("last") == "b"
    assert store.find("20261003-a") == "20261003-a1"
    assert store.find("b") == "b"
    with pytest.raises(InvalidInput, match="several runs begin with '2026': 20261003-b2, 20261003-a1"):
        store.find("2026")
    for unknown in ("x", "", "%", "_"):
        with pytest.raises(InvalidInput, match="no run"):
            store.find(unknown)


def test_the_list(store: Store) -> None:
    assert store.runs(5) == []
    assert store.latest("jira-prod") is None
    write(store, "r1", 2)
    finish(store, "r1", 3)
    write(store, "r2", 2, cluster="wiki")
    write(store, "r3", 0)
    rows = store.runs(10)
    assert [(row.run, row.cluster, row.outcome, row.records) for row in rows] == [
        ("r3", "jira-prod", None, 0),
        ("r2", "wiki", None, 2),
        ("r1", "jira-prod", "done", 3),
    ]
    assert (rows[2].exit_code, rows[2].ended, rows[2].message) == (0, "2026-10-03T00:00:03Z", "all well")
    assert rows[2].who == WHO
    assert [row.run for row in store.runs(1)] == ["r3"]
    assert store.latest("wiki").run == "r2"
    assert store.latest("jira-prod").run == "r3"


def test_a_command_by_hand_has_no_plan(store: Store) -> None:
    store.start_run("d1", "jira-prod", None, WHO, STARTED).append(record(1, "d1"))
    assert store.plan("d1") is None


def test_a_record_of_another_run_or_of_no_json_is_refused(store: Store) -> None:
    journal = store.start_run("r1", "jira-prod", plan(), WHO, STARTED)
    with pytest.raises(JournalError, match="defect"):
        journal.append(record(1, "r2"))
    for bad in ({"x": object()}, {"x": float("nan")}, {"x": {1, 2}}):
        with pytest.raises(JournalError, match="defect"):
            journal.append(record(1, data=bad))
    journal.append(record(1))
    with pytest.raises(JournalError, match="record 1"):
        journal.append(record(1, message="another"))
    assert list(store.records("r1")) == [record(1)]


def test_many_attempts_of_one_run_hide_no_other(store: Store) -> None:
    for name in ["chg-1", *["chg-2"] * 8]:
        journal = store.start_run(name, "jira-prod", plan(), WHO, STARTED)
        for seq, kind in enumerate(LOOKED, 1):
            journal.append(record(seq, name, kind))
    with pytest.raises(InvalidInput, match="several runs begin with 'chg': chg-2, chg-1;"):
        store.find("chg")
    assert store.find("chg-2") == "chg-2"
    assert store.find("chg-2~") == "chg-2"
    assert store.find("chg-2~3") == "chg-2~3"
    assert store.find("chg-1") == "chg-1"


def test_several_threads_write_one_chain(store: Store) -> None:
    journal = store.start_run("r1", "jira-prod", plan(), WHO, STARTED)

    def work(first: int) -> None:
        for seq in range(first, first + 25):
            journal.append(record(seq))

    threads = [threading.Thread(target=work, args=(1 + 25 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r.seq for r in store.records("r1")) == list(range(1, 101))
    assert store.verify("r1").ok


WRITER = """
import sys
from rollsafe.journal.store import open_store
from tests.journal.conftest import STARTED, WHO, plan, record
store = open_store(sys.argv[1])
journal = store.start_run(sys.argv[2], "jira-prod", plan(), WHO, STARTED)
for seq in range(1, int(sys.argv[3]) + 1):
    journal.append(record(seq, sys.argv[2]))
    print(seq, flush=True)
"""


def writer(url: str, run: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, url, run, str(count)], stdout=subprocess.PIPE, text=True)


def test_several_processes_write_to_one_new_file(url: str) -> None:
    processes = [writer(url, f"p{i}", 30) for i in range(3)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    with open_store(url) as store:
        assert sorted(row.run for row in store.runs(10)) == ["p0", "p1", "p2"]
        for i in range(3):
            assert [r.seq for r in store.records(f"p{i}")] == list(range(1, 31))


@pytest.mark.parametrize("enough", [1, 7, 40])
def test_a_killed_writer_leaves_all_that_it_acknowledged(url: str, enough: int) -> None:
    process = writer(url, "k", 1_000_000)
    for _ in range(enough):
        last = int(process.stdout.readline())
    process.kill()
    rest = process.stdout.read().split("\n")[:-1]  # communicate() would pass over what readline() has buffered
    process.communicate(timeout=30)
    last = int(rest[-1]) if rest else last
    with open_store(url) as store:
        found = list(store.records("k"))
        assert last <= len(found) <= last + 1
        assert found == [record(seq, "k") for seq in range(1, len(found) + 1)]
        assert store.verify("k").ok


def test_nothing_is_changed_or_removed_even_by_our_own_defect(store: Store) -> None:
    write(store)
    store.close()
    with sqlite3.connect(store.file) as other:
        for statement in ("UPDATE records SET body = ''", "DELETE FROM records", "DELETE FROM runs"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                other.execute(statement)
    other.close()


def forge(store: Store, *statements: str) -> None:
    store.close()
    other = sqlite3.connect(store.file)
    for trigger in ("records_stay", "records_remain", "runs_stay", "runs_remain"):
        other.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        other.execute(statement)
    other.commit()
    other.close()


FORGERIES = [
    ("a record changed", "UPDATE records SET body = replace(body, 'jira1', 'jira9') WHERE n = 3", 3),
    ("a record dropped", "DELETE FROM records WHERE n = 3", 4),
    ("the last ones cut off", "DELETE FROM records WHERE n > 3", 3),
    ("all cut off", "DELETE FROM records", None),
    ("a number changed", "UPDATE records SET seq = 99 WHERE n = 3", 99),
    ("a hash changed", "UPDATE records SET hash = replace(hash, 'a', 'b') WHERE n = 5", 5),
    ("the end forgotten", "UPDATE heads SET length = 4", 4),
    ("another end", "UPDATE heads SET hash = 'x'", 5),
    ("no end at all", "DELETE FROM heads", None),
    ("another who", "UPDATE runs SET body = replace(body, 'anna', 'otto')", None),
    ("another cluster", "UPDATE runs SET cluster = 'wiki'", None),
]


@pytest.mark.parametrize(("statement", "seq"), [f[1:] for f in FORGERIES], ids=[f[0] for f in FORGERIES])
def test_a_forgery_is_refused_aloud(store: Store, statement: str, seq: int | None) -> None:
    write(store)
    forge(store, statement)
    verification = store.verify("r1")
    assert (verification.ok, verification.first_bad_seq) == (False, seq)
    for use in (lambda: list(store.records("r1")), lambda: store.continue_run("r1"), lambda: list(store.export("r1"))):
        with pytest.raises(JournalError, match=r"damaged: run r1.*rollsafe recover"):
            use()
    assert store.runs(5)[0].run == "r1", "the list of runs still comes"


def test_what_is_to_be_kept_elsewhere_is_told_and_a_run_without_its_end_is_one(store: Store) -> None:
    write(store)
    finish(store, "r1", 6)
    found = store.verify("r1")
    lines = list(store.export("r1"))
    assert (found.ok, found.records, found.ended) == (True, 6, True)
    assert found.last_hash == json.loads(lines[-1])["hash"]
    # a cut that makes the end anew leaves a whole chain: only what was kept, or the missing end, can tell
    forge(store, "UPDATE heads SET length = 5, hash = (SELECT hash FROM records WHERE n = 5)")
    cut = store.verify("r1")
    assert (cut.ok, cut.records, cut.ended) == (True, 5, False)
    assert cut.last_hash != found.last_hash


def test_the_export_can_be_verified_without_us(store: Store) -> None:
    write(store)
    lines = list(store.export("r1"))
    assert len(lines) == 6
    assert json.loads(lines[0])["body"]["who"]["who"] == "anna"
    assert json.loads(lines[5])["body"]["seq"] == 5
    assert verify_lines(lines) == ""
    assert "line 3" in verify_lines([*lines[:2], lines[2].replace("jira1", "jira9"), *lines[3:]])
    assert "line 3" in verify_lines([*lines[:2], *lines[3:]])
    assert verify_lines([]) != ""
    assert "line 1" in verify_lines(["x"])


@pytest.mark.parametrize("version", [0, 1])
def test_a_database_of_another_program_is_left_alone(store: Store, version: int) -> None:
    """Also where its own version happens to be the number of ours."""
    store.file.parent.mkdir(mode=0o700)
    other = sqlite3.connect(store.file)
    other.execute("CREATE TABLE birds (name TEXT)")
    other.execute(f"PRAGMA user_version = {version}")
    other.commit()
    with pytest.raises(JournalError, match="another program"):
        write(store)
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("birds",)]
    other.close()


def test_a_newer_journal_is_left_to_the_newer_rollsafe(store: Store) -> None:
    write(store)
    forge(store, "PRAGMA user_version = 2")
    with pytest.raises(JournalError, match=r"version 2.*newer"):
        store.runs(1)
