"""All probes in their own rhythm, on threads of their own, where no other wait can stall them.

The rhythm is the clock's: probe k is due at start + k * interval, however long the answers take. Threads take turns:
one of them waits for the next moment; when it comes, it hands the waiting over and asks. So requests may overlap, and
as many threads are made as the time-out calls for, no more.
"""

import logging
import math
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from rollsafe.model.reading import Evidence, ProbeSample, ProbeSummary
from rollsafe.model.settings import ProbeSettings
from rollsafe.ports import Clock, Probe, ProbeWatch
from rollsafe.probes.batch import EVERY_S, ProbeBatch
from rollsafe.probes.ledger import Change, Ledger, OnChange

STOP_S = 0.9  # how long stop() waits for answers under way
TELL_S = 0.5  # and then for the last news to be told
MOST_THREADS = 128  # for one probe

OnBatches = Callable[[Sequence[ProbeBatch]], None]

_log = logging.getLogger(__name__)


class Watch:
    """Every probe with its settings, watched. `on_change` is called on a thread of its own, in order."""

    def __init__(
        self, probes: Sequence[tuple[ProbeSettings, Probe]], clock: Clock, on_change: OnChange | None = None
    ) -> None:
        self._probes = tuple(probes)
        self._clock = clock
        self._on_change = on_change
        self._on_batches: OnBatches | None = None
        self._stopping = threading.Event()
        self._changes: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._teller = threading.Thread(target=self._tell, name="probe changes", daemon=True)
        self._rhythms: tuple[_Rhythm, ...] = ()

    def listen(self, on_change: OnChange, on_batches: OnBatches | None = None) -> None:
        """Whom to tell of each failed probe (`failed`), of each end of an outage (`recovered`), and every 15 s and at
        the end of what was seen meanwhile."""
        self._on_change = on_change
        self._on_batches = on_batches

    def start(self) -> None:
        """Begin asking: each probe once at once, then in its rhythm."""
        assert not self._rhythms, "a watch is started once"
        self._teller.start()
        self._rhythms = tuple(_Rhythm(s, p, self._clock, self._stopping, self._changes) for s, p in self._probes)
        for rhythm in self._rhythms:
            rhythm.start()

    def summaries(self) -> tuple[ProbeSummary, ...]:
        """What was seen so far, one for each probe, in their order."""
        return tuple(rhythm.summary() for rhythm in self._rhythms)

    def stop(self) -> None:
        """Stop asking, within a second even where a request hangs; what is under way then counts no more."""
        self._stopping.set()
        give_up_s = self._clock.monotonic() + STOP_S
        for thread in [thread for rhythm in self._rhythms for thread in rhythm.threads()]:
            thread.join(max(0.0, give_up_s - self._clock.monotonic()))
        for rhythm in self._rhythms:
            rhythm.close()
        if self._teller.ident is not None:
            self._changes.put(None)
            self._teller.join(TELL_S)

    def _tell(self) -> None:
        batch_s = self._clock.monotonic() + EVERY_S
        while True:
            try:
                change = self._changes.get(timeout=max(0.0, batch_s - self._clock.monotonic()))
            except queue.Empty:
                self._tell_batches()
                batch_s = self._clock.monotonic() + EVERY_S
                continue
            if change is None:
                self._tell_batches()
                return
            if self._on_change is not None:
                _told(partial(self._on_change, change.kind, change.summary, change.sample))

    def _tell_batches(self) -> None:
        batches = [batch for rhythm in self._rhythms if (batch := rhythm.batch()) is not None]
        if batches and self._on_batches is not None:
            _told(partial(self._on_batches, batches))


def _told(tell: Callable[[], None]) -> None:
    try:
        tell()
    except Exception:  # noqa: BLE001 - a listener that breaks must not end the watch; its trace is logged
        _log.exception("the news of a probe was lost")


