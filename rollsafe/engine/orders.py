"""What was asked of the run from outside, while it goes on: signals, and nothing else yet."""

import threading

from rollsafe.planner.readings import Order


class Orders:
    """Takes orders from a signal handler and gives them to the engine. An order only ever grows."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.order = Order.NONE
        self.names: list[str] = []  # the signals, in the order in which they came
        self._told = 0

    def give(self, order: Order, name: str) -> None:
        """Ask for `order`; `name` is what the events show."""
        with self._lock:
            self.order = max(self.order, order)
            self.names.append(name)

    def untold(self) -> list[str]:
        """Signals that were not yet written to the log."""
        with self._lock:
            fresh = self.names[self._told :]
            self._told = len(self.names)
            return fresh
