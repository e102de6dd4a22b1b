"""Questions side by side, on daemon threads: one that hangs stalls no other, and can't keep the process alive."""

import logging
import queue
import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from rollsafe.ports import Gather, Heart

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
MOST_THREADS = 128
LEAST_PAUSE_S = 0.5  # between two beats, where one took longer than the rhythm

_log = logging.getLogger(__name__)

Job = tuple[Future[Any], Callable[[], Any]]


class SideBySide:
    """Implements ports.Gather. Threads are made as they are needed, and wait for the next question."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._free = 0  # threads that wait, less the questions that were handed to them already
        self._owed = 0  # questions that wait for a thread, because there are as many as there may be
        self._threads = 0
        self._pending: dict[Hashable, Future[Any]] = {}

    def __call__(self, questions: Mapping[K, Callable[[], T]], within_s: float) -> dict[K, T]:
        """The answers that came in time; a question that is still under way is not asked a second time."""
        with self._lock:
            asked = {
                key: self._pending.pop(key) if key in self._pending else self._submit(ask)
                for key, ask in questions.items()
            }
        wait(asked.values(), timeout=within_s)
        done = {key: future for key, future in asked.items() if future.done()}
        with self._lock:
            self._pending |= {key: future for key, future in asked.items() if key not in done}
        return {key: future.result() for key, future in done.items()}

    def _submit(self, ask: Callable[[], T]) -> Future[Any]:
        future: Future[Any] = Future()
        self._jobs.put((future, ask))
        if self._free:
            self._free -= 1
        elif self._threads < MOST_THREADS:
            self._threads += 1
            threading.Thread(target=self._work, name=f"questions {self._threads}", daemon=True).start()
        else:
            self._owed += 1
        return future

    def _work(self) -> None:
        while True:
            future, ask = self._jobs.get()
            try:
                future.set_result(ask())
            except BaseException as error:  # noqa: BLE001 - it belongs to the asker, who gets it from result()
                future.set_exception(error)
            with self._lock:
                if self._owed:
                    self._owed -= 1
                else:
                    self._free += 1


class ThreadHeart:
    """Implements ports.Heart: the beat on a daemon thread of its own, in a rhythm that a slow beat does not stretch."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, beat: Callable[[], None], every_s: float) -> None:
        """Begin to beat, the first time after `every_s`."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._work, args=(beat, every_s), name="heart", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No beat begins any more; one that is under way is waited for, shortly."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def _work(self, beat: Callable[[], None], every_s: float) -> None:
        due_s = self._monotonic() + every_s
        while not self._stopping.wait(max(0.0, due_s - self._monotonic())):
            try:
                beat()
            except Exception:  # noqa: BLE001 - a heart that stands still calls the run dead, and others take it over
                _log.exception("a beat was lost")
            due_s = max(due_s + every_s, self._monotonic() + LEAST_PAUSE_S)


_conforms: tuple[type[Gather], type[Heart]] = (SideBySide, ThreadHeart)