class _Rhythm:
    """One probe: its schedule, its threads, its ledger."""

    def __init__(
        self,
        settings: ProbeSettings,
        probe: Probe,
        clock: Clock,
        stopping: threading.Event,
        changes: "queue.SimpleQueue[Change | None]",
    ) -> None:
        self._settings = settings
        self._probe = probe
        self._clock = clock
        self._stopping = stopping
        self._changes = changes
        self._begun_s = clock.monotonic()
        self._ledger = Ledger(settings, self._begun_s)
        self._lock = threading.Lock()  # over all that follows, and the ledger
        self._turn = 0  # the next probe is due at begun + turn * interval
        self._missed = 0  # turns that passed while nobody could send
        self._idle = 0  # threads that wait for the baton
        self._threads: list[threading.Thread] = []
        self._baton = threading.Lock()  # who holds it waits for the next moment
        self._most = min(MOST_THREADS, math.ceil(settings.timeout_s / settings.interval_s) + 2)

    def start(self) -> None:
        """Make the first thread."""
        with self._lock:
            self._add_thread()

    def threads(self) -> list[threading.Thread]:
        """The threads that were made so far."""
        with self._lock:
            return list(self._threads)

    def summary(self) -> ProbeSummary:
        """What was seen so far. A probe that is due and could not be sent counts as late already."""
        now_s = self._clock.monotonic()
        with self._lock:
            self._announce(self._ledger.give_up(now_s))
            summary = self._ledger.summary(now_s)
            overdue_s = 0.0 if self._stopping.is_set() else now_s - self._due_s()
            missed = self._missed + max(0, math.floor(overdue_s / self._settings.interval_s))
        return replace(summary, late_s=max(summary.late_s, overdue_s), missed=missed)

    def close(self) -> None:
        """What is still under way counts no more."""
        with self._lock:
            self._announce(self._ledger.close(self._clock.monotonic()))

    def batch(self) -> ProbeBatch | None:
        """What settled since the last call."""
        with self._lock:
            return self._ledger.batch()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            with self._baton:
                with self._lock:
                    self._idle -= 1
                    due_s = self._due_s()
                if self._stopping.wait(max(0.0, due_s - self._clock.monotonic())):
                    return
                ticket = self._send(due_s)
            sample = self._ask(due_s)
            with self._lock:
                self._announce(self._ledger.answered(ticket, sample, self._clock.monotonic()))

    def _send(self, due_s: float) -> int:
        """Write down that the probe goes out, choose the next turn, and see that somebody takes it."""
        now_s = self._clock.monotonic()
        with self._lock:
            self._announce(self._ledger.give_up(now_s))
            # Turns that were missed are not made up for in a burst; this one, the first of them, shows how late it is.
            passed = math.floor((now_s - self._begun_s) / self._settings.interval_s)
            self._missed += max(0, passed - self._turn)
            self._turn = max(self._turn, passed) + 1
            if self._idle == 0 and len(self._threads) < self._most:
                self._add_thread()
            return self._ledger.sent(due_s, now_s)

    def _ask(self, due_s: float) -> ProbeSample:
        begun_s = self._clock.monotonic()
        try:
            sample = self._probe.ask()
        except Exception as error:  # noqa: BLE001 - a probe never raises; one that does has failed, and the watch goes on
            evidence = Evidence(detail=f"the probe itself broke: {type(error).__name__}")
            latency_s = self._clock.monotonic() - begun_s
            settings = self._settings
            return ProbeSample(settings.service, settings.name, due_s, begun_s, False, latency_s, evidence)
        return replace(sample, at_s=due_s)

    def _due_s(self) -> float:
        return self._begun_s + self._turn * self._settings.interval_s

    def _add_thread(self) -> None:
        name = f"probe {self._settings.service} {self._settings.name} {len(self._threads) + 1}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _announce(self, changes: list[Change]) -> None:
        for change in changes:
            self._changes.put(change)


_conforms: type[ProbeWatch] = Watch
