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


class BrokenDown(Exception):
    """A job on the timeline let an exception out."""


class Hand:
    """One thread's turn on the timeline: it runs only while it holds the baton."""

    __slots__ = ("baton", "job", "thread", "timeline")

    def __init__(self) -> None:
        self.baton = threading.Lock()  # cheaper than a semaphore; it is held while there is nothing to do
        self.baton.acquire()
        self.thread: threading.Thread | None = None
        self.job: Callable[[], None] | None = None
        self.timeline: Timeline | None = None

    def live(self) -> None:
        """A thread's life: take a job, do it, hand over, wait for the next. No job: the end."""
        while True:
            self.baton.acquire()
            if self.job is None:
                return
            assert self.timeline is not None
            timeline, self.timeline = self.timeline, None
            try:
                self.job()
            except BaseException as error:  # noqa: BLE001 - raised to whoever waits; here it would end a thread in silence
                timeline.break_down(error)
            self.job = None
            IDLE.append(self)
            timeline.hand_over()


IDLE: list[Hand] = []  # threads without a job; a thread is dear, and thousands of simulations need a few each


Due = tuple[float, int, Callable[[], None] | Hand]


class Timeline:
    """The one truth about time, in seconds since the simulation began."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[Due] = []
        self._seq = 0
        self._holder = Hand()
        self._broken: BaseException | None = None  # what a job let out
        self._jobs = 0  # under way, each in a thread of its own

    @property
    def alone(self) -> bool:
        """Is nobody under way but who began it all?"""
        return self._jobs == 0

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

    def spawn(self, job: Callable[[], None]) -> None:
        """Have `job` done side by side with everything else, from this moment on. An exception that it lets out is a
        defect: everybody who waits on this timeline gets it."""
        hand = IDLE.pop() if IDLE else _new_hand()
        hand.job, hand.timeline = job, self
        self._jobs += 1
        self._push(self.now, hand)

    def together(self, jobs: list[Callable[[], None]]) -> None:
        """Do several jobs side by side; returns when all have ended. Raises BrokenDown where one broke."""
        me = self._holder
        left = len(jobs)

        def ending(job: Callable[[], None]) -> None:
            nonlocal left
            try:
                job()
            finally:
                left -= 1
                if left == 0:
                    self._push(self.now, me)

        for job in jobs:
            self.spawn(lambda job=job: ending(job))  # type: ignore[misc]  # mypy sees no type in a default argument
        self._go_on(me)

    def close(self) -> None:
        """Nothing more happens; only those who still wait for their turn get it, at once, to see that it is over."""
        self._broken = None  # it has been told
        while True:
            self._heap = [due for due in self._heap if isinstance(due[2], Hand)]
            if not self._heap:
                return
            heapq.heapify(self._heap)
            me = self._holder
            self._push(self._heap[0][0], me)
            self._go_on(me)

    def break_down(self, error: BaseException) -> None:
        """A job let this out; the first one is told."""
        self._broken = self._broken or error

    def hand_over(self) -> None:
        """This thread's job is done, it has nothing more to do here: let whoever is due next go on."""
        self._jobs -= 1
        self._run_to_next().baton.release()

    def _push(self, when: float, what: Callable[[], None] | Hand) -> None:
        self._seq += 1
        heapq.heappush(self._heap, (when, self._seq, what))

    def _go_on(self, me: Hand) -> None:
        """Run what is due until it is `me`'s turn again; hand over where another is due first."""
        following = self._run_to_next()
        if following is not me:
            following.baton.release()
            me.baton.acquire()
        if self._broken is not None:
            raise BrokenDown(f"a simulated job broke: {self._broken!r}") from self._broken

    def _run_to_next(self) -> Hand:
        """Run what is due up to the next thread's turn, and say whose it is."""
        heap = self._heap
        while True:
            when, _, what = heapq.heappop(heap)
            self.now = max(self.now, when)
            if isinstance(what, Hand):
                self._holder = what
                return what
            what()


def _new_hand() -> Hand:
    hand = Hand()
    hand.thread = threading.Thread(target=hand.live, name="simulated", daemon=True)
    hand.thread.start()
    return hand


def dismiss() -> None:
    """End every idle thread: a process that forks should have one thread only."""
    while IDLE:
        hand = IDLE.pop()
        hand.baton.release()
        if hand.thread is not None:
            hand.thread.join()
