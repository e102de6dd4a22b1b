"""What goes to the journal of all that the probes saw: small, bounded, and true about its rhythm."""

import time
from collections.abc import Sequence
from dataclasses import replace

import httpx
import pytest

from rollsafe.clock import SystemClock
from rollsafe.model.reading import Evidence, ProbeSample
from rollsafe.model.settings import ProbeSettings
from rollsafe.probes import watch as watching
from rollsafe.probes.batch import MOST_NODES, MOST_POINTS, Batch, ProbeBatch
from tests.probes.conftest import Server, respond, wait_until
from tests.probes.test_watch import RUNNING, watch_of

TEN_HZ = ProbeSettings("scim", "main", "https://scim.example.com", interval_s=0.1)


def sample(at_s: float, good: bool = True, latency_s: float = 0.1, node: str | None = None) -> ProbeSample:
    return ProbeSample("scim", "main", at_s, at_s, good, latency_s, Evidence(), node)


def test_a_batch_is_bounded_and_counts_all() -> None:
    batch = Batch(TEN_HZ)
    for i in range(150):  # 15 s
        slow = 5.0 if i == 77 else 0.1
        batch.add(sample(i / 10, good=i % 3 != 0, latency_s=slow, node=f"node{i}"))
    taken = batch.take()
    assert taken is not None
    assert (taken.probes, taken.failed) == (150, 50)
    assert len(taken.good) <= MOST_POINTS + 1
    assert len(taken.failed_at) == 50, "each failed probe is kept, for the report to draw"
    assert (7.7, 5.0) in taken.good, "the slowest is never thinned out"
    assert len(taken.nodes) == MOST_NODES
    assert taken.asked == ((0.0, 14.9),)
    assert batch.take() is None


def test_failed_probes_are_bounded_and_the_play_of_the_rhythm_hides_none() -> None:
    batch = Batch(replace(TEN_HZ, interval_s=0.25))
    sent = [round(i / 4 + (0.04 if i % 2 else 0.0), 3) for i in range(60)]
    for at_s in sent:
        batch.add(sample(at_s, good=False))
    taken = batch.take()
    assert taken is not None
    assert list(taken.failed_at) == sent
    fast = Batch(replace(TEN_HZ, interval_s=0.001))
    for i in range(15_000):
        fast.add(sample(i / 1000, good=False))
    taken = fast.take()
    assert taken is not None
    assert (taken.failed, len(taken.failed_at)) == (15_000, 300)


def test_a_hole_in_the_rhythm_divides_the_spells_also_between_two_batches() -> None:
    batch = Batch(TEN_HZ)
    for at_s in (0.0, 0.1, 0.2, 3.0, 3.1):
        batch.add(sample(at_s))
    first = batch.take()
    assert first is not None
    assert first.asked == ((0.0, 0.2), (3.0, 3.1))
    batch.add(sample(3.2))
    batch.add(sample(9.0))
    second = batch.take()
    assert second is not None
    assert second.asked == ((3.1, 3.2), (9.0, 9.0))


def test_a_watch_hands_over_batches_in_time_and_the_rest_at_its_end(
    server: Server, transport: httpx.BaseTransport, clock: SystemClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "EVERY_S", 0.2)
    server.reply = respond(200, RUNNING, "X-Node: jira2")
    told: list[ProbeBatch] = []

    def heard(batches: Sequence[ProbeBatch]) -> None:
        told.extend(batches)

    watch = watch_of(server, transport, clock, node_header="X-Node")
    watch.listen(lambda *_: None, heard)
    watch.start()
    wait_until(lambda: len(told) >= 2)
    watch.stop()
    assert sum(batch.probes for batch in told) == watch.summaries()[0].probes
    assert set(told[0].nodes) == {"jira2"}


class Stalling:
    """A clock on which the prober's own process stands still once."""

    def __init__(self) -> None:
        self.skipped_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.skipped_s


def test_turns_that_were_not_sent_are_counted(server: Server, transport: httpx.BaseTransport) -> None:
    server.reply = respond(200, RUNNING)
    clock = Stalling()
    watch = watch_of(server, transport, clock, interval_s=0.2)  # type: ignore[arg-type]  # a watch asks for no more
    watch.start()
    wait_until(lambda: watch.summaries()[0].probes >= 1)
    clock.skipped_s = 30.0
    wait_until(lambda: watch.summaries()[0].late_s > 20)
    wait_until(lambda: watch.summaries()[0].probes >= 4)
    watch.stop()
    assert 145 <= watch.summaries()[0].missed <= 152
