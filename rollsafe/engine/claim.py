"""The claim of this run on every node: made, changed, beaten, read before each write, raised as a fence, ended.

One primitive carries it all: under the node's lock, compare (run, epoch, holder, revision), then act.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rollsafe.engine.runclock import RunClock
from rollsafe.errors import ClaimError, Effect
from rollsafe.model.claim import ClaimRecord, FoundMember, Token, Who
from rollsafe.planner.by_node import bare, told
from rollsafe.planner.gates import CLAIM_FRESH_S
from rollsafe.planner.readings import ClaimView, Ours
from rollsafe.ports import World

BEAT_EVERY_S = 5.0
READ_WITHIN_S = 4.0
REUSE_S = 1.0
PUT_BACK_REUSE_S = 3.0  # a look that waits for a silent node's answer is so old; nothing waits for that node twice
QUICK_FAILURE_S = 2.0  # what failed so soon was refused or cut; what hangs would hang again
AGAIN_AFTER_S = 1.0
GONE = "there is no claim any more"
CHANGE_WITHIN_S = 15.0  # a change waits for the node's lock, and an SSH connection may have to be made anew


@dataclass(frozen=True, slots=True)
class Blocked:
    """Another's claim stands in the way."""

    node: str
    record: ClaimRecord


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the claims said just before a write. `until_s`: no write may be sent later, on the run's clock."""

    allowed: bool
    reason: str
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One node's claim as it was read, and when it was asked for, on the run's clock: an answer may come late."""

    view: ClaimView
    asked_s: float


NEVER_SEEN = Seen(ClaimView(Ours.UNREAD, "not read yet"), float("-inf"))


class ClaimKeeper:
    """This run's claim, and what the last reading of it said."""

    def __init__(self, world: World, clock: RunClock, record: ClaimRecord) -> None:
        self._world = world
        self._clock = clock
        self.record = record
        self.tokens: dict[str, Token] = {}  # what each node's copy carries, as far as we know
        self.not_removed: list[str] = []  # copies of a claim that could not be made whole, nor removed, and why
        self._unanswered: set[str] = set()  # nodes where a copy may still appear: its making had no answer
        self.asked_at_s = float("-inf")  # when every claim was last asked for
        self._seen: dict[str, Seen] = {}
        self._ours_s: dict[str, float] = {}  # when each node's claim was last seen to be ours
        self._ended = False
        self._lock = threading.Lock()  # the heart beats on a thread of its own

    # --- making and ending -------------------------------------------------------------------------------------

    def make(self) -> Blocked | None:
        """Claim every node, one by one in the order of names. Another's claim: our own are removed again.

        Raises ClaimError where a node can't be claimed; what was claimed is removed again (but for `not_removed`).
        """
        for node in sorted(self._world.claims):
            try:
                blocked = self._make_on(node)
            except ClaimError:
                self.not_removed = self._taken_back()
                raise
            if blocked is not None:
                self.not_removed = self._taken_back()
                return blocked
        return None

    def _taken_back(self) -> list[str]:
        """The copies that were made are removed again. What could not be, or may come yet."""
        late = [f"{node}: making it had no answer, so that it may still appear there" for node in self._unanswered]
        return [*self._remove_all(), *sorted(late)]

    def _make_on(self, node: str) -> Blocked | None:
        file = self._world.claims[node]
        for _ in range(3):  # a claim may vanish, or be marked done, between two looks
            self.tokens[node] = self.record.token
            asked_s = self._clock.at_s()  # ours from then on; this process may stand still before it makes the next one
            if self._created(node):
                self._keep({node: Seen(ClaimView(Ours.OURS), asked_s)})
                return None
            if node not in self._unanswered:
                del self.tokens[node]  # what is there is not ours, even where it can't be read
            there = file.read()
            if there is not None and there.token == self.record.token:
                self._unanswered.discard(node)
                self.tokens[node] = there.token
                return None  # our own: its answer was lost, and it showed only now
            self.tokens.pop(node, None)
            if there is None:
                continue
            if not there.done:
                return Blocked(node, there)
            file.swap(there.token, None)
        text = f"the claim on {node} changed three times while we tried: another rollsafe is running"
        raise ClaimError(f"{text}. Look: rollsafe status")

    def _created(self, node: str) -> bool:
        file = self._world.claims[node]
        try:
            return file.create(self.record)
        except ClaimError as error:
            if error.effect is Effect.NONE:
                del self.tokens[node]
                raise
            self._unanswered.add(node)
            there = file.read()  # the answer was lost: look
            if there is not None and there.token == self.record.token:
                self._unanswered.discard(node)
                return True
            return False

    def end(self) -> list[str]:
        """Mark the claim done everywhere, then remove it in reverse order. Returns what could not be ended."""
        self._ended = True
        began_s = self._clock.at_s()
        try:
            self._mark_done()
        except ClaimError as error:
            if self._clock.at_s() - began_s > QUICK_FAILURE_S:
                return [str(error)]
            self._clock.sleep(AGAIN_AFTER_S)  # one connection that was cut is no reason to leave claims behind
            try:
                self._mark_done()
            except ClaimError as again:
                return self._end_unmarked(str(again))
        return self._remove_all()

    def _end_unmarked(self, problem: str) -> list[str]:
        """A disk that is full takes no mark, but a removal needs no room: nothing is left to do, so that copies which
        all read as ours may go without it. The first in the order of names goes last, and blocks everybody till then.
        """
        views = self.read()
        return self._remove_all() if all(view.ours is Ours.OURS for view in views.values()) else [problem]

    def _mark_done(self) -> None:
        """Raises ClaimError. A copy that is gone is done with, as long as there is another that says so."""
        failed = self._change(done=True, released=True, node_in_hand=None, doing="done")
        gone = [node for node, problem in failed.items() if problem == GONE]
        if len(gone) < len(self.tokens):
            for node in gone:
                del self.tokens[node], failed[node]
        _raise_failed(failed)

    def release(self, doing: str, entries: Mapping[str, tuple[FoundMember, ...]] | None = None) -> None:
        """Leave the claims for `recover`, and say that this holder does nothing more. Best effort."""
        self._ended = True
        try:
            self.change(released=True, doing=doing, entries=self.record.entries if entries is None else entries)
        except ClaimError:
            return  # then recover finds a beat that stands still, which says the same

    def _remove_all(self) -> list[str]:
        problems = []
        for node in sorted(self.tokens, reverse=True):
            try:
                self._remove(node)
                del self.tokens[node]
            except ClaimError as error:
                problems.append(f"{node}: {bare(node, str(error))}")
        return problems

    def _remove(self, node: str) -> None:
        """Raises ClaimError where the copy may still be there."""
        file = self._world.claims[node]
        for _ in range(2):
            try:
                if file.swap(self.tokens[node], None):
                    return
            except ClaimError as error:
                if error.effect is Effect.NONE:
                    raise
            there = file.read()  # the answer was lost, or that of an earlier change, which gave it another revision
            if there is None or not self._is_ours(there.token):
                return
            self.tokens[node] = there.token
        raise ClaimError("it is there still after two tries to remove it")

    # --- changing ----------------------------------------------------------------------------------------------

    def change(self, **fields: Any) -> None:
        """A higher revision with these fields, on every node of ours. Raises ClaimError naming those that failed."""
        _raise_failed(self._change(**fields))

    def change_where_reached(self, **fields: Any) -> Mapping[str, str]:
        """As `change`, but a copy that fails is ours no longer: its node is told, with the reason."""
        failed = self._change(**fields)
        for node in failed:
            del self.tokens[node]
        return failed

    def _change(self, **fields: Any) -> dict[str, str]:
        """Those that failed, each with the reason."""
        with self._lock:
            revision = max((t.revision for t in self.tokens.values()), default=0) + 1
            record = replace(self.record, token=replace(self.record.token, revision=revision), **fields)
            self.record = record
        nodes = sorted(self.tokens)
        keys = {node: ("change", node, revision) for node in nodes}  # an earlier one's late answer is not this one's
        answers = self._world.gather({keys[n]: self._swapper(n, record) for n in nodes}, CHANGE_WITHIN_S)
        late = f"no answer within {CHANGE_WITHIN_S:.0f} s"
        return {node: problem for node in nodes if (problem := answers.get(keys[node], late))}

    def _swapper(self, node: str, record: ClaimRecord) -> Callable[[], str]:
        def swap() -> str:
            try:
                return self._swap(node, record)
            except ClaimError as error:
                return str(error)

        return swap

    def _swap(self, node: str, record: ClaimRecord) -> str:
        """Change one copy; a lost answer is resolved by looking. Empty where it worked."""
        file = self._world.claims[node]
        expected = self.tokens[node]
        try:
            swapped = file.swap(expected, record)
        except ClaimError as error:
            if error.effect is Effect.NONE:
                raise
            swapped = False
        if not swapped:
            there = file.read()
            if there is None:
                return GONE
            if not self._is_ours(there.token):
                return f"the claim is {_describe(there)}"
            self.tokens[node] = there.token
            if there.token == record.token:
                return ""
            if not file.swap(there.token, record):
                return "the claim was changed by another process while we wrote it; nothing was changed there by us"
        self.tokens[node] = record.token
        return ""

    def fence(self, node: str) -> str:
        """Raise the revision on one node, under its lock: what compares the old one can't run any more.

        Returns empty when it is done, else why not.
        """
        revision = max(t.revision for t in self.tokens.values()) + 1
        record = replace(self.record, token=replace(self.record.token, revision=revision))
        try:
            return self._swap(node, record)
        except ClaimError as error:
            return str(error)

    def beat(self) -> None:
        """Say everywhere that we live. Never raises; a claim that is not ours any more shows at the next reading."""
        if self._ended:
            return
        with self._lock:  # record and tokens of one moment: an older record must not go under a newer token
            record = self.record = replace(self.record, beat=self.record.beat + 1)
            tokens = dict(self.tokens)
        questions = {("beat", node): self._beater(node, replace(record, token=token)) for node, token in tokens.items()}
        for key, asked_s in self._world.gather(questions, READ_WITHIN_S).items():
            if asked_s is not None:
                self._ours_s[key[1]] = max(asked_s, self._ours_s.get(key[1], asked_s))

    def _beater(self, node: str, record: ClaimRecord) -> Callable[[], float | None]:
        def beat() -> float | None:
            """When it was asked, if the claim is ours still."""
            asked_s = self._clock.at_s()
            try:
                return asked_s if self._world.claims[node].swap(record.token, record) else None
            except ClaimError:
                return None

        return beat

    # --- reading -----------------------------------------------------------------------------------------------

    @property
    def views(self) -> Mapping[str, ClaimView]:
        """Whose claim each node carries, as it was last read."""
        return {node: self._seen.get(node, NEVER_SEEN).view for node in self._world.claims}

    @property
    def read_at_s(self) -> float:
        """When the oldest of these readings was asked for."""
        return min((self._seen.get(node, NEVER_SEEN).asked_s for node in self._world.claims), default=float("-inf"))

    def questions(self) -> dict[tuple[str, str], Callable[[], Seen]]:
        """The questions whose answers `heard` takes, for a look that asks other things, too."""
        self.asked_at_s = self._clock.at_s()
        return {("claim", node): self._viewer(node) for node in self._world.claims}

    def heard(self, answers: Mapping[Any, Any]) -> None:
        """Keep what was answered. A node that is late keeps what it said, as long as that may count."""
        now_s = self._clock.at_s()
        late = ClaimView(Ours.UNREAD, f"no answer for {CLAIM_FRESH_S:.0f} s")
        for node in self._world.claims:
            seen = answers.get(("claim", node))
            last = self._seen.get(node, NEVER_SEEN)
            if seen is not None:
                self._keep({node: seen})
            elif now_s - last.asked_s > CLAIM_FRESH_S and last.view.ours is not Ours.OTHER:
                self._keep({node: Seen(late, last.asked_s)})

    def read(self) -> Mapping[str, ClaimView]:
        """Whose claim each node carries now; one that does not answer in time is unread."""
        answers = self._world.gather(self.questions(), READ_WITHIN_S)
        late = Seen(ClaimView(Ours.UNREAD, f"no answer within {READ_WITHIN_S:.0f} s"), self.asked_at_s)
        self._keep({node: answers.get(("claim", node), late) for node in self._world.claims})
        return self.views

    def _viewer(self, node: str) -> Callable[[], Seen]:
        def view() -> Seen:
            asked_s = self._clock.at_s()
            return Seen(self._view(node), asked_s)

        return view

    def _view(self, node: str) -> ClaimView:
        try:
            there = self._world.claims[node].read()
        except ClaimError as error:
            return ClaimView(Ours.UNREAD, str(error))
        if there is None:
            return ClaimView(Ours.MISSING, "the claim file is gone")
        if self._is_ours(there.token):
            return ClaimView(Ours.OURS)
        if there.token.run == self.record.token.run and there.token.epoch < self.record.token.epoch:
            return ClaimView(Ours.UNREAD, "its copy was not raised by our takeover")
        return ClaimView(Ours.OTHER, _describe(there), of_another_run=there.token.run != self.record.token.run)

    def answered_for(self) -> bool:
        """Has somebody put back what this run had out, so that what is out by now is by other hands? A run that began
        since says so; and where no node has a claim any more, the time: a takeover needs 10 s, removing files none."""
        views = self.views.values()
        if any(view.of_another_run for view in views):
            return True
        ours_s = max(self._ours_s.values(), default=float("-inf"))
        return all(view.ours is Ours.MISSING for view in views) and self.read_at_s - ours_s > CLAIM_FRESH_S

    def _keep(self, seen: Mapping[str, Seen]) -> None:
        for node, one in seen.items():
            self._seen[node] = one
            if one.view.ours is Ours.OURS:
                self._ours_s[node] = max(one.asked_s, self._ours_s.get(node, one.asked_s))

    def confirm(self, *, taking_out: bool) -> Confirmed:
        """Read every claim in front of a balancer write, and say whether and until when it may be sent.

        What was read less than a second ago serves again: a takeover outwaits 10 s from its last raise, and a write is
        sent within 10 s of the reading or never, so that a reading's age is no danger, only its limit is.
        """
        reusable = self._reusable(taking_out=taking_out)
        return reusable if reusable is not None else self._confirm_anew(taking_out=taking_out)

    def _confirm_anew(self, *, taking_out: bool) -> Confirmed:
        views = self.read()
        others = [f"{n}: {v.detail}" for n, v in views.items() if v.ours is Ours.OTHER]
        if others:
            return Confirmed(False, "the claim is another's: " + "; ".join(others))
        ours = [self._seen[n].asked_s for n, v in views.items() if v.ours is Ours.OURS]
        if len(ours) == len(views):
            return Confirmed(True, "", self.read_at_s + CLAIM_FRESH_S)
        not_ours = {node: view for node, view in views.items() if view.ours is not Ours.OURS}
        missing = told({node: f"{view.ours.value} ({bare(node, view.detail)})" for node, view in not_ours.items()})
        if taking_out:
            return Confirmed(False, f"taking a node out needs our claim on every node: {missing}")
        # A takeover raises every copy that it reaches, and outwaits 10 s after the last one: any copy that was ours
        # then is enough, and nobody else can be at work before that time is over.
        seen_s = max(self._ours_s.values(), default=float("-inf"))
        if self._clock.at_s() < seen_s + CLAIM_FRESH_S:
            return Confirmed(True, "", seen_s + CLAIM_FRESH_S)
        return Confirmed(False, f"no claim can be read: {missing}")

    def _reusable(self, *, taking_out: bool) -> Confirmed | None:
        """What the last reading permits, if it is young enough; for a put-back one copy of ours is enough."""
        now_s, views = self._clock.at_s(), self.views.values()
        if now_s - self.read_at_s < REUSE_S and all(v.ours is Ours.OURS for v in views):
            return Confirmed(True, "", self.read_at_s + CLAIM_FRESH_S)
        ours_s = max(self._ours_s.values(), default=float("-inf"))
        if taking_out or now_s - ours_s >= PUT_BACK_REUSE_S or any(v.ours is Ours.OTHER for v in views):
            return None
        return Confirmed(True, "", ours_s + CLAIM_FRESH_S)

    def _is_ours(self, token: Token) -> bool:
        mine = self.record.token
        return (token.run, token.epoch, token.holder) == (mine.run, mine.epoch, mine.holder)


def first_record(cluster: str, run: str, holder: str, who: Who, nodes: Iterable[str] = ()) -> ClaimRecord:
    """The claim as it is made: epoch 1, revision 0."""
    return ClaimRecord(cluster, Token(run, 1, holder, 0), 0, who, nodes=tuple(nodes))


def _raise_failed(failed: Mapping[str, str]) -> None:
    if failed:
        raise ClaimError(f"the claim could not be changed on {told(failed)}")


def _describe(there: ClaimRecord) -> str:
    return f"{there.who.who}'s from {there.who.host} (run {there.token.run}, epoch {there.token.epoch})"
