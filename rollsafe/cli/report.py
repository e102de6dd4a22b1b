"""`rollsafe report [RUN]`: the evidence of a run, from the journal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollsafe.cli import common
from rollsafe.cli.common import Output

if TYPE_CHECKING:
    from rollsafe.journal.store import Store
    from rollsafe.reporting.reports import ReportPaths


def report(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="The run's name, its beginning, or `last`.")] = "last",
    inventory: common.InventoryOption = None,
    output: common.OutputOption = Output.TEXT,
    html: common.HtmlOption = None,
    markdown: common.MarkdownOption = None,
    junit: common.JunitOption = None,
    json: common.JsonOption = None,
    verify: Annotated[
        str | None,
        typer.Option("--verify", metavar="RUN", show_default=False, help="Say whether a record of RUN was changed."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export", metavar="FILE", show_default=False, help="Write the hash-chained records as JSON Lines."
        ),
    ] = None,
    verbose: common.VerboseOption = 0,
    log_file: common.LogFileOption = None,
) -> None:
    """Write the report of a run as HTML, JUnit, Markdown or JSON; without a file, print it.

    Example: rollsafe report last --html window.html
    """
    common.begin(verbose, log_file)
    from rollsafe.cli.history import history, no_journal
    from rollsafe.errors import InvalidInput
    from rollsafe.reporting.reports import ReportPaths, unwritable

    paths = ReportPaths(html, markdown, junit, json)
    problems = paths.problems()
    if export is not None and (why := unwritable(export)):
        problems.append(f"--export {export}: {why}")
    if problems:
        raise InvalidInput(problems)
    with history(inventory) as store:
        if not store.file.exists():
            raise InvalidInput([no_journal(store.file)])
        name = store.find(verify or run)
        if verify is not None:
            _verify(store, name, output, common.inventory_words(inventory or ()))
        if export is not None:
            _export(store, name, export)
        if paths.any:
            _write(store, name, paths)
        if not (paths.any or verify or export):
            _print(store, name, output)


def _verify(store: "Store", name: str, output: Output, named: str) -> None:
    from rollsafe.errors import JournalError

    answer = store.verify(name)
    if output is Output.JSON:
        words = {"ok": answer.ok, "first_bad_seq": answer.first_bad_seq, "reason": answer.reason}
        chain = {"records": answer.records, "last_hash": answer.last_hash, "ended": answer.ended} if answer.ok else {}
        typer.echo(common.object_line("verified", {**words, **chain}, run=name))
    if not answer.ok:
        where = f" at record {answer.first_bad_seq}" if answer.first_bad_seq is not None else ""
        raise JournalError(
            f"run {name} in {store.file} is NOT as it was written{where}: {answer.reason.rstrip('.')}. "
            f"Don't use it as evidence; what is on the cluster is told by `rollsafe status{named}`."
        )
    if output is Output.TEXT:
        typer.echo(f"Run {name}: {answer.reason}. {answer.records} records, the last hash is {answer.last_hash}")
        if not answer.ended:
            typer.echo("Its end is not on record: it was killed, it still goes on, or its last records were cut off.")


def _export(store: "Store", name: str, file: Path) -> None:
    from rollsafe.errors import InvalidInput
    from rollsafe.reporting.reports import replace_file

    lines = list(store.export(name))  # to its end: only then is the chain known to be whole
    try:
        replace_file(file, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise InvalidInput([f"--export {file}: can't be written: {error.strerror or error}"]) from error
    common.tell(f"{len(lines)} lines of run {name} are in {file}")


def _write(store: "Store", name: str, paths: "ReportPaths") -> None:
    from rollsafe.errors import InvalidInput
    from rollsafe.reporting.reports import write_reports

    if problems := write_reports(paths, list(store.records(name))):
        raise InvalidInput(problems)
    files = ", ".join(str(path) for path in (paths.html, paths.markdown, paths.junit, paths.json) if path)
    common.tell(f"The report of run {name} is in {files}")


def _print(store: "Store", name: str, output: Output) -> None:
    from rollsafe.reporting.fold import account_of
    from rollsafe.reporting.markdown import markdown
    from rollsafe.reporting.summary_json import summary

    account = account_of(list(store.records(name)))
    if output is Output.JSON:
        typer.echo(common.object_line("report", summary(account), run=name))
    else:
        typer.echo(markdown(account), nl=False)
