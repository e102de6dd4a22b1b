"""Probes in their rhythm, against a real server, with answers that are slow, hang, fail and come back."""

import socket
import threading
import time
from itertools import pairwise
from statistics import median

import httpx
import pytest

from rollsafe.clock import SystemClock
from rollsafe.model.reading import ProbeSample, ProbeSummary
from rollsafe.model.secret import Secret
from rollsafe.model.settings import Expectation, ProbeSettings
from rollsafe.probes.http_probe import HttpProbe
from rollsafe.probes.watch import Watch
from tests.probes.conftest import Server, respond, wait_until

RUNNING = '{"state": "RUNNING"}'


def settings(server: Server, **changes: object) -> ProbeSettings:
    base: dict[str, object] = {
        "service": "web",
        "name": "main",
        "url": f"{server.url}/status",
        "expect": Expectation(json={"state": "RUNNING"}),
        "interval_s": 0.05,
        "timeout_s": 0.5,
    }
    return ProbeSettings(**{**base, **changes})  # type: ignore[arg-type]  # the tests' own shorthand


class News:
    """Keeps what a watch tells."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ProbeSummary, ProbeSample]] = []

    def __call__(self, kind: str, summary: ProbeSummary, sample: ProbeSample) -> None:
        self.told.append((kind, summary, sample))

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.told]


class Kept:
    """A probe that keeps its samples."""

    def __init__(self, probe: HttpProbe) -> None:
        self._probe = probe
        self.samples: list[ProbeSample] = []

    def ask(self) -> ProbeSample:
        sample = self._probe.ask()
        self.samples.append(sample)
        return sample


def watch_of(
    server: Server, transport: httpx.BaseTransport, clock: SystemClock, news: News | None = None, **changes: object
) -> Watch:
    chosen = settings(server, **changes)
    return Watch([(chosen, HttpProbe(chosen, transport, clock))], clock, news)


def test_a_probe_asks_as_a_client_does(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    server.reply = respond(200, RUNNING, "X-Node: jira2", "Set-Cookie: a=b")
    token = Secret("env:T", lambda: "canary")
    probe = HttpProbe(settings(server, token=token, node_header="X-Node"), transport, clock)
    first, second = probe.ask(), probe.ask()
    assert (first.good, first.node, first.service, first.name) == (True, "jira2", "web", "main")
    assert first.latency_s > 0
    assert second.started_s > first.started_s
    assert len(server.requests) == 2, "each on a connection of its own: the server answers one request per connection"
    assert b"Authorization: Bearer canary" in server.requests[1]
    assert b"Cookie" not in server.requests[1]
    server.reply = respond(503, "<html>No server is available")
    third = probe.ask()
    assert (third.good, third.node, third.evidence.status) == (False, None, 503)
    assert third.evidence.detail == "HTTP 503: answered 503, expected 200"
    server.stop()
    assert probe.ask().evidence.detail.startswith("refused: ")


def test_the_rhythm_is_kept_though_answers_are_slow(
    server: Server, transport: httpx.BaseTransport, clock: SystemClock
) -> None:
    def slow(connection: socket.socket, request: bytes) -> None:
        time.sleep(0.2)  # four intervals
        respond(200, RUNNING)(connection, request)

    server.reply = slow
    chosen = settings(server)
    kept = Kept(HttpProbe(chosen, transport, clock))
    watch = Watch([(chosen, kept)], clock)
    watch.start()
    wait_until(lambda: watch.summaries()[0].probes >= 20)
    watch.stop()
    assert all(sample.good for sample in kept.samples)
    # Loose enough for a busy machine, and far from the 0.2 s that each step would take if answers were waited for.
    sent_s = sorted(sample.started_s for sample in kept.samples)
    assert median(b - a for a, b in pairwise(sent_s)) == pytest.approx(0.05, abs=0.02)
    assert watch.summaries()[0].late_s < 0.15
    assert 0.2 <= median(sample.latency_s for sample in kept.samples) < 0.3


def test_a_main_thread_that_only_computes_stalls_no_probe(server: Server, clock: SystemClock) -> None:
    server.reply = respond(200, RUNNING)
    with httpx.HTTPTransport() as transport:
        watch = watch_of(server, transport, clock, interval_s=0.5)
        watch.start()
        busy_until_s = time.monotonic() + 4.0
        while time.monotonic() < busy_until_s:
            pass
        (seen,) = watch.summaries()
        watch.stop()
    assert (seen.failed, seen.missed) == (0, 0)
    assert seen.probes >= 7
    assert seen.late_s < 0.5


def test_an_outage_is_measured_and_told(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    news = News()
    server.reply = respond(200, RUNNING)
    watch = watch_of(server, transport, clock, news)
    watch.start()
    wait_until(lambda: watch.summaries()[0].probes >= 3)
    began = time.monotonic()
    server.reply = respond(503)
    wait_until(lambda: watch.summaries()[0].failed >= 6)
    assert watch.summaries()[0].outage_s > 0.2
    server.reply = respond(200, RUNNING)
    lasted = time.monotonic() - began
    wait_until(lambda: watch.summaries()[0].failed_in_a_row == 0)
    wait_until(lambda: "recovered" in news.kinds())
    watch.stop()
    summary = watch.summaries()[0]
    assert summary.longest_outage_s == pytest.approx(lasted, abs=0.15)
    assert summary.outage_s == 0
    assert news.kinds() == ["failed"] * summary.failed + ["recovered"]
    assert not any(sample.good for kind, _, sample in news.told if kind == "failed")
    assert [summary.failed_in_a_row for _, summary, _ in news.told][:3] == [1, 2, 3]


def test_a_hang_is_told_as_one_outage(server: Server, transport: httpx.BaseTransport, clock: SystemClock) -> None:
    """Requests sent after it are good long before the last one that hangs has failed."""
    news, hanging = News(), threading.Event()

    def reply(connection: socket.socket, request: bytes) -> None:
        if hanging.is_set():
            server.stopping.wait(5)
        respond(200, RUNNING)(connection, request)

    server.reply = reply
    watch = watch_of(server, transport, clock, news, timeout_s=1.5)
    watch.start()
    wait_until(lambda: watch.summaries()[0].probes >= 3)
    hanging.set()
    time.sleep(0.5)
    hanging.clear()
    wait_until(lambda: "recovered" in news.kinds())
    watch.stop()
    summary = watch.summaries()[0]
    assert news.kinds() == ["failed"] * summary.failed + ["recovered"]
    *failed, recovered = [told for _, told, _ in news.told]
    assert [told.failed_in_a_row for told in failed] == list(range(1, summary.failed + 1))
    assert all(told.outage_s >= 1.5 for told in failed)
    assert recovered.ended_outage_s == summary.longest_outage_s == pytest.approx(0.5, abs=0.2)


def test_what_waits_for_a_hanging_request_is_told_at_the_end(
    server: Server, transport: httpx.BaseTransport, clock: SystemClock
) -> None:
    news, seen, asked = News(), [], []

    def reply(connection: socket.socket, request: bytes) -> None:
        asked.append(request)
        if len(asked) == 3:
            server.stopping.wait(5)
        respond(503 if len(asked) == 4 else 200, RUNNING)(connection, request)

    server.reply = reply
    watch = watch_of(server, transport, clock, timeout_s=30.0)
    watch.listen(news, seen.extend)
    watch.start()
    wait_until(lambda: watch.summaries()[0].probes >= 8)
    assert news.kinds() == ["failed"]
    watch.stop()
    assert news.kinds() == ["failed", "recovered"]
    assert sum(batch.probes for batch in seen) == watch.summaries()[0].probes


def test_a_hanging_request_stalls_neither_the_rhythm_nor_the_stop(
    server: Server, transport: httpx.BaseTransport, clock: SystemClock
) -> None:
    hung = threading.Event()

    def hang_once(connection: socket.socket, request: bytes) -> None:
        if not hung.is_set():
            hung.set()
            server.stopping.wait(5)
        respond(200, RUNNING)(connection, request)

    server.reply = hang_once
    watch = watch_of(server, transport, clock, timeout_s=4.0)
    watch.start()
    wait_until(lambda: watch.summaries()[0].probes >= 10)
    assert watch.summaries()[0].late_s < 0.5
    began = time.monotonic()
    watch.stop()
    assert time.monotonic() - began < 1.1


class Deaf:
    """A probe that never comes back, as a name resolution without a limit."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def ask(self) -> ProbeSample:
        self.release.wait(10)
        raise OSError("released")


