"""The claim's code with one rule broken, each in the way in which somebody could break it. The search must see each."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import pytest

from rollsafe.engine import claim, takeover
from rollsafe.engine.claim import ClaimKeeper, Confirmed
from rollsafe.engine.runclock import RunClock
from rollsafe.model.claim import ClaimRecord, Token, Who
from rollsafe.planner.readings import Ours
from rollsafe.ports import World
from tests.search.claim_operator import Program
from tests.search.claim_parts import Node
from tests.search.claim_replay import Ask
from tests.search.claim_search import Limits
from tests.search.claim_world import Rules

RUN, BOTH, OTHER = Program("r", "run", ("a",)), Program("r", "run", ("a", "b")), Program("s", "run", ("b",))
TAKE, AGAIN, RESUME = Program("t", "recover"), Program("u", "recover"), Program("v", "resume", ("a", "b"))
Patch = pytest.MonkeyPatch


class Mutant(NamedTuple):
    """A broken rule, the processes among which it shows, and what must be said of it."""

    why: str
    broken: Callable[[Patch], None]
    programs: tuple[Program, ...]
    limits: Limits
    says: str


# --- the primitive on the node ----------------------------------------------------------------------------------------


def _compares(different: Callable[[ClaimRecord, Ask], bool]) -> Callable[[Patch], None]:
    """A node's script that compares less: what `different` sees no difference in is changed."""
    real = Rules._under_lock

    def under_lock(self: Rules, node: Node, process: int, ask: Ask) -> tuple[bool, Node]:
        there = None if node.claim is None else self.records[node.claim]
        if ask.kind != "create" and there is not None and ask.token is not None and not different(there, ask):
            return real(self, node, process, ask._replace(token=there.token))
        return real(self, node, process, ask)

    return lambda patch: patch.setattr(Rules, "_under_lock", under_lock)


def _neither_epoch_nor_holder(there: ClaimRecord, ask: Ask) -> bool:
    """The holder alone would make no difference: a node's epoch grows with each new holder."""
    assert ask.token is not None
    return replace(there.token, epoch=ask.token.epoch, holder=ask.token.holder) != ask.token


def _begin_compares_nothing(there: ClaimRecord, ask: Ask) -> bool:
    return ask.kind != "begin"


def _begin_compares_no_revision(there: ClaimRecord, ask: Ask) -> bool:
    assert ask.token is not None
    return ask.kind != "begin" or replace(there.token, revision=ask.token.revision) != ask.token


def _create_over_another(patch: Patch) -> None:
    real = Rules._under_lock

    def under_lock(self: Rules, node: Node, process: int, ask: Ask) -> tuple[bool, Node]:
        return real(self, node._replace(claim=None) if ask.kind == "create" else node, process, ask)

    patch.setattr(Rules, "_under_lock", under_lock)


# --- the keeper -------------------------------------------------------------------------------------------------------


def _fence_without_raising(patch: Patch) -> None:
    patch.setattr(ClaimKeeper, "fence", lambda self, node: "")


def _old_readings(self: ClaimKeeper, *, taking_out: bool) -> Confirmed | None:
    if self.views and all(view.ours is Ours.OURS for view in self.views.values()):
        return Confirmed(True, "", self._clock.at_s() + 10.0)
    return None


def _confirm_on_old_readings(patch: Patch) -> None:
    patch.setattr(ClaimKeeper, "_reusable", _old_readings)


def _no_second_look_at_the_clock(patch: Patch) -> None:
    patch.setattr(claim, "CLAIM_FRESH_S", 1000.0)


def _out_with_one_claim(patch: Patch) -> None:
    real = ClaimKeeper.confirm

    def confirm(self: ClaimKeeper, *, taking_out: bool) -> Confirmed:
        return real(self, taking_out=False)

    patch.setattr(ClaimKeeper, "confirm", confirm)


def _change_where_it_can(patch: Patch) -> None:
    patch.setattr(claim, "_raise_failed", lambda failed: None)


def _change_makes_a_missing_file(patch: Patch) -> None:
    real = ClaimKeeper._swap

    def swap(self: ClaimKeeper, node: str, record: ClaimRecord) -> str:
        problem = real(self, node, record)
        if problem == claim.GONE and self._world.claims[node].create(record):
            self.tokens[node] = record.token
            return ""
        return problem

    patch.setattr(ClaimKeeper, "_swap", swap)


# --- the takeover -----------------------------------------------------------------------------------------------------


def _short_wait(patch: Patch) -> None:
    patch.setattr(takeover, "OUTWAIT_S", 5.0)


