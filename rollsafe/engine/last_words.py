"""What an ending tells besides what was judged: claims that stay, a write that may have come late, a broken journal."""

from collections.abc import Mapping, Set
from dataclasses import replace

from rollsafe.engine.unknown import no_nodes
from rollsafe.errors import JournalError
from rollsafe.model.reading import AdminState, Member
from rollsafe.model.wording import ended
from rollsafe.planner.commands import ahead
from rollsafe.planner.outcome import Ending
from rollsafe.ports import World


def with_blocked(ending: Ending, world: World, blocked: Mapping[str, str], forgotten: Set[str], mend: str) -> Ending:
    """Nodes that a takeover could not reach: their claims stay, and their members were not written (30 where one
    of them is out, else 40: nothing is out, but not everything could be asked)."""
    names = sorted(blocked.keys() - forgotten)
    if not names:
        return ending
    unknown = [name for name in names if name not in world.claims]
    silent = [name for name in names if name in world.claims]
    told = [no_nodes(unknown)] if unknown else []
    whys = "; ".join(dict.fromkeys(blocked[name].rstrip(".") for name in silent))
    told += [f"The claim on {', '.join(silent)} could not be taken over, and stays: {ended(whys)}"] if silent else []
    message = ending.message if f": {mend}" in ending.message else f"{ending.message} To go on: {mend}"
    text = ahead(message, " ".join(told), mend)
    outcome, code = ("node-out", 30) if ending.left_out else ("unknown", 40)
    return replace(ending, outcome=outcome, exit_code=code, message=text)


def with_broken_journal(ending: Ending, broken: JournalError | None, mend: str) -> Ending:
    """What a run did after its journal broke is in no `show` and no `report`: said, where that is not said already."""
    if broken is None or "the journal is broken" in ending.message:
        return ending
    told = f"The journal is broken, and does not tell of all that was done: {ended(str(broken))}"
    return replace(ending, message=ahead(ending.message, told, mend))


def with_late(ending: Ending, late: Mapping[Member, AdminState], mend: str) -> Ending:
    """The claim is lost: a write that the takeover may not have outwaited is named."""
    if not late:
        return ending
    writes = "; ".join(f"{member} to {to.value}" for member, to in late.items())
    told = f"This process stood still: a write of it may have come after the takeover: {writes}."
    return replace(ending, message=ahead(ending.message, told, mend))


def with_under_way(ending: Ending, writes: Mapping[Member, AdminState], mend: str) -> Ending:
    """There was no time to wait for a write without an answer: all is as found, and it may still land (40)."""
    if not writes or ending.exit_code not in (0, 20):
        return ending
    named = "; ".join(f"{member} to {to.value}" for member, to in writes.items())
    text = (
        f"{ended(ending.message)} But a write had no answer, and may still land: {named}. To look, and put back: {mend}"
    )
    return replace(ending, outcome="unknown", exit_code=40, message=text, unread=tuple(map(str, writes)))
