"""Meeting another's claim, and taking over a dead one's: raise, outwait, read again, write anew.

No clocks are compared, and there is no time-out after which a claim may be ignored. A beat that stands still permits
one thing, the takeover.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rollsafe.engine.claim import READ_WITHIN_S, ClaimKeeper
from rollsafe.engine.runclock import RunClock
from rollsafe.errors import ClaimError, Effect, Refused
from rollsafe.model.claim import ClaimRecord, Token, Who
from rollsafe.model.reading import Unread
from rollsafe.planner.by_node import told
from rollsafe.ports import World

BEAT_WATCH_S = 15.0
BEAT_LOOK_EVERY_S = 1.0
OUTWAIT_S = 10.0  # a write of the old holder is sent within 10 s of its reading of the claim, or never
Asked = Callable[[], bool]  # was this command asked to end?


class AskedToStop(Exception):
    """A signal ended a wait at another run's claim, which is as it was found, or raised and not used."""


class NotTaken(Exception):
    """No copy of a dead run's claim could be made ours: what that run left out stays as it is."""


def never() -> bool:
    """For a wait that nobody ends."""
    return False


def _go_on(asked: Asked) -> None:
    if asked():
        raise AskedToStop


@dataclass(frozen=True, slots=True)
class Copies:
    """Every node's copy as it was read; a node that did not answer has the reason instead."""

    by_node: Mapping[str, ClaimRecord | Unread | None]

    @property
    def records(self) -> dict[str, ClaimRecord]:
        """The copies there are, done ones left out."""
        return {n: c for n, c in self.by_node.items() if isinstance(c, ClaimRecord) and not c.done}

    @property
    def unread(self) -> dict[str, str]:
        """The nodes that did not answer, and why."""
        return {n: c.reason for n, c in self.by_node.items() if isinstance(c, Unread)}

    def runs(self) -> tuple[str, ...]:
        """The runs whose claims these are; one with something to undo comes first."""
        ranked = sorted(self.records.values(), key=lambda r: (not r.entries, r.token.run))
        return tuple(dict.fromkeys(r.token.run for r in ranked))

    def of(self, run: str) -> dict[str, ClaimRecord]:
        """The copies of one run."""
        return {n: r for n, r in self.records.items() if r.token.run == run}

    def unbegun(self, run: str) -> tuple[str, ...]:
        """Other runs that began no node: they died while they made their claims, or found this one in their way."""
        begun = {record.token.run for record in self.records.values() if record.entries}
        return tuple(other for other in self.runs() if other != run and other not in begun)

    def over(self, run: str) -> bool:
        """Has the run's holder said that it does nothing more? One copy is enough: it says so only once it has ended,
        and could not say it on a node that was silent then. Where copies name several holders, each must."""
        holders = {_identity(copy) for copy in self.of(run).values()}
        ended = (c for c in self.by_node.values() if isinstance(c, ClaimRecord) and (c.released or c.done))
        return bool(holders) and holders <= {_identity(copy) for copy in ended}

    def highest(self, run: str) -> ClaimRecord:
        """The copy that counts. Raises KeyError where the run has none."""
        copies = self.of(run)
        if not copies:
            raise KeyError(run)
        return max(copies.values(), key=lambda r: (r.token.revision, r.token.epoch))


def read_copies(world: World, *, tries: int = 2, within_s: float = 3 * READ_WITHIN_S) -> Copies:
    """Every node's copy, side by side; a node that did not answer is asked once more."""
    found: dict[str, ClaimRecord | Unread | None] = {}
    for _ in range(tries):
        turn = object()  # a late answer to an earlier question tells of an earlier moment
        ask = [n for n in world.claims if n not in found or isinstance(found[n], Unread)]
        answers = world.gather({("copy", n, turn): _reader(world, n) for n in ask}, within_s)
        for node in ask:
            found[node] = answers.get(("copy", node, turn), Unread(f"no answer within {within_s:g} s"))
    return Copies(found)


def _reader(world: World, node: str) -> Callable[[], ClaimRecord | Unread | None]:
    def read() -> ClaimRecord | Unread | None:
        try:
            return world.claims[node].read()
        except ClaimError as error:
            return Unread(str(error))

    return read


