"""`load_inventory`: one or more files in, the cluster out; or every problem at once."""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rollsafe.config.context import Context
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


def load_inventory(paths: Sequence[Path]) -> Loaded:
    """The cluster that the files describe, later ones over earlier ones.

    Raises InvalidInput with all problems, each `FILE:LINE: path.to.key: what is wrong, and what is allowed`.
    """
    document = read_merged(paths)
    problems = Problems(document.places, document.file)
    report_empty(document, problems)
    context = Context(problems)
    written = _shape(document.data, problems)
    if written is None:
        problems.stop_on_errors()
        raise AssertionError("a shape that does not hold has errors")
    cluster = resolve(context, written)
    check_fit(problems, cluster)
    problems.stop_on_errors()
    return Loaded(cluster, tuple(problems.lines(problems.warnings)), tuple(paths), context.named)


def _shape(data: dict[str, Any], problems: Problems) -> Inventory | None:
    """The inventory as models; None where its shape doesn't hold."""
    try:
        return Inventory.model_validate(data)
    except ValidationError as error:
        broken = explain(error, Inventory, problems)
    _look_further(data, broken, problems)
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


def _look_further(data: dict[str, Any], broken: list[KeyPath], problems: Problems) -> None:
    """What else is wrong, beside the broken keys: so that it is told now, and not after they are mended."""
    rest = copy.deepcopy(data)
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
        return  # a whole section is missing: nothing more can be said for sure
    more = Problems(problems.places, problems.home)
    check_fit(more, resolve(Context(more), written))
    # In the map of a broken key only its own error counts: what else shows there may come of the pruning.
    # Which balancer a service names does not.
    maps = {problems.place(path[:-1])[0] or path for path in broken}
    problems.errors += [
        error
        for error in more.errors
        if error.path
        and (
            not any(error.path[: len(near)] == near for near in maps)
            or (error.path[-1] == "balancer" and error.path not in broken and ("balancers",) not in maps)
        )
    ]


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
