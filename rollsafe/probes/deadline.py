"""The whole time of an exchange, kept from outside it.

httpx limits each read by itself; a server that sends a byte a second would never meet such a limit. So one thread for
all exchanges shuts the socket of the one whose time is up. (A timer for each would cost more than the exchange.)
"""

import heapq
import socket
import threading
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Self

IDLE_S = 60.0  # the thread looks again after at most so long


class Deadline:
    """Wraps one exchange: `with Deadline(5, clock.monotonic) as deadline`, and `deadline.traced` as httpcore's hook."""

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.at_s = monotonic() + seconds
        self.over = False
        self._lock = threading.Lock()
        self._socket: Any = None
        self._ended = False

    def __enter__(self) -> Self:
        _KEEPER.keep(self)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended, self._socket = True, None

    def traced(self, _event: str, info: Mapping[str, Any]) -> None:
        """httpcore's trace hook: takes note of the connection (and of its TLS layer) as soon as there is one."""
        stream = info.get("return_value")
        if stream is not None and hasattr(stream, "get_extra_info"):
            with self._lock:
                self._socket = stream.get_extra_info("socket")
                if self.over:
                    _shut(self._socket)

    def check(self) -> None:
        """Raises TimeoutError where the time is up."""
        if self.over:
            raise TimeoutError

    def end(self) -> None:
        """The time is up: whoever still reads from the socket is woken."""
        with self._lock:
            if not self._ended:
                self.over = True
                _shut(self._socket)


class _Keeper:
    """Waits for the earliest deadline. A new one wakes it only where it is earlier still, which is rare."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Deadline]] = []
        self._numbers = count()
        self._wakes_s = float("-inf")
        self._thread: threading.Thread | None = None

    def keep(self, deadline: Deadline) -> None:
        """See to this one."""
        with self._changed:
            heapq.heappush(self._heap, (deadline.at_s, next(self._numbers), deadline))
            if self._thread is None or not self._thread.is_alive():  # a fork leaves it behind
                self._thread = threading.Thread(target=self._work, name="probe deadlines", daemon=True)
                self._thread.start()
            elif deadline.at_s < self._wakes_s:
                self._changed.notify()

    def _work(self) -> None:
        while True:
            self._next().end()  # without the lock: an SSH channel may take its time to shut

    def _next(self) -> Deadline:
        """Wait for the earliest deadline to pass."""
        with self._changed:
            while True:
                wait_s = IDLE_S
                if self._heap:
                    at_s, _, deadline = self._heap[0]
                    wait_s = min(IDLE_S, at_s - deadline.monotonic())
                    if wait_s <= 0:
                        heapq.heappop(self._heap)
                        return deadline
                self._wakes_s = self._heap[0][0] if self._heap else float("inf")
                self._changed.wait(wait_s)


_KEEPER = _Keeper()


def _shut(connection: Any) -> None:
    try:
        if isinstance(connection, socket.socket):
            # not SSLSocket's own, which pulls its TLS layer from under the thread that reads
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        elif connection is not None:
            connection.shutdown(socket.SHUT_RDWR)  # an SSH channel
    except (OSError, AttributeError, EOFError):
        pass  # gone already
