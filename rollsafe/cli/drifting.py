"""Does a plan's file still fit? Every difference is named, and one is enough for a refusal."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from rollsafe.cli.common import DEFAULT_PLAYBOOK
from rollsafe.errors import Refused
from rollsafe.model.plan import Plan, PlannedWrite
from rollsafe.model.reading import Member

_MOST = 20  # differences that are spelled out
# What the plan holds besides: what was asked for, or is not obeyed (estimates).
_COMPARED = ("cluster", "nodes", "all_nodes", "services", "members", "each_node", "policy", "window")


def anew(file: Path, named: str, told: Plan | None, live: Sequence[str]) -> str:
    """The command that makes the plan of a file again, with what it was made with. `named` is the ` -i FILE`; `live`
    are the inventory's nodes, and `told` is None where the file tells nothing."""
    words = f"rollsafe plan{named}"
    if told is not None:
        nodes = [node.name for node in told.nodes if node.name in live]
        words += f" --nodes {','.join(nodes)}" if nodes and nodes != list(live) else ""
        words += f" -p {quote(told.playbook)}" if told.playbook not in ("", DEFAULT_PLAYBOOK) else ""
        words += f" --until {quote(told.until)}" if told.until else ""
        words += " --accept-outage" if told.accept_outage else ""
    return f"{words} --out {quote(str(file))}"


def refuse_drift(
    told: Plan, plan: Plan, told_writes: Sequence[PlannedWrite], writes: Sequence[PlannedWrite], again: str
) -> None:
    """A plan that no longer fits is refused, with each thing that has changed, and the command that makes it `again`.
    Raises Refused."""
    changed = [text for name in _COMPARED for text in _differences(name, getattr(told, name), getattr(plan, name))]
    changed += _inventory(dict(told.inventory), dict(plan.inventory))
    if set(told.members) == set(plan.members) and [n.name for n in told.nodes] == [n.name for n in plan.nodes]:
        changed += _states(told_writes, writes)
    if not changed and tuple(told_writes) != tuple(writes):
        changed = ["the writes, or their order"]
    if changed:
        more = [f"and {len(changed) - _MOST} more"] if len(changed) > _MOST else []
        raise Refused(
            "nothing was touched: the plan no longer fits the cluster; changed since it was made: "
            f"{'; '.join([*changed[:_MOST], *more])}. Make it anew: {again}"
        )


def _differences(where: str, told: Any, now: Any) -> Iterator[str]:
    """Each place where two values of a plan differ, with what was and what is."""
    if told == now:
        return
    if is_dataclass(told) and type(told) is type(now) and not isinstance(told, Member):
        for one in fields(told):
            yield from _differences(f"{where}.{one.name}", getattr(told, one.name), getattr(now, one.name))
    elif isinstance(told, tuple) and isinstance(now, tuple):
        yield from _of_many(where, told, now)
    else:
        yield f"{where} was {_said(told)}, and is {_said(now)}"


def _of_many(where: str, told: tuple[Any, ...], now: tuple[Any, ...]) -> Iterator[str]:
    before = {str(getattr(item, "name", item)): item for item in told}
    after = {str(getattr(item, "name", item)): item for item in now}
    yield from (f"{where}: {name} is gone" for name in before if name not in after)
    yield from (f"{where}: {name} is new" for name in after if name not in before)
    both = [name for name in before if name in after]
    for name in both:
        yield from _differences(f"{where}.{name}", before[name], after[name])
    if both != [name for name in after if name in before]:
        yield f"{where} were in the order {', '.join(before)}, and are in {', '.join(after)}"


def _inventory(told: dict[str, str], now: dict[str, str]) -> list[str]:
    """The inventory's parts that are not what they were; those of a new or gone node are told by its name already."""
    return [f"{part}, in the inventory" for part in told if part in now and told[part] != now[part]]


def _states(told: Sequence[PlannedWrite], writes: Sequence[PlannedWrite]) -> list[str]:
    """Each member that is found in another state than the plan found it in."""
    before = {write.member: write.found for write in told}
    now = {write.member: write.found for write in writes}
    changed = [
        f"{member} was found {found.admin.value}, and is {now[member].admin.value} now"
        for member, found in before.items()
        if member in now and now[member] != found
    ]
    # Who is out already needs no write, and who is in again needs one.
    changed += [
        f"{m} was found {found.admin.value}, and is out already now" for m, found in before.items() if m not in now
    ]
    return changed + [f"{m} was out already, and is {f.admin.value} now" for m, f in now.items() if m not in before]


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(getattr(value, "value", value))
