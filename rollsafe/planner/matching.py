"""Which seat of a pool is which node's: by the name the inventory tells, else by the usual forms."""

from collections import Counter
from collections.abc import Iterable, Iterator

from rollsafe.model.cluster import Cluster, Node, Service
from rollsafe.model.reading import Member, PoolReading, SeatReading


def match_all(
    cluster: Cluster, service: Service, balancer: str, endpoint: str, pool: PoolReading
) -> Iterator[tuple[str, Member | None, str]]:
    """Each live node with its member in this pool, and what is wrong with that: none, or it is surely another node's.

    A wrong name under `members` is found here or never: all the rest of a run believes it, and cuts the wrong users.
    """
    found = [(node, *match(node, service, balancer, endpoint, pool)) for node in cluster.live_nodes]
    shared = Counter(member.seat for _, member, _ in found if member is not None)
    addresses = {seat.seat: seat.address for seat in pool.seats}
    for node, member, problem in found:
        if member is None:
            yield node.name, None, problem
        elif shared[member.seat] > 1:
            names = [other.name for other, its, _ in found if its is not None and its.seat == member.seat]
            yield node.name, member, _shared(names, member)
        else:
            yield node.name, member, _of_another(cluster, service, node, member, addresses[member.seat])


def _shared(names: list[str], member: Member) -> str:
    keys = " and ".join(f"nodes.{name}.members.{member.service}" for name in names)
    return (
        f"{' and '.join(names)} come to the same member {member.seat} of pool {member.pool} on {member.endpoint}: "
        f"each node has its own. Look at {keys}"
    )


def _of_another(cluster: Cluster, service: Service, node: Node, member: Member, address: str | None) -> str:
    """Whose address the member has, where it is literally another node's; names are not resolved, and what can't be
    compared is believed."""
    if address is None or _plain(address) == _address(node, service):
        return ""
    whose = next((other for other in cluster.nodes if _address(other, service) == _plain(address)), None)
    if whose is None:
        return ""
    return (
        f"member {member.seat} of pool {member.pool} on {member.endpoint} is {address}, which is "
        f"{whose.name}'s address, not {node.name}'s. "
        f"Look at nodes.{node.name}.members.{service.name}, and at its host and ports"
    )


def _address(node: Node, service: Service) -> str:
    return _plain(f"{node.host}:{node.ports[service.name]}")


def _plain(address: str) -> str:
    """For comparing: an IPv6 address without its brackets, a name in small letters."""
    return address.replace("[", "").replace("]", "").lower()


def match(node: Node, service: Service, balancer: str, endpoint: str, pool: PoolReading) -> tuple[Member | None, str]:
    """The node's member in this pool, or None with a sentence that lists the pool's members."""
    port = node.ports[service.name]
    told = node.members.get(service.name)
    template = service.member
    seats: Iterable[SeatReading]
    if told is not None:
        wanted, seats = told, [s for s in pool.seats if s.seat == told]
    elif template is not None:
        wanted = template.format(node=node.name, host=node.host, port=port)
        # {host}:{port} also finds a member that has a name of its own: by the address that the balancer shows
        seats = [s for s in pool.seats if s.seat == wanted] or [s for s in pool.seats if s.address == wanted]
    else:
        wanted, seats = _usual(node, port, pool)
    found = list(seats)
    if len(found) == 1:
        return Member(node.name, service.name, balancer, endpoint, pool.pool, found[0].seat), ""
    there = ", ".join(f"{s.seat} ({s.address})" if s.address else s.seat for s in pool.seats) or "none"
    how = "several members fit" if found else "no member fits"
    return None, (
        f"{how} {service.name} of {node.name} (looked for {wanted}) in pool {pool.pool} on {endpoint}; "
        f"its members: {there}. Name it under nodes.{node.name}.members.{service.name}"
    )


def _usual(node: Node, port: int, pool: PoolReading) -> tuple[str, list[SeatReading]]:
    """The node's name, else its address; an address beats nothing, a name beats an address."""
    by_name = [s for s in pool.seats if s.seat == node.name]
    if by_name:
        return node.name, by_name
    addresses = {f"{node.host}:{port}", f"http://{node.host}:{port}", f"https://{node.host}:{port}"}
    by_address = [s for s in pool.seats if s.seat in addresses or s.address in addresses]
    return f"{node.name} or {node.host}:{port}", by_address
