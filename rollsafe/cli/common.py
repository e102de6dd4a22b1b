"""What all commands share: their common options, the exit codes and logging.

A command is one function in the module of its name. It returns an ExitCode (or None), or raises one of our errors; it
calls `begin` first. The Conductor calls `now_touching` before the engine can write.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollsafe.cli.ending import now_touching, tell
from rollsafe.cli.exits import ExitCode
from rollsafe.cli.words import inventory_words
from rollsafe.errors import InvalidInput

if TYPE_CHECKING:
    from rollsafe.model.cluster import Cluster

__all__ = [
    "ExitCode",
    "Output",
    "begin",
    "chosen",
    "colours",
    "inventory_words",
    "node_names",
    "now_touching",
    "object_line",
    "tell",
]

# --- options ------------------------------------------------------------------------------------------------------


class Output(Enum):
    """What stdout holds: text for people, or JSON for machines."""

    TEXT = "text"
    JSON = "json"


InventoryOption = Annotated[
    list[Path] | None,
    typer.Option(
        "-i",
        "--inventory",
        metavar="PATH",
        show_default=False,
        help="The inventory; repeat it to merge several. Default: $ROLLSAFE_INVENTORY, else ./inventory.yml.",
    ),
]
PlaybookOption = Annotated[
    str, typer.Option("-p", "--playbook", metavar="NAME|PATH", help="What happens to each node.")
]
NodesOption = Annotated[
    str | None,
    typer.Option("--nodes", metavar="A,B", show_default=False, help="Only these nodes, in this order."),
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="Text for people, JSON for machines.")]
VerboseOption = Annotated[
    int, typer.Option("-v", "--verbose", count=True, show_default=False, help="Log more to stderr; twice: still more.")
]
LogFileOption = Annotated[
    Path | None, typer.Option("--log-file", metavar="FILE", show_default=False, help="Log to this file, in detail.")
]
NoColorOption = Annotated[bool, typer.Option("--no-color", help="No colours (as with $NO_COLOR).")]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", show_default=False, help="Why, such as a change ticket.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Ask no question; needed where there is no terminal.")]
RunIdOption = Annotated[
    str | None,
    typer.Option("--run-id", metavar="ID", envvar="ROLLSAFE_RUN_ID", show_default=False, help="The run's name."),
]
EventsOption = Annotated[
    Path | None,
    typer.Option("--events", metavar="FILE", show_default=False, help="Append the events to FILE too, as JSON Lines."),
]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", show_default=False, help="Write the report as one HTML file.")
]
JunitOption = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", show_default=False, help="Write the report as JUnit XML.")
]
MarkdownOption = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", show_default=False, help="Write the report as Markdown.")
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", show_default=False, help="Write the report as JSON.")
]

DEFAULT_PLAYBOOK = "rolling-restart"


def node_names(option: str | None, called: str = "--nodes") -> tuple[str, ...] | None:
    """`a,b` as names in this order; None where the option was not given. `called` is its name.

    Raises InvalidInput for a name given twice.
    """
    if option is None:
        return None
    names = tuple(name.strip() for name in option.split(",") if name.strip())
    if not names:
        raise InvalidInput([f"{called} {option!r} names no node: write {called} jira1,jira2"])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput([f"{called} names {', '.join(twice)} more than once: name each once"])
    return names


def chosen(cluster: "Cluster", nodes: tuple[str, ...] | None) -> tuple[str, ...]:
    """The nodes to restart, in order. Raises InvalidInput for one that is unknown or excluded."""
    live = tuple(node.name for node in cluster.live_nodes)
    if nodes is None:
        return live
    problems = []
    for name in nodes:
        excluded = next((n.excluded for n in cluster.nodes if n.name == name and n.excluded is not None), None)
        if excluded is not None:
            problems.append(f"{name} is excluded in the inventory: {excluded}")
        elif name not in live:
            problems.append(f"there is no node {name} in the inventory; there are: {', '.join(live)}")
    if problems:
        raise InvalidInput(problems)
    return nodes


def part_of(cluster: "Cluster", nodes: tuple[str, ...] | None) -> "Cluster":
    """The cluster with these nodes only, in this order. Raises InvalidInput for one that is unknown or excluded."""
    if nodes is None:
        return cluster
    named = {node.name: node for node in cluster.nodes}
    return replace(cluster, nodes=tuple(named[name] for name in chosen(cluster, nodes)))


def as_typed() -> str:
    """How this rollsafe is called, as short as it can be typed here: by its name where that finds it."""
    called = Path(sys.argv[0])
    if called.name != "rollsafe":
        return "python3 -m rollsafe"
    from shutil import which

    found = which("rollsafe")
    if found is not None and Path(found).resolve() == called.resolve():
        return "rollsafe"
    here = Path.cwd()
    whole = called.absolute()
    return shlex.quote(str(whole.relative_to(here) if whole.is_relative_to(here) else whole))


def colours(no_color: bool) -> bool:
    """May stdout be coloured? Not with --no-color, nor $NO_COLOR, nor where it is no terminal."""
    return not no_color and not os.environ.get("NO_COLOR") and sys.stdout.isatty()


def begin(verbose: int = 0, log_file: Path | None = None) -> None:
    """Set up logging. Raises InvalidInput where the log file can't be opened."""
    from rollsafe.cli.logs import set_up_logging

    set_up_logging(verbose, log_file)


def object_line(kind: str, own: Mapping[str, Any], *, run: str = "", seq: int = 1) -> str:
    """An object of -o json as one line: the four fields that each line has, then its own. ASCII, as events are."""
    import json

    from rollsafe.clock import SystemClock
    from rollsafe.engine.runclock import RunClock

    return json.dumps({"time": RunClock(SystemClock()).stamp(), "run": run, "seq": seq, "type": kind, **own})
