"""Virtual time: a heap of things that are due, on the one timeline that everybody shares.

Nothing here waits. `pass_time` moves the one timeline on and runs what falls due meanwhile: the balancers' checks,
nodes that start, people. Where several operators share a timeline, each lives in a thread of its own, but only one of
them ever runs: whoever passes time hands over to whoever is due next, so a run with the same seed is the same run.
"""

import heapq
import threading
from collections.abc import Callable
from datetime import UTC, datetime

# A Saturday night. The rehearsal chooses another moment where the inventory has a window.
START = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


class Hand:
    """One thread's turn on the timeline: it runs only while it holds the baton."""

    __slots__ = ("baton", "name", "over")

    def __init__(self, name: str) -> None:
        self.name = name
        self.baton = threading.Semaphore(0)
        self.over = False


Due = tuple[float, int, Callable[[], None] | Hand]


class Timeline:
    """The one truth about time, in seconds since the simulation began."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[Due] = []
        self._seq = 0
        self._holder = Hand("main")

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Have `act` run at `when` (at once where that has passed)."""
        self._push(max(when, self.now), act)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Have `act` run in `seconds`."""
        self._push(self.now + seconds, act)

    def every(self, seconds: float, act: Callable[[], None], *, first: float | None = None) -> None:
        """Have `act` run again and again, for ever."""

        def again() -> None:
            act()
            self._push(self.now + seconds, again)

        self._push(self.now + (seconds if first is None else first), again)

    def pass_time(self, seconds: float) -> None:
        """Let `seconds` go by, and everything that is due in them happen."""
        until = self.now + max(seconds, 0.0)
        heap = self._heap
        if not heap or heap[0][0] > until:
            self.now = until
            return
        me = self._holder
        self._push(until, me)
        self._go_on(me)

    def together(self, bodies: list[tuple[str, Callable[[], None]]]) -> None:
        """Run several bodies side by side on this timeline, each in a thread of its own; returns when all ended.

        A body must not let an exception out: what it has to say, it keeps.
        """
        main = self._holder
        left = [len(bodies)]

        def live(hand: Hand, body: Callable[[], None]) -> None:
            hand.baton.acquire()
            try:
                body()
            finally:
                left[0] -= 1
                if left[0] == 0:
                    self._push(self.now, main)
                self._go_on(hand, ends=True)

        threads = []
        for name, body in bodies:
            hand = Hand(name)
            thread = threading.Thread(target=live, args=(hand, body), name=name, daemon=True)
            threads.append(thread)
            thread.start()
            self._push(self.now, hand)
        self._go_on(main)
        for thread in threads:
            thread.join()

    def _push(self, when: float, what: Callable[[], None] | Hand) -> None:
        self._seq += 1
        heapq.heappush(self._heap, (when, self._seq, what))

    def _go_on(self, me: Hand, *, ends: bool = False) -> None:
        """Run what is due until it is `me`'s turn again; hand over where another is due first."""
        heap = self._heap
        while True:
            when, _, what = heapq.heappop(heap)
            self.now = max(self.now, when)
            if not isinstance(what, Hand):
                what()
                continue
            self._holder = what
            if what is me:
                return
            what.baton.release()
            if not ends:
                me.baton.acquire()
            return
