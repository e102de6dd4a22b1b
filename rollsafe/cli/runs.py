"""`rollsafe runs`: the runs that this machine knows, latest first."""

from typing import TYPE_CHECKING, Annotated

import typer

from rollsafe.cli import common
from rollsafe.cli.common import Output

if TYPE_CHECKING:
    from rollsafe.journal.store import RunRow


def runs(
    inventory: common.InventoryOption = None,
    output: common.OutputOption = Output.TEXT,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 20,
    verbose: common.VerboseOption = 0,
    log_file: common.LogFileOption = None,
) -> None:
    """List the runs that this machine knows, latest first.

    Example: rollsafe runs --limit 5
    """
    common.begin(verbose, log_file)
    from rollsafe.cli.history import history

    with history(inventory) as store:
        rows = store.runs(limit) if store.file.exists() else []
    if output is Output.JSON:
        for seq, row in enumerate(rows, 1):
            typer.echo(_as_json(row, seq))
    elif rows:
        typer.echo(_table(rows))
    else:
        typer.echo(f"No run yet in {store.file}. Where an inventory has a `state`, name it: -i FILE")


def _as_json(row: "RunRow", seq: int) -> str:
    from dataclasses import asdict

    return common.object_line("run", asdict(row), run=row.run, seq=seq)


def _table(rows: "list[RunRow]") -> str:
    cells = [("RUN", "CLUSTER", "STARTED", "OUTCOME", "EXIT", "WHO", "REASON")]
    for row in rows:
        code = "" if row.exit_code is None else str(row.exit_code)
        who = f"{row.who.who}@{row.who.host}"
        cells.append((row.run, row.cluster, row.started, row.outcome or "no end", code, who, row.who.reason))
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(_printable(line) for line in lines)


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else " " for c in line).rstrip()
