"""The sentences about what a claim names and this inventory does not: what it is, and what to type next."""

from collections.abc import Iterable

from rollsafe.model.reading import Unread
from rollsafe.ports import World


def no_endpoint(world: World, balancer: str, url: str) -> Unread:
    """The answer for an endpoint that this inventory does not have; asking again does not help."""
    namesake = next((name for name, there in world.balancers if there == url), None)
    if namesake is not None:
        remedy = f"it is {namesake}'s here. Name that balancer {balancer} again until recover has ended"
    else:
        remedy = f"this inventory does not. Add it with this spelling or, if it is gone for ever, add --forget {url}"
    text = f"the claim names endpoint {url} of balancer {balancer}; {remedy}"
    return Unread(text, for_good=True)


def no_nodes(names: Iterable[str]) -> str:
    """What is to be done about nodes that the claim names and this inventory does not."""
    told = ", ".join(names)
    return (
        f"This inventory does not have {told}, or has it excluded, but the claim names it: it was not asked, and its "
        f"members were left as they are. Write it into the inventory again or, where it is gone for ever, add "
        f"--forget {told.replace(', ', ',')}."
    )
