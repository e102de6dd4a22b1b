"""A real run is killed, and its journal is cut short or has flipped bytes: refused aloud, and recover works anyhow.

`runs`, `show` and `report` tell what was written or refuse; `resume` touches nothing; `recover` needs only the claim.
"""

import json
import os
import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from rollsafe.cli.app import run_command_line
from tests.crash.machine import Machine, on_machines, seeded, writes

pytestmark = pytest.mark.real
RUN = ("run", "--yes", "--nodes", "jira1")
DIES = ("before the restart of jira1", "after jira1 in scim to drain", "after record restart.begun")
DB, WAL, SHM = "rollsafe.db", "rollsafe.db-wal", "rollsafe.db-shm"
Damage = Callable[[Path, random.Random], None]


def cut(name: str, to: float) -> Damage:
    """The file is cut short to such a part of itself; a WAL that is cut to nothing is gone."""

    def damage(folder: Path, _: random.Random) -> None:
        os.truncate(folder / name, int((folder / name).stat().st_size * to))

    return damage


def flip(name: str, times: int) -> Damage:
    """Some bytes have another bit."""

    def damage(folder: Path, chance: random.Random) -> None:
        raw = bytearray((folder / name).read_bytes())
        for _ in range(times):
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        (folder / name).write_bytes(raw)

    return damage


def zeros(name: str) -> Damage:
    """4 KiB somewhere are zeros, as after a power cut on some disks."""

    def damage(folder: Path, chance: random.Random) -> None:
        raw = bytearray((folder / name).read_bytes())
        at = chance.randrange(0, len(raw), 4096)
        raw[at : at + 4096] = bytes(len(raw[at : at + 4096]))
        (folder / name).write_bytes(raw)

    return damage


def lost(*names: str) -> Damage:
    """Only a part of the files was kept."""

    def damage(folder: Path, _: random.Random) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)

    return damage


def all_of(*parts: Damage) -> Damage:
    """One after the other."""

    def damage(folder: Path, chance: random.Random) -> None:
        for part in parts:
            part(folder, chance)

    return damage


def damages(times: int) -> Iterator[tuple[str, Damage]]:
    """(what, how) of so many of each kind."""
    yield "the WAL is lost", lost(WAL, SHM)
    yield "nothing is left of the database", cut(DB, 0)
    for n in range(times):
        part = (n + 0.5) / times
        yield f"the database is cut to {part:.2f}", cut(DB, part)
        yield f"the WAL is cut to {part:.2f}", cut(WAL, part)
        yield "a byte of the database", flip(DB, 1)
        yield "a byte of the WAL", flip(WAL, 1)
        yield "many bytes of the database", flip(DB, 40)
        yield "zeros in the database", zeros(DB)
        yield "zeros in the WAL", zeros(WAL)
        yield "the WAL is lost, and a byte of the database", all_of(lost(WAL, SHM), flip(DB, 1))


# --- what is told ----------------------------------------------------------------------------------------------------


@dataclass
class Killed:
    """The state folder that a killed run left, and what the commands tell of it while it is whole."""

    kept: Path
    inventory: Path
    told: dict[str, str]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("killed")
    with Machine(folder / "bed") as machine:
        machine.begin()
        assert machine.crashing(DIES[0], *RUN).result().exit == -signal.SIGKILL
        shutil.copytree(machine.bed.folder / "home" / "state" / "rollsafe", folder / "kept")
        shutil.copy(machine.bed.inventory, folder / "inventory.yml")
    return Killed(folder / "kept", folder / "inventory.yml", {})


