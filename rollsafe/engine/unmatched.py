"""What a dead run's claim names and this inventory does not: a node or endpoint that was taken out or renamed.

`recover` puts back what it can reach without them, and names them. What is gone for ever is let go of by `--forget`.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from rollsafe.engine import met
from rollsafe.model.claim import ClaimRecord, FoundMember
from rollsafe.model.plan import Plan
from rollsafe.model.reading import Member
from rollsafe.planner.commands import ahead
from rollsafe.planner.expand import pools_of
from rollsafe.planner.outcome import Ending
from rollsafe.ports import World

if TYPE_CHECKING:
    from rollsafe.engine.session import Session


def strange_nodes(world: World, plan: Plan) -> frozenset[str]:
    """The nodes to be put back whose claim can't be asked for, because the inventory does not tell where they are."""
    return frozenset(node.name for node in plan.nodes if node.name not in world.claims)


def members_to_undo(
    record: ClaimRecord, now: Iterable[Member], begun: Iterable[str], forget: frozenset[str]
) -> tuple[Member, ...]:
    """Of the nodes to be put back those members that the claim tells of; of the others also what is there now.

    How a member was found that the claim does not know of nobody can tell: it is nothing to undo.
    """
    told = [it.member for it in _told(record) if it.member.endpoint not in forget]
    return tuple(dict.fromkeys([*told, *(m for m in now if m.node not in begun)]))


def wrong_forget(session: "Session", record: ClaimRecord) -> str:
    """Is something to be let go of that is not gone? No claim would tell of it any more. Empty where all is right."""
    urls = {it.member.endpoint for it in _told(record)}
    nodes = {*(node.name for node in session.cluster.nodes), *record.entries, *record.nodes}
    for name in sorted(session.forget - nodes):
        if name not in urls:
            known = ", ".join([*sorted(nodes), *sorted(urls)])
            return f"--forget {name}: the claim names no such node or endpoint, but {known}"
        if any(url == name for _, url in session.world.balancers):
            return (
                f"--forget {name}: this inventory has that endpoint, so recover puts members back on it; where it is "
                "gone for ever, take it out of the inventory first"
            )
        if respelled := _respelled(session, record, name):
            return respelled
    return ""


def _respelled(session: "Session", record: ClaimRecord, url: str) -> str:
    """Is an endpoint that the claim does not know the same one under another name? Then its members are still out."""
    lost = {(it.member.node, it.member.service) for it in _told(record) if it.member.endpoint == url and it.wrote}
    for entry in _out_where_new(session, record):
        if (entry["node"], entry["service"]) in lost:
            return (
                f"--forget {url}: it may be what this inventory calls {entry['endpoint']}, where {entry['service']} of "
                f"{entry['node']} is in {entry['state']}: spell it as the claim does, and recover; where it is another "
                "one, put that member back there by hand first"
            )
    return ""


def tell(session: "Session", record: ClaimRecord, plan: Plan, ending: Ending) -> Ending:
    """The ending, with what was let go of, and with what is out where the claim knows of nothing."""
    gone = [it.member for it in _told(record) if it.member.endpoint in session.forget and it.wrote]
    said = _no_services(session, record, ending)
    if gone:
        said.append(f"Let go of, as you said, and left as they are: {'; '.join(str(member) for member in gone)}.")
    new = _out_where_new(session, record)
    begun = {node.name for node in plan.nodes}
    new = [entry for entry in new if entry["node"] in begun and entry not in ending.others]
    if new:
        told = "; ".join(f"{e['service']} of {e['node']} on {e['endpoint']}: {e['state']}" for e in new)
        said.append(f"On endpoints that the claim does not name is out: {told}.")
    message = ahead(ending.message, " ".join(said), session.mend) if said else ending.message
    return replace(ending, message=message, others=(*ending.others, *new))


def _no_services(session: "Session", record: ClaimRecord, ending: Ending) -> list[str]:
    """Services that are called otherwise by now: nobody asks their health under the old name."""
    here = {service.name for service in session.cluster.services}
    lost = sorted({it.member.service for it in _told(record) if it.wrote} - here)
    if not lost or ending.exit_code == 0:
        return []
    name = ", ".join(lost)
    return [f"This inventory has no service {name}, which the claim names: name it so again until recover has ended."]


def _out_where_new(session: "Session", record: ClaimRecord) -> list[dict[str, str]]:
    """What is out on endpoints of this inventory that the claim tells nothing of. Asks only where there are such."""
    known = {it.member.pool_key for it in _told(record)}
    new = {(service.name, key[0], key[1]) for key, service in pools_of(session.cluster).items() if key not in known}
    if not new:
        return []
    out = met.out_by_others(session)
    return [entry for entry in out if (entry["service"], entry["balancer"], entry["endpoint"]) in new]


def _told(record: ClaimRecord) -> list[FoundMember]:
    return [it for entry in record.entries.values() for it in entry]
