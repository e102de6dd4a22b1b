"""The time that one call may still take. Not the run's clock: no decision of a run rests on it, only socket limits."""

import time


class Deadline:
    """A moment `seconds` from now, after which a call on a socket gives up."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds  # noqa: TID251 - a limit on a socket, see the module's text

    def left(self) -> float:
        """Seconds that are left, 0 when there are none."""
        return max(0.0, self._end - time.monotonic())  # noqa: TID251 - as above

    @property
    def passed(self) -> bool:
        """Is the time used up?"""
        return self.left() <= 0.0