class Reader:
    """Calls the commands on one copy of the state folder."""

    def __init__(self, killed: Killed, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._killed, self._folder, self._capsys = killed, folder, capsys
        capsys.readouterr()  # what was said before is none of the commands'

    def tell(self, command: str) -> tuple[int, str, str]:
        """(exit code, stdout or the report, stderr)."""
        report = self._folder / "report.json"
        report.unlink(missing_ok=True)
        words = {"runs": ["runs"], "show": ["show", "last"], "report": ["report", "last", "--json", str(report)]}
        output = [] if command == "report" else ["-o", "json"]
        code = run_command_line([*words[command], *output, "-i", str(self._killed.inventory)])
        out, err = self._capsys.readouterr()
        if command != "report":
            return code, without_time(out), err
        return code, report.read_text() if report.exists() else "", err


def without_time(lines: str) -> str:
    """`runs` says when it was asked."""
    events = [json.loads(line) for line in lines.splitlines()]
    return json.dumps([{k: v for k, v in e.items() if k != "time"} if e["type"] == "run" else e for e in events])


def look_at_damages(killed: Killed, tmp_path: Path, monkeypatch, capsys, times: int, chance: random.Random) -> Counter:
    """Each damage, each command: the truth, or a refusal; returns how often which."""
    state = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    reader, seen = Reader(killed, tmp_path, capsys), Counter()
    kinds: list[tuple[str, Damage]] = [("nothing", lost()), *damages(times)]
    for what, damage in kinds:
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(killed.kept, state / "rollsafe")
        damage(state / "rollsafe", chance)
        for command in ("show", "report", "runs"):
            code, out, err = reader.tell(command)
            told = f"{what}: {command}: {code}\n{out[-500:]}\n{err}"
            assert "Traceback" not in err, told
            if what == "nothing":
                assert code == 0, told
                killed.told[command] = out
            seen[command, refused_or_true(killed, command, code, out, err, told)] += 1
    return seen


def refused_or_true(killed: Killed, command: str, code: int, out: str, err: str, told: str) -> str:
    if code == 0 and out == killed.told[command]:
        return "true"
    if command == "runs" and code == 0:
        assert '"outcome": "damaged"' in out, told
        return "refused"
    assert code in (2, 10), told
    assert "journal" in err or "no run" in err, told
    return "refused"


def test_what_is_damaged_is_told_as_it_was_or_refused(killed, tmp_path, monkeypatch, capsys) -> None:
    seen = look_at_damages(killed, tmp_path, monkeypatch, capsys, 4, random.Random(4))
    assert all(seen[command, "refused"] > 3 and seen[command, "true"] > 3 for command in ("show", "report", "runs"))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_wherever_it_is_damaged_it_is_told_as_it_was_or_refused(
    killed, tmp_path, monkeypatch, capsys, record_property
) -> None:
    seen = look_at_damages(killed, tmp_path, monkeypatch, capsys, 100, seeded())
    record_property("outcomes", str(dict(seen)))
    sys.stdout.write(f"{sum(seen.values())} answers of damaged journals: {dict(seen)}\n")


# --- what is done ----------------------------------------------------------------------------------------------------


def kill_damage_recover(machine: Machine, point: str, damage: Damage, chance: random.Random, *words: str) -> str:
    """Resume on the machine with the damaged journal touches nothing; recover there puts all back."""
    machine.begin()
    assert machine.crashing(point, *RUN).result().exit == -signal.SIGKILL
    state = machine.bed.folder / "home" / "state" / "rollsafe"
    damage(state, chance)
    whole = machine.operator("night-operator", "show", "last").result().exit == 0
    told = ""
    if not whole:
        refused = machine.operator("night-operator", "resume", "--yes", *words).result()
        told = refused.text
        assert refused.exit in (10, 30), told
        assert writes(refused) == [], told
        assert "recover" in refused.finished["message"], told
    recovered = machine.operator("night-operator", "recover", "--yes", *words).result()
    machine.bed.observer.stop()
    told = f"{told}\n{recovered.text}"
    assert recovered.exit == 0, told
    machine.sound(told)
    machine.as_found(told)
    shutil.rmtree(state)
    return "whole" if whole else "refused"


def test_recover_works_beside_a_damaged_journal(tmp_path: Path) -> None:
    no_wal = lost(WAL, SHM)  # it may hold what the file has lost
    cases = ((DIES[1], all_of(no_wal, cut(DB, 0.6))), (DIES[2], all_of(no_wal, flip(DB, 60))))

    def one(number: int) -> str:
        with Machine(tmp_path / f"bed{number}") as machine:
            return kill_damage_recover(machine, *cases[number], random.Random(number), "--take-over")

    with ThreadPoolExecutor(len(cases)) as pool:
        assert list(pool.map(one, range(len(cases)))) == ["refused", "refused"]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_recover_works_beside_every_kind_of_damage(record_property) -> None:
    chance, seen = seeded(), Counter()
    cases = [(DIES[n % 3], what, damage) for n, (what, damage) in enumerate(damages(4))]

    def work(machine: Machine, case: tuple[str, str, Damage]) -> None:
        outcome = kill_damage_recover(machine, case[0], case[2], chance)
        seen[outcome] += 1
        sys.stdout.write(f"{case[0]}, {case[1]}: {outcome}\n")

    on_machines(cases, work)
    record_property("outcomes", dict(seen))
    sys.stdout.write(f"{seen.total()} recovered beside a damaged journal: {dict(seen)}\n")
