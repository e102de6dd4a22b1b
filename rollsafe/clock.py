"""Time: the only module that sleeps or asks what time it is."""

import threading
import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's clock. `wake()` ends a sleep early, once."""

    def __init__(self) -> None:
        self._wake = threading.Event()

    def now(self) -> datetime:
        """Wall time, UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place

    def monotonic(self) -> float:
        """Seconds since an unknown moment; never goes back. Stands still while a machine sleeps."""
        return time.monotonic()  # noqa: TID251 - the one place

    def sleep(self, seconds: float) -> None:
        """Pass `seconds`, or less when woken."""
        if seconds > 0 and self._wake.wait(seconds):
            self._wake.clear()

    def wake(self) -> None:
        """End the sleep that is going on, or the next one."""
        self._wake.set()
