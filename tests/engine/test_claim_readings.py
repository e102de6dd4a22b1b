"""What was read of the claims, and when: a late answer tells of the moment in which it was asked, and of no other."""

import threading
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from rollsafe.clock import SystemClock
from rollsafe.drivers.side_by_side import SideBySide, ThreadHeart
from rollsafe.engine import claim as claims
from rollsafe.engine import takeover
from rollsafe.engine.claim import ClaimKeeper, first_record
from rollsafe.engine.runclock import RunClock
from rollsafe.model.claim import ClaimRecord, Token, Who
from rollsafe.model.reading import ProbeSummary
from rollsafe.planner.readings import Ours
from rollsafe.ports import World
from rollsafe.rehearsal.clock import START


class NodeDisk:
    """A claim file that can be made to hang."""

    def __init__(self) -> None:
        self.record: ClaimRecord | None = None
        self.open = threading.Event()
        self.open.set()
        self.lock = threading.Lock()

    def read(self) -> ClaimRecord | None:
        seen = self.record
        self.open.wait(20)
        return seen

    def create(self, record: ClaimRecord) -> bool:
        if self.record is None:
            self.record = record
            return True
        return False

    def swap(self, expected: Token, record: ClaimRecord | None) -> bool:
        with self.lock:
            if self.record is None or self.record.token != expected:
                return False
            self.record = record
            return True


class HandClock(SystemClock):
    """What a run is told the time is: only the test moves it on, however long a busy machine takes."""

    def __init__(self) -> None:
        super().__init__()
        self.at_s = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at_s)

    def monotonic(self) -> float:
        return self.at_s


class NoProbes:
    """Nobody asks."""

    def start(self) -> None:
        """Nothing begins."""

    def summaries(self) -> tuple[ProbeSummary, ...]:
        return ()

    def stop(self) -> None:
        """Nothing ends."""


class Scene:
    """Two nodes that are claimed by us."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, system: SystemClock) -> None:
        monkeypatch.setattr(claims, "READ_WITHIN_S", 0.8)
        self.disks = {"n1": NodeDisk(), "n2": NodeDisk()}
        heart = ThreadHeart(system.monotonic)
        self.world = world = World({}, self.disks, {}, {}, (), NoProbes(), system, SideBySide(), heart)
        self.clock = RunClock(system)
        who = Who("night", "host", 1, "2026-11-24T02:00:00Z")
        self.keeper = ClaimKeeper(world, self.clock, first_record("c", "run-1", "holder", who))
        assert self.keeper.make() is None

    def taken_over(self) -> None:
        for disk in self.disks.values():
            assert disk.record is not None
            disk.record = replace(disk.record, token=Token("run-1", 2, "another", 0))


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch, SystemClock())


def test_a_late_answer_counts_from_when_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()
    scene = Scene(monkeypatch, clock)
    scene.disks["n2"].open.clear()
    monkeypatch.setattr(claims, "READ_WITHIN_S", 0.05)
    assert scene.keeper.read()["n2"].ours is Ours.UNREAD
    clock.at_s = 1.5
    scene.disks["n2"].open.set()
    monkeypatch.setattr(claims, "READ_WITHIN_S", 20.0)  # it is on its way
    assert scene.keeper.read()["n2"].ours is Ours.OURS, "the answer of the first question"
    assert scene.keeper.read_at_s == 0.0
    confirmed = scene.keeper.confirm(taking_out=True)
    assert confirmed.allowed
    assert scene.keeper.read_at_s == 1.5, "too old to be used again: it was asked anew"


def test_a_late_answer_of_before_the_takeover_takes_no_node_out(scene: Scene) -> None:
    scene.disks["n2"].open.clear()
    scene.keeper.read()
    scene.taken_over()
    scene.disks["n2"].open.set()
    scene.clock.sleep(1.1)
    assert not scene.keeper.confirm(taking_out=True).allowed
    assert not scene.keeper.confirm(taking_out=False).allowed, "n1 was reached, and is another's"


def test_a_put_back_does_not_wait_for_a_node_that_hangs_in_every_look(scene: Scene) -> None:
    scene.disks["n2"].open.clear()
    scene.keeper.read()
    began_s = scene.clock.at_s()
    assert scene.keeper.confirm(taking_out=False).allowed
    assert scene.clock.at_s() - began_s < 0.2
    assert not scene.keeper.confirm(taking_out=True).allowed


def test_a_beat_never_carries_an_old_record_under_a_new_token(scene: Scene) -> None:
    over = threading.Event()

    def beat() -> None:
        while not over.is_set():
            scene.keeper.beat()

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        for turn in range(60):
            scene.keeper.change(doing=f"turn {turn}")
            for disk in scene.disks.values():
                assert disk.record is not None
                assert disk.record.doing == f"turn {turn}"
    finally:
        over.set()
        heart.join()
    assert scene.keeper.record.doing == "turn 59"


def test_an_earlier_change_that_comes_late_is_not_taken_for_a_later_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "CHANGE_WITHIN_S", 0.3)
    disk = scene.disks["n2"]
    disk.lock.acquire()
    with pytest.raises(claims.ClaimError, match="n2: no answer"):
        scene.keeper.change(doing="first")
    disk.lock.release()
    scene.clock.sleep(0.2)
    scene.keeper.change(doing="second")
    assert [d.record.doing for d in scene.disks.values() if d.record] == ["second", "second"]


def test_a_claim_of_a_run_that_died_while_it_tidied_up_is_cleared_by_recover(scene: Scene) -> None:
    scene.keeper.change(done=True)
    scene.disks["n2"].record = None
    copies = takeover.read_copies(scene.world)
    assert copies.records == {}, "it blocks nobody"
    takeover.clear_done(scene.world, copies)
    assert [disk.record for disk in scene.disks.values()] == [None, None]


def test_a_claim_that_stands_is_not_cleared(scene: Scene) -> None:
    takeover.clear_done(scene.world, takeover.read_copies(scene.world))
    assert all(disk.record is not None for disk in scene.disks.values())