class Pulse:
    """Whether a beat goes on, where a claim is looked at again and again. A wait that a signal ends must know whose
    node is out, that of a dead run or of one that lives; one whose time is up need not watch the beat once more."""

    def __init__(self, clock: RunClock) -> None:
        self._clock = clock
        self._run = ""
        self._last: dict[str, ClaimRecord | None] = {}  # what each node that answered carried
        self._since_s = 0.0  # since then nothing has moved
        self._moved = False

    def feel(self, copies: Copies, run: str) -> bool | None:
        """One look at a run's claim: True where its beat has moved in the last 15 s, False where it has not, or its
        holder said that it has ended; None where nobody has watched it for that long."""
        now_s, last = self._clock.at_s(), self._last if self._run == run else {}
        moved = any(node in last and _moved(last[node], copy) for node, copy in copies.of(run).items())
        if moved or not last:
            self._since_s, self._moved = now_s, moved
        seen = {node: it for node, it in copies.by_node.items() if not isinstance(it, Unread)}
        self._run, self._last = run, {**last, **seen}
        if copies.over(run) or now_s - self._since_s >= BEAT_WATCH_S:
            return False
        return True if self._moved else None


def lives(world: World, clock: RunClock, run: str, asked: Asked = never) -> bool:
    """Does the run's holder raise its beat? Watched for 15 s, or until it is seen to; a holder that has released its
    claim says itself that it does nothing more. Raises AskedToStop."""
    copies = read_copies(world)
    if copies.over(run) or not (copies.of(run) or copies.unread):
        return False
    last = {node: it for node, it in copies.by_node.items() if not isinstance(it, Unread)}
    deadline_s = clock.at_s() + BEAT_WATCH_S
    while clock.at_s() < deadline_s:
        _go_on(asked)
        clock.sleep(BEAT_LOOK_EVERY_S)
        now = read_copies(world)
        if not now.of(run) and not now.unread:
            return False  # it has just ended
        if any(node in last and _moved(last[node], copy) for node, copy in now.of(run).items()):
            return True
        last = {**{n: it for n, it in now.by_node.items() if not isinstance(it, Unread)}, **last}
    return False


def _moved(before: ClaimRecord | None, now: ClaimRecord) -> bool:
    """Has a copy been written to, or made, since it was read?"""
    return before is None or now.beat > before.beat or now.token != before.token


def describe(record: ClaimRecord, *, alive: bool | None) -> str:
    """Who, where, since when, doing what, alive or dead; None: it was not watched for long enough."""
    who = record.who
    reason = f", reason: {who.reason}" if who.reason else ""
    url = f", {who.url}" if who.url else ""
    state = "its beat goes on: it lives" if alive else "its beat stands still: it is dead"
    if alive is None:
        state = "its beat was not watched to the end, so that it may live (then recover lets it alone)"
    if record.released and not alive:
        state = "it has ended"
    return (
        f"the cluster is claimed by {who.who} from {who.host} (pid {who.pid}, run {record.token.run}) since "
        f"{who.since}, {record.doing or 'about to begin'}{reason}{url}; {state}"
    )


def clear_done(world: World, copies: Copies) -> None:
    """Remove the claims of runs that ended well and died in the tidying up. They block nobody; best effort."""
    for node, copy in copies.by_node.items():
        if isinstance(copy, ClaimRecord) and copy.done:
            with contextlib.suppress(ClaimError):
                world.claims[node].swap(copy.token, None)


@dataclass(frozen=True, slots=True)
class _Holder:
    """Who takes over."""

    holder: str
    who: Who


@dataclass(frozen=True, slots=True)
class Taken:
    """A claim that is ours now. `blocked` nodes could not be raised, each with the reason."""

    keeper: ClaimKeeper
    record: ClaimRecord
    blocked: Mapping[str, str]


def take_over(
    world: World,
    clock: RunClock,
    copies: Copies,
    run: str,
    who: Who,
    holder: str,
    *,
    also: Sequence[str] = (),
    asked: Asked = never,
) -> Taken:
    """Raise the run's claim on every node that is reached, outwait its holder's last writes, and make it ours.

    `also` are other dead runs that began no node: their claims stand in the way, and become this run's. A copy that
    shows only later is raised, too, and outwaited. Raises Refused where another takes over at the same time, NotTaken
    where no copy can be had, and AskedToStop: a raised claim that nobody uses is taken over like any other.
    """
    _go_on(asked)
    epoch = max(c.token.epoch for c in copies.of(run).values()) + 1
    blocked = dict(copies.unread)
    raised: dict[str, ClaimRecord] = {}
    for _ in range(1 + len(world.claims)):  # each round but the last raises one more node
        left = {n: c for n, c in copies.records.items() if n not in raised}
        fresh = _raise_all(world, left, run, also, epoch, _Holder(holder, who))
        raised |= {node: done for node, done in fresh.items() if isinstance(done, ClaimRecord)}
        blocked |= {node: reason for node, reason in fresh.items() if isinstance(reason, str)}
        if not any(copy.token.run == run for copy in raised.values()):
            raise NotTaken(f"no copy of the claim of run {run} could be taken over: {told(blocked)}")
        if not any(isinstance(done, ClaimRecord) for done in fresh.values()):
            break
        _outwait(clock, asked)
        copies = read_copies(world)
        blocked = dict(copies.unread)
    return _write_anew(world, clock, Token(run, epoch, holder, 0), who, raised, copies, blocked)


