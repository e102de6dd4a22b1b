"""The claim of this run on every node: made, changed, beaten, read before each write, raised as a fence, ended.

One primitive carries it all: under the node's lock, compare (run, epoch, holder, revision), then act.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rollsafe.engine.runclock import RunClock
from rollsafe.errors import ClaimError, Effect
from rollsafe.model.claim import ClaimRecord, FoundMember, Token, Who
from rollsafe.planner.gates import CLAIM_FRESH_S
from rollsafe.planner.readings import ClaimView, Ours
from rollsafe.ports import World

BEAT_EVERY_S = 5.0
READ_WITHIN_S = 4.0
REUSE_S = 1.0
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


class ClaimKeeper:
    """This run's claim. `views` and `read_at_s` hold what the last reading said."""

    def __init__(self, world: World, clock: RunClock, record: ClaimRecord) -> None:
        self._world = world
        self._clock = clock
        self.record = record
        self.tokens: dict[str, Token] = {}  # what each node's copy carries, as far as we know
        self.views: dict[str, ClaimView] = {}
        self.read_at_s = float("-inf")
        self._seen_ours_s: dict[str, float] = {}
        self._ended = False

    # --- making and ending -------------------------------------------------------------------------------------

    def make(self) -> Blocked | None:
        """Claim every node, one by one in the order of names. Another's claim: our own are removed again.

        Raises ClaimError where a node can't be claimed; what was claimed is removed again.
        """
        for node in sorted(self._world.claims):
            try:
                blocked = self._make_on(node)
            except ClaimError:
                self._remove_all()
                raise
            if blocked is not None:
                self._remove_all()
                return blocked
        self._saw(dict.fromkeys(self.tokens, ClaimView(Ours.OURS)), self._clock.at_s())
        return None

    def _make_on(self, node: str) -> Blocked | None:
        file = self._world.claims[node]
        for _ in range(3):  # a claim may vanish, or be marked done, between two looks
            self.tokens[node] = self.record.token
            if self._created(node):
                return None
            del self.tokens[node]
            there = file.read()
            if there is None:
                continue
            if not there.done:
                return Blocked(node, there)
            file.swap(there.token, None)
        raise ClaimError(f"the claim on {node} comes and goes: another rollsafe is at work there; try again")

    def _created(self, node: str) -> bool:
        file = self._world.claims[node]
        try:
            return file.create(self.record)
        except ClaimError as error:
            if error.effect is Effect.NONE:
                del self.tokens[node]
                raise
            there = file.read()  # the answer was lost: look
            return there is not None and there.token == self.record.token

    def end(self) -> list[str]:
        """Mark the claim done everywhere, then remove it in reverse order. Returns what could not be ended."""
        self._ended = True
        try:
            self.change(done=True, released=True, node_in_hand=None, doing="done")
        except ClaimError as error:
            return [str(error)]
        return self._remove_all()

    def release(self, doing: str) -> None:
        """Leave the claims for `recover`, and say that this holder does nothing more. Best effort."""
        self._ended = True
        try:
            self.change(released=True, doing=doing)
        except ClaimError:
            return  # then recover finds a beat that stands still, which says the same

    def _remove_all(self) -> list[str]:
        problems = []
        for node in sorted(self.tokens, reverse=True):
            try:
                self._world.claims[node].swap(self.tokens[node], None)
                del self.tokens[node]
            except ClaimError as error:
                problems.append(f"{node}: {error}")
        return problems

    # --- changing ----------------------------------------------------------------------------------------------

    def change(self, **fields: Any) -> None:
        """A higher revision with these fields, on every node of ours. Raises ClaimError naming those that failed."""
        revision = max((t.revision for t in self.tokens.values()), default=0) + 1
        record = replace(self.record, token=replace(self.record.token, revision=revision), **fields)
        self.record = record
        nodes = sorted(self.tokens)
        answers = self._world.gather({("change", node): self._swapper(node, record) for node in nodes}, CHANGE_WITHIN_S)
        failed = []
        for node in nodes:
            problem = answers.get(("change", node), f"no answer within {CHANGE_WITHIN_S:.0f} s")
            if problem:
                failed.append(f"{node}: {problem}")
        if failed:
            raise ClaimError("the claim could not be changed on " + "; ".join(failed))

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
                return "there is no claim any more"
            if not self._is_ours(there.token):
                return f"the claim is {_describe(there)}"
            self.tokens[node] = there.token
            if there.token == record.token:
                return ""
            if not file.swap(there.token, record):
                return "the claim changes under our hands"
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
        record = replace(self.record, beat=self.record.beat + 1)
        self.record = record
        questions = {
            ("beat", node): self._beater(node, replace(record, token=token)) for node, token in self.tokens.items()
        }
        for key, ours in self._world.gather(questions, READ_WITHIN_S).items():
            if ours:
                self._seen_ours_s[key[1]] = self._clock.at_s()

    def _beater(self, node: str, record: ClaimRecord) -> Callable[[], bool]:
        def beat() -> bool:
            try:
                return self._world.claims[node].swap(record.token, record)
            except ClaimError:
                return False

        return beat

    # --- reading -----------------------------------------------------------------------------------------------

    def read(self) -> Mapping[str, ClaimView]:
        """Whose claim each node carries now."""
        at_s = self._clock.at_s()
        answers = self._world.gather({("claim", n): self._viewer(n) for n in self._world.claims}, READ_WITHIN_S)
        late = ClaimView(Ours.UNREAD, f"no answer within {READ_WITHIN_S:.0f} s")
        self._saw({n: answers.get(("claim", n), late) for n in self._world.claims}, at_s)
        return self.views

    def _viewer(self, node: str) -> Callable[[], ClaimView]:
        def view() -> ClaimView:
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
            return ClaimView(Ours.OTHER, _describe(there))

        return view

    def _saw(self, views: Mapping[str, ClaimView], at_s: float) -> None:
        self.views = dict(views)
        self.read_at_s = at_s
        for node, view in views.items():
            if view.ours is Ours.OURS:
                self._seen_ours_s[node] = at_s

    def confirm(self, *, taking_out: bool) -> Confirmed:
        """Read every claim in front of a balancer write, and say whether and until when it may be sent.

        What was read less than a second ago serves again: a takeover outwaits 10 s from its last raise, and a write is
        sent within 10 s of the reading or never, so that a reading's age is no danger, only its limit is.
        """
        asked_s = self._clock.at_s()
        if asked_s - self.read_at_s < REUSE_S and all(v.ours is Ours.OURS for v in self.views.values()):
            return Confirmed(True, "", self.read_at_s + CLAIM_FRESH_S)
        views = self.read()
        others = [f"{n}: {v.detail}" for n, v in views.items() if v.ours is Ours.OTHER]
        if others:
            return Confirmed(False, "the claim is another's: " + "; ".join(others))
        ours = [n for n, v in views.items() if v.ours is Ours.OURS]
        if len(ours) == len(views) or (ours and not taking_out):
            return Confirmed(True, "", asked_s + CLAIM_FRESH_S)
        missing = "; ".join(f"{n}: {v.ours.value} ({v.detail})" for n, v in views.items() if v.ours is not Ours.OURS)
        if taking_out:
            return Confirmed(False, f"taking a node out needs our claim on every node: {missing}")
        seen_s = max(self._seen_ours_s.values(), default=float("-inf"))
        if self._clock.at_s() < seen_s + CLAIM_FRESH_S:  # a takeover outwaits this, so that nobody can be at work yet
            return Confirmed(True, "", seen_s + CLAIM_FRESH_S)
        return Confirmed(False, f"no claim can be read: {missing}")

    def _is_ours(self, token: Token) -> bool:
        mine = self.record.token
        return (token.run, token.epoch, token.holder) == (mine.run, mine.epoch, mine.holder)


def first_record(cluster: str, run: str, holder: str, who: Who) -> ClaimRecord:
    """The claim as it is made: epoch 1, revision 0."""
    return ClaimRecord(cluster, Token(run, 1, holder, 0), 0, who)


def with_entry(record: ClaimRecord, node: str, members: tuple[FoundMember, ...]) -> dict[str, tuple[FoundMember, ...]]:
    """The entries with one more node. Those that are back keep what they were found to be, and nothing to undo."""
    closed = {n: tuple(replace(m, wrote=()) for m in entry) for n, entry in record.entries.items()}
    return {**closed, node: members}


def _describe(there: ClaimRecord) -> str:
    return f"{there.who.who}'s from {there.who.host} (run {there.token.run}, epoch {there.token.epoch})"
