"""Answers that are lost on their way: the claim is what stands on the nodes, not what was heard of it."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from rollsafe.clock import SystemClock
from rollsafe.drivers.side_by_side import ThreadHeart
from rollsafe.engine import takeover
from rollsafe.engine.claim import Blocked, ClaimKeeper, first_record
from rollsafe.engine.runclock import RunClock
from rollsafe.errors import ClaimError, Effect
from rollsafe.model.claim import ClaimRecord, Token, Who
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld

WHO = Who("night", "host", 1, "2026-11-24T02:00:00Z")


class Lossy:
    """A claim file whose answers get lost; `create_lands` after so many looks."""

    def __init__(self, *, create_lands: int = 0, removals_lost: int = 0) -> None:
        self.record: ClaimRecord | None = None
        self.coming: ClaimRecord | None = None
        self.looks_left = create_lands
        self.removals_lost = removals_lost

    def read(self) -> ClaimRecord | None:
        seen = self.record
        self.looks_left -= 1
        if self.looks_left <= 0 and self.coming is not None:
            self.record, self.coming = self.coming, None
        return seen

    def create(self, record: ClaimRecord) -> bool:
        if self.record is not None:
            return False
        if self.looks_left > 0:
            self.coming = record
            raise ClaimError("the answer was lost", effect=Effect.UNKNOWN)
        self.record = record
        return True

    def swap(self, expected: Token, record: ClaimRecord | None) -> bool:
        if self.record is None or self.record.token != expected:
            return False
        self.record = record
        if record is None and self.removals_lost:
            self.removals_lost -= 1
            raise ClaimError("the answer was lost", effect=Effect.UNKNOWN)
        return True


def keeper_of(file: Lossy) -> ClaimKeeper:
    sim = SimWorld(small_cluster(nodes=2))
    world = sim.world(sim.operator("first"))
    world = replace(world, claims={"n1": file, "n2": Lossy()})
    return ClaimKeeper(world, RunClock(world.clock), first_record("small", "run-1", "holder", WHO))


def test_an_own_claim_that_shows_late_is_no_others() -> None:
    file = Lossy(create_lands=1)
    keeper = keeper_of(file)
    assert keeper.make() is None
    assert set(keeper.tokens) == {"n1", "n2"}
    assert keeper.end() == []
    assert file.record is None


def test_anothers_claim_still_blocks() -> None:
    file = Lossy()
    file.record = first_record("small", "run-2", "another", WHO)
    assert keeper_of(file).make() == Blocked("n1", file.record)


class Foreign(Lossy):
    """Something is there that is no claim."""

    def __init__(self) -> None:
        super().__init__()
        self.touched = 0

    def read(self) -> ClaimRecord | None:
        raise ClaimError("no claim of rollsafe", effect=Effect.NONE)

    def create(self, record: ClaimRecord) -> bool:
        return False

    def swap(self, expected: Token, record: ClaimRecord | None) -> bool:
        self.touched += 1
        return False


def test_what_was_never_made_is_not_removed_again() -> None:
    file = Foreign()
    keeper = keeper_of(file)
    with pytest.raises(ClaimError, match="no claim of rollsafe"):
        keeper.make()
    assert (keeper.not_removed, file.touched) == ([], 0)


@pytest.mark.parametrize("lost", [1, 2])
def test_a_claim_whose_removal_was_not_answered_is_gone(lost: int) -> None:
    file = Lossy(removals_lost=lost)
    keeper = keeper_of(file)
    assert keeper.make() is None
    assert keeper.end() == []
    assert file.record is None


def claimed() -> tuple[SimWorld, ClaimKeeper]:
    """Three nodes that carry our claim."""
    sim = SimWorld(small_cluster())
    world = sim.world(sim.operator("first"))
    keeper = ClaimKeeper(world, RunClock(world.clock), first_record("small", "run-1", "holder", WHO))
    assert keeper.make() is None
    return sim, keeper


def test_a_copy_that_was_fenced_and_then_missed_a_change_is_not_the_one_that_counts() -> None:
    sim, keeper = claimed()
    assert keeper.fence("n1") == ""
    sim.nodes["n1"].ssh = "refused"
    with pytest.raises(ClaimError, match="n1: "):
        keeper.change(doing="n2 is in hand")
    sim.nodes["n1"].ssh = "ok"
    copies = takeover.read_copies(sim.world(sim.operator("second")))
    assert copies.records["n1"].doing == ""
    assert copies.highest("run-1").doing == "n2 is in hand"


@pytest.mark.parametrize("end", [lambda keeper: keeper.release("left"), ClaimKeeper.end], ids=["release", "end"])
def test_who_has_ended_raises_its_beat_no_more_where_its_claim_stays(end: Callable[[ClaimKeeper], object]) -> None:
    sim, keeper = claimed()
    keeper.beat()
    sim.nodes["n1"].ssh = "refused"
    end(keeper)
    left = [node.claim for node in sim.nodes.values()]
    assert None not in left
    keeper.beat()
    assert [node.claim for node in sim.nodes.values()] == left


def beaten(beat: Callable[[int], None], *, beats: int, every_s: float = 0.2) -> float:
    """How long so many beats took."""
    clock, count, over = SystemClock(), 0, threading.Event()

    def counted() -> None:
        nonlocal count
        count += 1
        if count == beats:
            over.set()
        beat(count)

    heart = ThreadHeart(clock.monotonic)
    began_s = clock.monotonic()
    heart.start(counted, every_s)
    assert over.wait(30)
    took_s = clock.monotonic() - began_s
    heart.stop()
    return took_s


def test_a_beat_that_breaks_does_not_end_the_heart() -> None:
    def beat(_: int) -> None:
        raise ValueError("a defect")

    assert beaten(beat, beats=3) < 10


def test_a_slow_beat_does_not_stretch_the_rhythm() -> None:
    took_s = beaten(lambda _: SystemClock().sleep(1.0), beats=3, every_s=2.0)
    assert took_s < 6.9, "2 s, 4 s, 6 s; with the beats' own time added it would be 8 s"