def test_a_stalled_prober_can_not_look_like_success(server: Server, clock: SystemClock) -> None:
    deaf = Deaf()
    watch = Watch([(settings(server, timeout_s=0.1), deaf)], clock)
    watch.start()
    wait_until(lambda: watch.summaries()[0].failed >= 2)
    summary = watch.summaries()[0]
    assert "hangs" in summary.last.evidence.detail
    wait_until(lambda: watch.summaries()[0].late_s > 0.5)
    assert len(watch._rhythms[0].threads()) == 4, "no more threads than the time-out calls for"
    began = time.monotonic()
    watch.stop()
    assert time.monotonic() - began < 1.1
    deaf.release.set()


def test_a_probe_or_a_listener_that_breaks_does_not_end_the_watch(server: Server, clock: SystemClock) -> None:
    broken = Deaf()
    broken.release.set()
    heard = []

    def listener(kind: str, _summary: ProbeSummary, _sample: ProbeSample) -> None:
        heard.append(kind)
        raise ValueError("a listener of no use")

    watch = Watch([(settings(server), broken)], clock)
    watch.listen(listener)
    watch.start()
    wait_until(lambda: len(heard) >= 3)
    watch.stop()
    assert watch.summaries()[0].last.evidence.detail == "the probe itself broke: OSError"


def test_a_watch_that_was_never_started_stops_at_once(server: Server, clock: SystemClock) -> None:
    began = time.monotonic()
    Watch([(settings(server), Deaf())], clock).stop()
    assert time.monotonic() - began < 0.5
