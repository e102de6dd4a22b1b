"""The run's own clock: elapsed is the greater of monotonic and wall time, and it never goes back."""

import threading
from datetime import UTC, datetime

from rollsafe.ports import Clock

LEAST_S = 0.001


class RunClock:
    """Seconds since the run began.

    A laptop that slept stood still on its monotonic clock, and a wall clock that was set back says nothing: whichever
    moved more is believed.
    """

    def __init__(self, clock: Clock, start_s: float = 0.0) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # the heart and the probes ask, too
        self._at_s = start_s
        self._wall = clock.now()
        self._monotonic = clock.monotonic()

    def at_s(self) -> float:
        """The present."""
        with self._lock:
            wall, monotonic = self._clock.now(), self._clock.monotonic()
            if wall is self._wall and monotonic == self._monotonic:
                return self._at_s  # asked again in the same moment, as a simulated clock can be
            moved_s = max((wall - self._wall).total_seconds(), monotonic - self._monotonic, 0.0)
            self._wall, self._monotonic = wall, monotonic
            self._at_s += moved_s
            return self._at_s

    def wall(self) -> datetime:
        """Wall time, UTC."""
        return self._clock.now()

    def stamp(self) -> str:
        """Wall time as RFC 3339 in UTC, with milliseconds."""
        return self._clock.now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def sleep(self, seconds: float) -> None:
        """Pass the time, at most an hour at once, and at least a moment: what is left of a wait may be too little to
        move the clock, and then the wait would never end."""
        self._clock.sleep(max(LEAST_S, min(seconds, 3600.0)))