def _blocked_is_forgotten(patch: Patch) -> None:
    real = takeover.take_over
    patch.setattr(takeover, "take_over", lambda *words, **more: replace(real(*words, **more), blocked={}))


def _later_copies_are_left(patch: Patch) -> None:
    """As it was before this search: a copy that showed only after the 10 s was neither raised nor left alone."""

    def take_over(
        world: World, clock: RunClock, copies: takeover.Copies, run: str, who: Who, holder: str, *, also: Sequence[str]
    ) -> takeover.Taken:
        epoch = max(copy.token.epoch for copy in copies.of(run).values()) + 1
        done = takeover._raise_all(world, copies.of(run), run, (), epoch, takeover._Holder(holder, who))
        raised = {node: it for node, it in done.items() if isinstance(it, ClaimRecord)}
        takeover._outwait(clock)
        blocked = {**copies.unread, **{node: it for node, it in done.items() if isinstance(it, str)}}
        again = takeover.read_copies(world)
        taken = takeover._write_anew(world, clock, Token(run, epoch, holder, 0), who, raised, again, dict(blocked))
        return replace(taken, blocked=blocked)

    patch.setattr(takeover, "take_over", take_over)


def _others_stand(patch: Patch) -> None:
    patch.setattr(takeover.Copies, "unbegun", lambda self, run: ())


def _missing_stays_missing(patch: Patch) -> None:
    patch.setattr(takeover, "_make_missing", lambda *arguments: None)


ONE_STOP, ONE_FAULT, NOTHING = Limits(stops=1), Limits(faults=1), Limits()
ONE_OF_EACH = Limits(faults=1, stops=1)

MUTANTS = {
    "create is not atomic": Mutant(
        "two runs that start at once both hold the claim, and each takes a node out",
        _create_over_another, (RUN, OTHER), NOTHING, "I",
    ),
    "a change compares neither epoch nor holder": Mutant(
        "a run that was taken over writes its own claim over the takeover's",
        _compares(_neither_epoch_nor_holder), (RUN, TAKE), NOTHING, "I6",
    ),
    "a restart compares nothing": Mutant(
        "a restart that was on its way stops a node which a takeover has put back",
        _compares(_begin_compares_nothing), (RUN, TAKE), ONE_STOP, "I",
    ),
    "a restart does not compare the revision": Mutant(
        "a restart that was given up on, and fenced off, stops the node after it was put back",
        _compares(_begin_compares_no_revision), (RUN,), ONE_FAULT, "I3",
    ),
    "a restart is given up on without raising the fence": Mutant(
        "as above, by the run's own doing",
        _fence_without_raising, (RUN,), ONE_FAULT, "I3",
    ),
    "old readings of the claim serve for a write": Mutant(
        "a run that was stopped drains a node although it was taken over long ago",
        _confirm_on_old_readings, (RUN, TAKE), ONE_STOP, "I",
    ),
    "no look at the clock in front of a write": Mutant(
        "what was read before a stop permits a write after it",
        _no_second_look_at_the_clock, (RUN, TAKE), ONE_STOP, "I",
    ),
    "one claim is enough to take a node out": Mutant(
        "a run that no longer holds every node takes one out under a takeover",
        _out_with_one_claim, (RUN, TAKE), ONE_OF_EACH, "I6",
    ),
    "a change need not reach every node": Mutant(
        "one node tells what was begun; its file is lost, and nobody knows what is out",
        _change_where_it_can, (RUN,), Limits(faults=2), "I8",
    ),
    "a change makes a missing file anew": Mutant(
        "a run that was taken over and tidied up after holds its claims again, and goes on",
        _change_makes_a_missing_file, (RUN, TAKE), ONE_STOP, "I6",
    ),
    "a takeover does not wait 10 s": Mutant(
        "a write that was permitted before the takeover comes after it",
        _short_wait, (RUN, TAKE), ONE_STOP, "I",
    ),
    "a node that could not be raised is written to": Mutant(
        "its restart is not fenced off, and may come after it was put back",
        _blocked_is_forgotten, (RUN, TAKE), NOTHING, "I6",
    ),
    "a copy that shows only later is not raised": Mutant(
        "a takeover that looked while the run still claimed puts back a node whose restart is under way",
        _later_copies_are_left, (RUN, TAKE), NOTHING, "I6",
    ),
    "another dead run's claim is left where it is": Mutant(
        "each of two dead runs stands in the way of the other's takeover, for ever",
        _others_stand, (RUN, OTHER), NOTHING, "I8",
    ),
    "a missing copy is not made anew": Mutant(
        "no takeover ends while a node carries no copy: a resume could never take a node out again",
        _missing_stays_missing, (RUN, TAKE), ONE_FAULT, "I",
    ),
}  # fmt: skip
