"""Simulated nodes: one JVM with every port of the node, a restart command, and a disk with the claim on it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from rollsafe.model.claim import ClaimRecord, Token
from rollsafe.model.cluster import Node
from rollsafe.model.reading import Evidence, HealthReading, IdentityReading, RestartReading
from rollsafe.rehearsal.clock import Timeline

LOCK_WAIT_S = 10.0  # how long a remote command waits for the node's lock
EVER = float("inf")


@dataclass(slots=True)
class NodeTimes:
    """How a node's restart goes, in seconds. From the command: the stop; from the new JVM's start: the rest."""

    stops_after: float = 0.3  # the ports close and what is in flight is cut
    starts_after: float = 1.5  # the new JVM begins; its identity is another one from here
    command_takes: float = 2.0  # the node's lock is held so long
    web_opens: float = 0.4  # answers STARTING from here
    web_runs: float = 1.0  # answers RUNNING from here
    scim_opens: float = 1.6


@dataclass(slots=True)
class SimNode:
    """The truth about one node. Ports look at it through an operator; people and faults change it by hand."""

    node: Node
    timeline: Timeline
    most_critical: str  # the service whose port opens last
    times: NodeTimes = field(default_factory=NodeTimes)
    next_times: NodeTimes | None = None  # from the next start on
    restart_pending: float = 0.0  # a new JVM begins at this moment
    ssh: str = "ok"  # ok, refused, hangs
    restart_mode: str = "works"  # works, fails, stops (and never starts), hangs, nothing (exit 0 without a restart)
    proof: str = "works"  # works, none (of a node that runs, too), running (none while it is stopped), differs
    looked: int = 0  # how often the identity was read
    claim: ClaimRecord | None = None
    claim_damaged: bool = False
    claimed_by: str = ""  # the operator that wrote the claim last
    claimed_at: float = -EVER  # when its epoch or holder changed last, or the claim was lost
    locked_until: float = 0.0
    jvm_since: float | None = -EVER
    incarnation: int = 1
    begun: Token | None = None  # the token of the restart that ran last
    job_until: float = 0.0
    job_finished: RestartReading = field(default_factory=lambda: RestartReading(finished=True, exit_status=0))
    sick: list[tuple[float, float, str | None]] = field(default_factory=list)  # from, to, service (None: all)
    stopped_by: str | None = None  # the operator whose restart stopped this JVM last
    on_stop: Callable[["SimNode", str], None] = lambda _node, _by: None  # the ports close now
    restarts: list[tuple[float, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    def answers(self, service: str, now: float | None = None) -> bool:
        """Does the service really serve at this moment?"""
        when = self.timeline.now if now is None else now
        return self.well_since(service, when) is not None

    def well_since(self, service: str, now: float) -> float | None:
        """Since when the service has served without a break; None where it does not serve now."""
        if self.jvm_since is None:
            return None
        since = self.jvm_since + (self.times.scim_opens if service == self.most_critical else self.times.web_runs)
        if since > now:
            return None
        for start, end, which in self.sick:
            if which in (None, service):
                if start <= now < end:
                    return None
                if end <= now:
                    since = max(since, end)
        return since

    def look(self, service: str) -> HealthReading:
        """What the service's own check gets for an answer, asked of the node itself."""
        now = self.timeline.now
        if self.well_since(service, now) is not None:
            state = "SCIM" if service == self.most_critical else "RUNNING"
            return HealthReading(self.name, service, True, state, evidence=Evidence(200, state, 0.01))
        started = self.jvm_since is not None and now >= self.jvm_since + self.times.web_opens
        if started and service != self.most_critical:
            sick = self.jvm_since is not None and now >= self.jvm_since + self.times.web_runs
            state = "ERROR" if sick else "STARTING"
            return HealthReading(self.name, service, False, state, not sick, Evidence(200, state, 0.01))
        return HealthReading(self.name, service, False, "refused", evidence=Evidence(detail="refused"))

    def identity(self, *, again: bool = False) -> IdentityReading:
        """Which JVM runs, as systemd would say it (the InvocationID changes when the new one starts). `again`: read
        twice, as what a command prints is."""
        job = self.timeline.now < self.job_until
        state = "active" if self.jvm_since is not None else "inactive"
        was = self._told() if again else None
        told = self._told()
        return IdentityReading(
            told, job, "activating" if job else state, self.timeline.now, was=was if was != told else None
        )

    def _told(self) -> str | None:
        self.looked += 1
        if self.proof == "none" or (self.proof == "running" and self.jvm_since is None):
            return None
        return f"{self.name}-{self.looked if self.proof == 'differs' else self.incarnation}"

    def carries(self, token: Token) -> bool:
        """Does the claim on this node carry exactly this token?"""
        return self.claim is not None and self.claim.token == token

    def restart(self, by: str, token: Token) -> None:
        """The restart's command runs, under the node's lock."""
        now = self.timeline.now
        self.begun = token
        self.restarts.append((now, by))
        if self.restart_mode == "fails":
            self.job_finished = RestartReading(True, 1, "Job for jira.service failed.")
            return
        if self.restart_mode == "nothing":
            self.job_finished = RestartReading(True, 0)
            return
        takes = 3600.0 if self.restart_mode == "hangs" else self.times.command_takes
        self.locked_until = self.job_until = now + takes
        if self.restart_mode == "hangs":
            self.job_finished = RestartReading(True, 1, "timed out")
            return
        works = self.restart_mode == "works"
        self.job_finished = RestartReading(True, 0 if works else 1, "" if works else "jira.service: start failed")
        self.timeline.after(self.times.stops_after, lambda: self.stop(by))
        if works:
            self.restart_pending = now + self.times.starts_after
            self.timeline.after(self.times.starts_after, self.start)

    def end_command(self) -> None:
        """The restart's command is ended; what it has begun already goes on."""
        now = self.timeline.now
        self.locked_until, self.job_until = min(self.locked_until, now), min(self.job_until, now)

    def progress(self, begun: Token | None) -> RestartReading:
        """How far the command has come that was begun with this token."""
        if begun is None or begun != self.begun:
            return RestartReading(finished=False, output="no restart was begun there", begun=False)
        return RestartReading(False) if self.timeline.now < self.job_until else self.job_finished

    def stop(self, by: str) -> None:
        """The ports close; whatever is in flight to them is cut."""
        self.stopped_by = by
        self.on_stop(self, by)
        self.jvm_since = None

    def start(self) -> None:
        """A new JVM begins to start."""
        self.times = self.next_times or self.times
        self.jvm_since = self.timeline.now
        self.incarnation += 1

    def fall_ill(self, seconds: float, service: str | None = None) -> None:
        """The service (None: all of them) answers nothing good for so long."""
        now = self.timeline.now
        self.sick.append((now, now + seconds, service))
