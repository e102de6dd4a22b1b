"""`load_inventory`: one or more files in, the cluster out; or every problem at once."""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rollsafe.config.context import Context
from rollsafe.config.documents import Document
from rollsafe.config.explain import explain
from rollsafe.config.fitting import check_fit
from rollsafe.config.inventory import Inventory
from rollsafe.config.merging import read_merged, report_empty
from rollsafe.config.problems import KeyPath, Problems
from rollsafe.config.resolve import resolve
from rollsafe.errors import InvalidInput
from rollsafe.model.cluster import Cluster

DEFAULT = Path("inventory.yml")
VARIABLE = "ROLLSAFE_INVENTORY"


@dataclass(frozen=True, slots=True)
class Loaded:
    """An inventory that holds: the cluster, what should be known about it, and the files it came from."""

    cluster: Cluster
    warnings: tuple[str, ...]
    paths: tuple[Path, ...]
    named: Mapping[str, str] = field(default_factory=dict)  # each file and secret it names: `FILE:LINE: path.to.key`


def find_inventory(explicit: Sequence[Path] | None = None) -> tuple[Path, ...]:
    """The files to read: those named, else $ROLLSAFE_INVENTORY, else ./inventory.yml. Raises InvalidInput for none."""
    if explicit:
        return tuple(explicit)
    if named := os.environ.get(VARIABLE):
        return (Path(named),)
    if DEFAULT.exists():
        return (DEFAULT,)
    raise InvalidInput(
        [f"no inventory: {DEFAULT.absolute()} does not exist. Name one with -i PATH, or run `rollsafe init`."]
    )


# What is named and is not there: `check_references`, or a part of it.
Look = Callable[[Cluster, Mapping[str, str]], list[str]]


def load_inventory(paths: Sequence[Path], look: Look | None = None) -> Loaded:
    """The cluster that the files describe, later ones over earlier ones.

    Raises InvalidInput with all problems, each `FILE:LINE: path.to.key: what is wrong, and what is allowed`. What
    `look` finds is told beside them: it does not wait until they are mended.
    """
    document = read_merged(paths)
    problems = Problems(document.places, document.file)
    report_empty(document, problems)
    context = Context(problems)
    broken: list[KeyPath] = []
    written = _shape(document.data, broken, problems)
    cluster: Cluster | None
    if written is not None and not document.problems:
        cluster, named = resolve(context, written), context.named
        check_fit(problems, cluster)
        if not problems.errors:
            return Loaded(cluster, tuple(problems.lines(problems.warnings)), tuple(paths), named)
    else:
        cluster, named = _look_further(document, broken, problems)
    told = {problem.path for problem in document.problems}  # what else shows at such a key comes of the mistake itself
    errors = [*document.problems, *(error for error in problems.errors if error.path not in told)]
    raise InvalidInput(problems.lines(errors) + (look(cluster, named) if look and cluster else []))


def _shape(data: dict[str, Any], broken: list[KeyPath], problems: Problems) -> Inventory | None:
    """The inventory as models; None where its shape doesn't hold: then `broken` has the keys."""
    try:
        return Inventory.model_validate(data)
    except ValidationError as error:
        broken += explain(error, Inventory, problems)
    return None


# For what is missing, so that the rest can be looked at. What is said of these themselves is never shown.
_STAND_INS = {
    "cluster": "unnamed",
    "product": "jira",
    "host": "node-{}.invalid",
    "driver": "haproxy",
    "endpoints": "tcp://balancer-{}.invalid:1",
    "balancer": "balancer-{}",
    "pool": "pool-{}",
    "url": "tcp://endpoint-{}.invalid:1",
    "timezone": "UTC",
    "id": "tenant-{}",
}


# Which names, or how many of them, a key goes by: nothing is said of it while there is a mistake in these names.
_GOES_BY = {"min_ready": "nodes", "balancer": "balancers", "ports": "services", "members": "services"}


def _look_further(
    document: Document, broken: list[KeyPath], problems: Problems
) -> tuple[Cluster | None, dict[str, str]]:
    """What else is wrong, beside the broken keys: so that it is told now, and not after they are mended.

    Returns the rest as a cluster, where it makes one, with what it names.
    """
    rest = copy.deepcopy(document.data)
    for path in broken:
        _prune(rest, path, problems)
    try:
        Inventory.model_validate(rest)
    except ValidationError as error:
        for number, item in enumerate(error.errors()):
            _stand_in(rest, item["loc"], number, problems)
    try:
        written = Inventory.model_validate(rest)
    except ValidationError:
        return None, {}  # a whole section is missing: nothing more can be said for sure
    context = Context(Problems(problems.places, problems.home))
    cluster = resolve(context, written)
    check_fit(context.problems, cluster)
    problems.errors += [error for error in context.problems.errors if _is_sure(error.path, broken, document, problems)]
    return cluster, context.named


def _is_sure(path: KeyPath, broken: list[KeyPath], document: Document, problems: Problems) -> bool:
    """In the map of a broken key only its own error counts: what else shows there may come of the pruning.

    Which balancer a service names does not. The names of a section are not sure where one is there twice, or none.
    """
    told = [problem.path for problem in document.problems]
    unsure = {home[0] for home in told if len(home) == 1 or (len(home) == 2 and isinstance(home[1], int))}
    if not path or any(_GOES_BY.get(str(part)) in unsure for part in path[2:3]):
        return False
    maps = {problems.place(key[:-1])[0] or key for key in broken if key not in told}
    if not any(path[: len(near)] == near for near in maps):
        return True
    return path[-1] == "balancer" and path not in broken and ("balancers",) not in maps


def _stand_in(data: Any, path: KeyPath, number: int, problems: Problems) -> None:
    home = _at(data, problems.place(path[:-1])[0])
    if isinstance(home, dict) and path[-1] in _STAND_INS:
        home[path[-1]] = _STAND_INS[str(path[-1])].format(number)


def _prune(data: Any, path: KeyPath, problems: Problems) -> None:
    spelled, _ = problems.place(path)
    home = _at(data, spelled[:-1])
    if isinstance(home, dict) and spelled:
        home.pop(spelled[-1], None)


def _at(data: Any, path: KeyPath) -> Any:
    for part in path:
        items = data if isinstance(data, dict) else dict(enumerate(data)) if isinstance(data, list) else {}
        data = items.get(part)
    return data
