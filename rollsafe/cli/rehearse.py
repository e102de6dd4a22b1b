"""`rollsafe rehearse`: the operator's own inventory in a simulated cluster, through every crash point and fault."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer

from rollsafe.cli import common
from rollsafe.cli.common import Output

if TYPE_CHECKING:
    from rich.table import Table

    from rollsafe.ports import Clock
    from rollsafe.rehearsal.report import Report

KINDS = {
    "faultless": "the run without a fault",
    "crash": "the process dies",
    "fault": "one call fails",
    "event": "something breaks for good, or a reload",
    "recover": "the recovery dies, or one of its calls fails",
    "pair": "two calls fail",
}
WORKERS_AT_MOST = 8
LINE_EVERY_S = 5.0
EXAMPLE_CHARS = 240  # --output json has it whole


def rehearse(
    inventory: common.InventoryOption = None,
    playbook: common.PlaybookOption = common.DEFAULT_PLAYBOOK,
    nodes: common.NodesOption = None,
    output: common.OutputOption = Output.TEXT,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough", help="Every look of a wait, breakages at every node, pairs of faults; it takes long."
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the simulated clients; the same seed replays.")] = 0,
    verbose: common.VerboseOption = 0,
    log_file: common.LogFileOption = None,
    no_color: common.NoColorOption = False,
) -> int:
    """Play the rolling restart of this inventory on a simulated cluster: the run without a fault, a crash at every
    journal record followed by recover from another machine, every call over a port failing in every way.

    Touches nothing and nobody. Ends with 20 where an invariant broke, with 10 where even the run without a fault does
    not succeed, else with 0.

    Example: rollsafe rehearse -i inventory.yml
    """
    common.begin(verbose, log_file)
    from rollsafe.cli.in_rehearsal import Engine
    from rollsafe.clock import SystemClock
    from rollsafe.config.load import find_inventory, load_inventory
    from rollsafe.config.playbook import load_playbook
    from rollsafe.rehearsal.rehearse import Piece
    from rollsafe.rehearsal.rehearse import rehearse as play

    clock = SystemClock()
    began_s = clock.monotonic()
    loaded = load_inventory(find_inventory(inventory))
    names = common.chosen(loaded.cluster, common.node_names(nodes))
    steps = load_playbook(playbook, loaded.paths[-1].parent).each_node
    piece = Piece(loaded.cluster, steps, Engine, seed, thorough, names)
    with _progress(clock, colour=common.colours(no_color)) as progress:
        report = play(piece, workers=_workers(), progress=progress)
    report.took_s = clock.monotonic() - began_s
    if output is Output.JSON:
        typer.echo(common.object_line("rehearsal.finished", report.as_data()))
    else:
        _show(report, colour=common.colours(no_color))
    return report.exit_code


def _workers() -> int:
    import os

    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, WORKERS_AT_MOST)


@contextmanager
def _progress(clock: "Clock", *, colour: bool) -> Iterator[Callable[[int, int, str], None]]:
    """On stderr: a bar on a terminal, else a line now and then, so that a pipeline's log shows that it goes on."""
    import sys

    if not sys.stderr.isatty():
        yield _lines(clock)
        return
    from rich.console import Console
    from rich.progress import Progress

    # No thread of its own: the work is shared with forked processes.
    console = Console(stderr=True, no_color=not colour)
    with Progress(console=console, auto_refresh=False, transient=True) as bar:
        task = bar.add_task("rehearsing", total=None)

        def told(done: int, of: int, what: str) -> None:
            bar.update(task, completed=done, total=of or None, description=KINDS.get(what, what))
            bar.refresh()

        yield told


def _lines(clock: "Clock") -> Callable[[int, int, str], None]:
    began_s = clock.monotonic()
    next_s = began_s + LINE_EVERY_S

    def told(done: int, of: int, what: str) -> None:
        nonlocal next_s
        now_s = clock.monotonic()
        if now_s >= next_s or done == 0:
            next_s = now_s + LINE_EVERY_S
            count = f"{done} of {of} windows played" if of else "rehearsing"
            typer.echo(f"{count}, {now_s - began_s:.0f} s: {KINDS.get(what, what)}", err=True)

    return told


def _show(report: "Report", *, colour: bool) -> None:
    import sys

    from rich.console import Console

    console = Console(file=sys.stdout, no_color=not colour, highlight=False, soft_wrap=True)
    console.print(f"Rehearsal of {report.cluster}: {report.points} windows in simulated time, seed {report.seed}")
    console.print(f"  nodes that each window restarts, in order: {', '.join(report.nodes)}", markup=False)
    console.print(_points(report))
    for line in _sentences(report):
        console.print(line, markup=False)
    _verdict(report, console.print)


def _points(report: "Report") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    table.add_column("what happens")
    table.add_column("played", justify="right")
    table.add_column("points", justify="right")
    for kind, played in report.played.items():
        table.add_row(KINDS[kind], str(played), str(report.stood_for[kind]))
    return table


def _sentences(report: "Report") -> Iterator[str]:
    for service, members in report.members.items():
        least, cut = report.least.get(service, 0), report.cut.get(service, 0)
        in_service = f"at least {least} of {members} members in service at every moment of every window"
        yield f"  {service}: {in_service}, {cut} requests cut by a stop"
    yield f"  as found by itself: {report.by_itself}"
    yield f"  as found after `rollsafe recover` from another machine: {report.after_recover}"
    yield f"  needed a person first (exit 30 or 40), and was as found after recover: {report.by_a_person}"
    yield f"  not as found: {report.not_as_found}"
    for need in sorted(report.needs.values(), key=lambda need: -need.points):
        yield f"    {need.points:5} x exit {need.exit_code}: {need.why}"
        yield f"          such as {shorten(need.example, EXAMPLE_CHARS, placeholder=' …')}"


def _verdict(report: "Report", say: Callable[..., None]) -> None:
    say()
    for broken in sorted(report.broken.values(), key=lambda broken: -broken.points):
        say(f"  {broken.invariant} broke at {broken.points} points: {broken.message}", markup=False)
        for where in broken.where:
            say(f"      {where}", markup=False)
    if report.faultless.get("exit_code") != 0:
        say(f"The run without a fault ends with {report.faultless.get('exit_code')}: {report.faultless['message']}")
    points = sum(report.stood_for.values())
    names = ", ".join(sorted({broken.invariant for broken in report.broken.values()}))
    told = f"these invariants broke: {names}" if names else "no invariant broke"
    say(
        f"{points} points, {report.points} of them played and the rest equal to one that was; {told}. "
        f"Times were shortened, and only they. {report.took_s:.0f} s.",
        markup=False,
    )
