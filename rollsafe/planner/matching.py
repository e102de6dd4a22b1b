"""Which seat of a pool is which node's: by the name the inventory tells, else by the usual forms."""

from collections.abc import Iterable

from rollsafe.model.cluster import Node, Service
from rollsafe.model.reading import Member, PoolReading, SeatReading


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