def _outwait(clock: RunClock, asked: Asked = never) -> None:
    began_s = clock.at_s()
    while clock.at_s() < began_s + OUTWAIT_S:
        _go_on(asked)
        clock.sleep(began_s + OUTWAIT_S - clock.at_s())


def _raise_all(
    world: World, copies: Mapping[str, ClaimRecord], run: str, also: Sequence[str], epoch: int, new: _Holder
) -> dict[str, ClaimRecord | str]:
    """Each copy as it was raised, or why it was not: then its node is blocked."""
    done: dict[str, ClaimRecord | str] = {}
    for node in sorted(copies):
        copy = copies[node]
        of_another = copy.token.run != run
        try:
            if of_another and (copy.token.run not in also or copy.entries):
                done[node] = f"it carries {copy.who.who}'s claim (run {copy.token.run})"
            elif not of_another and copy.token.epoch >= epoch:
                done[node] = f"{copy.who.who} took it over as well"
            else:
                done[node] = _raise(world, node, copy, copy.token.epoch + 1 if of_another else epoch, new)
        except ClaimError as error:
            done[node] = str(error)
        except Refused:
            if not of_another:
                raise
            done[node] = f"the claim of run {copy.token.run} changes there"
    return done


def _raise(world: World, node: str, copy: ClaimRecord, epoch: int, new: _Holder) -> ClaimRecord:
    """Raise one copy, only if run, epoch and holder are still what was read. What it tells of the nodes stays in place;
    whose it is from now on is told at once, for others meet it during the 10 s that follow."""
    for _ in range(5):
        token = replace(copy.token, epoch=epoch, holder=new.holder)
        wanted = replace(copy, token=token, who=new.who, released=False)
        try:
            if world.claims[node].swap(copy.token, wanted):
                return wanted
        except ClaimError as error:
            if error.effect is Effect.NONE:
                raise
        there = world.claims[node].read()
        if there is not None and there.token.holder == new.holder and there.token.epoch == epoch:
            return there
        if there is None or _identity(there) != _identity(copy):
            raise Refused(f"another takes over at the same time: the claim on {node} has changed; look with status")
        copy = there
    raise ClaimError(
        f"the claim on {node} was changed by another process while we wrote it; nothing was changed there by us"
    )


def _identity(record: ClaimRecord) -> tuple[str, int, str]:
    return record.token.run, record.token.epoch, record.token.holder


def _write_anew(
    world: World,
    clock: RunClock,
    token: Token,
    who: Who,
    raised: Mapping[str, ClaimRecord],
    again: Copies,
    blocked: dict[str, str],
) -> Taken:
    """Of the copies as they were read again take the highest, and write it as a new revision on every raised node."""
    for node, copy in raised.items():
        there = again.by_node.get(node)
        if isinstance(there, Unread):
            blocked[node] = there.reason
        elif there is None or _identity(there) != _identity(copy):
            raise Refused(f"another took over while we waited: the claim on {node} has changed; look with status")
    ours = {n: r for n, r in again.of(token.run).items() if n in raised and n not in blocked}
    if not ours:
        raise NotTaken(f"no copy of the claim of run {token.run} can be read any more: {told(blocked)}")
    best = max(ours.values(), key=lambda r: r.token.revision)
    keeper = ClaimKeeper(
        world, clock, replace(best, token=replace(best.token, epoch=token.epoch, holder=token.holder), who=who)
    )
    keeper.tokens = {node: copy.token for node, copy in ours.items()}
    blocked |= keeper.change_where_reached(released=False, done=False)
    if not keeper.tokens:
        raise NotTaken(f"no copy of the claim of run {token.run} could be written anew: {told(blocked)}")
    _make_missing(world, keeper, again, raised, blocked)
    return Taken(keeper, best, blocked)


def _make_missing(
    world: World, keeper: ClaimKeeper, copies: Copies, raised: Mapping[str, ClaimRecord], blocked: dict[str, str]
) -> None:
    """A missing copy is made anew, here and only here; so is one that is done, or was a raised one of another run."""
    for node, copy in copies.by_node.items():
        if node in keeper.tokens or node in blocked:
            continue
        try:
            # another run may have begun a node between our look and the raising: then it tells what is to be undone
            if isinstance(copy, ClaimRecord) and (copy.done or (node in raised and not copy.entries)):
                made = world.claims[node].swap(copy.token, keeper.record)
            else:
                made = copy is None and world.claims[node].create(keeper.record)
        except ClaimError as error:
            blocked[node] = str(error)
            continue
        if made:
            keeper.tokens[node] = keeper.record.token
        else:
            blocked[node] = "another's claim has appeared there"
