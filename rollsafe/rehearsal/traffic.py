"""Virtual traffic: an identity provider that writes over SCIM, people who stay on their node, and the run's probes."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from rollsafe.model.reading import Evidence, ProbeSample, ProbeSummary
from rollsafe.model.settings import ProbeSettings
from rollsafe.rehearsal.balancers import Request, SimEndpoint, SimSeat
from rollsafe.rehearsal.clock import Timeline
from rollsafe.rehearsal.operator import Operator, OperatorClock

NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Load:
    """How much traffic a service gets. Times are seconds."""

    every_s: float = 1.5  # a new request begins so often
    short_s: float = 0.2
    long_s: float = 2.5  # every tenth one takes so long
    users: int = 0  # people who stay on the node that they were first sent to


@dataclass(slots=True)
class Stream:
    """The requests of one service through its balancer."""

    service: str
    pool: str
    endpoints: list[SimEndpoint]
    load: Load
    timeline: Timeline
    rng: random.Random
    on_failure: Callable[[str, str], None]  # service, reason: nobody in service, or sent to a dead port
    turn: int = 0
    sent: int = 0
    rejects: bool = False  # its address answers 404, as a wrong rule of the balancer would make it
    homes: dict[int, str] = field(default_factory=dict)

    def start(self) -> None:
        """Begin."""
        self.timeline.every(self.load.every_s, self.tick)

    def tick(self) -> None:
        """One more request."""
        self.sent += 1
        user = self.rng.randrange(self.load.users) if self.load.users else None
        endpoint = self._front()
        seat = None if endpoint is None else self._route(endpoint, user)
        if endpoint is None or seat is None:
            self.on_failure(self.service, "no member in service")
            return
        if not seat.node.answers(self.service):
            self.on_failure(self.service, f"sent to {seat.node.name}, which does not answer")
            return
        if user is not None:
            self.homes[user] = seat.seat
        takes = self.load.long_s if self.sent % 10 == 0 else self.load.short_s
        seat.total += 1
        seat.flying.append(Request(self.service, seat.node.name, self.timeline.now + takes, endpoint.process))

    def would_reach(self) -> SimSeat | None:
        """The member that a request sent now would get to (it moves the turn on)."""
        endpoint = self._front()
        return None if endpoint is None else self._route(endpoint, None)

    def _front(self) -> SimEndpoint | None:
        return next((endpoint for endpoint in self.endpoints if endpoint.serves), None)

    def _route(self, endpoint: SimEndpoint, user: int | None) -> SimSeat | None:
        seats = endpoint.pools[self.pool]
        home = self.homes.get(user) if user is not None else None
        if home is not None and seats[home].takes_sticky():
            return seats[home]
        ready = [seat for seat in seats.values() if seat.takes_new()]
        if not ready:
            return None
        self.turn += 1
        return ready[self.turn % len(ready)]


@dataclass(slots=True)
class SimProbe:
    """One probe through the balancer (ports.Probe)."""

    settings: ProbeSettings
    stream: Stream
    clock: OperatorClock

    def ask(self) -> ProbeSample:
        """Ask now; nothing is sent but the answer is what a client would get."""
        settings, now = self.settings, self.clock.monotonic()
        seat = self.stream.would_reach()
        rejected = self.stream.rejects
        good = seat is not None and seat.node.answers(settings.service) and not rejected
        status = NOT_FOUND if rejected else 200 if good else None
        detail = "" if good or rejected else "503" if seat is None else "refused"
        node = seat.node.name if good and seat is not None and settings.node_header else None
        evidence = Evidence(status, latency_s=0.01, detail=detail)
        return ProbeSample(settings.service, settings.name, now, now, good, 0.01, evidence, node)


@dataclass(slots=True)
class Tally:
    """What one probe has seen so far."""

    probe: SimProbe
    probes: int = 0
    failed: int = 0
    in_a_row: int = 0
    most_in_a_row: int = 0
    rejected: int = 0
    down_since: float | None = None
    longest_s: float = 0.0
    last: ProbeSample | None = None

    def take(self, sample: ProbeSample) -> None:
        """Count one sample."""
        self.probes += 1
        self.last = sample
        if sample.good:
            if self.down_since is not None:
                self.longest_s = max(self.longest_s, sample.started_s - self.down_since)
            self.in_a_row, self.down_since = 0, None
            return
        self.failed += 1
        self.in_a_row += 1
        self.most_in_a_row = max(self.most_in_a_row, self.in_a_row)
        self.rejected += sample.evidence.status == NOT_FOUND
        if self.down_since is None:
            self.down_since = sample.started_s

    def summary(self, now: float) -> ProbeSummary:
        """As ports.ProbeWatch tells it."""
        settings = self.probe.settings
        outage = 0.0 if self.down_since is None else now - self.down_since
        unread = 0.0 if self.last is None else now - self.last.started_s
        return ProbeSummary(
            settings.service,
            settings.name,
            self.probes,
            self.failed,
            self.in_a_row,
            self.most_in_a_row,
            self.rejected,
            outage_s=outage,
            longest_outage_s=max(self.longest_s, outage),
            unread_for_s=unread,
            last=self.last,
        )


class SimWatch:
    """All probes in their own rhythm (ports.ProbeWatch)."""

    def __init__(self, probes: list[SimProbe], operator: Operator) -> None:
        self._tallies = [Tally(probe) for probe in probes]
        self._operator = operator
        self._timeline = operator.clock.timeline
        self._clock = operator.clock
        self._on = False

    def start(self) -> None:
        """Begin asking."""
        self._on = True
        for tally in self._tallies:
            self._again(tally)

    def _again(self, tally: Tally) -> None:
        if self._on and not self._operator.dead:
            if not self._operator.paused:
                tally.take(tally.probe.ask())
            self._timeline.after(tally.probe.settings.interval_s, lambda: self._again(tally))

    def summaries(self) -> tuple[ProbeSummary, ...]:
        """One for each probe."""
        now = self._clock.monotonic()
        return tuple(tally.summary(now) for tally in self._tallies)

    def stop(self) -> None:
        """Stop asking."""
        self._on = False


def cut_by(seats: list[SimSeat], node: str, now: float) -> list[Request]:
    """The requests that a stop of the node's JVM cuts now; they are gone afterwards."""
    cut: list[Request] = []
    for seat in seats:
        if seat.node.name == node:
            cut.extend(request for request in seat.flying if request.ends > now)
            seat.flying.clear()
    return cut
