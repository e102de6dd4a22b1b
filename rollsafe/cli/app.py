"""The command line: names the commands, imports only the one that is asked for, and ends with its exit code.

Each command is one function in the module of its name (`rollsafe.cli.run.run`). It returns its exit code (None is 0) or
raises one of our errors; `rollsafe.cli.ending` turns either into text, a last JSON line and the exit code.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperGroup

from rollsafe import __version__
from rollsafe.cli.clashes import refuse_clashes
from rollsafe.cli.ending import Carried, CommandEnd, unknown_command

# In the order of a first evening with rollsafe. The texts are here, not in the modules, so that `--help` imports none.
COMMANDS = {
    "demo": "A complete cluster on this machine, and a rolling restart of it under load.",
    "init": "Write a first inventory, from questions or from a live balancer.",
    "validate": "Check inventory and playbook, without touching the network.",
    "doctor": "Try every connection, right and name that a run needs, read-only.",
    "status": "Show, node by node, admin state, health and sessions per service.",
    "plan": "Show the exact writes of a run, read from the live cluster; writes nothing.",
    "rehearse": "Rehearse on a simulated cluster: every crash point, every fault.",
    "run": "Restart the nodes one at a time.",
    "resume": "Go on with an interrupted run.",
    "recover": "Put back what an interrupted run left out, from any machine.",
    "drain": "Take one node out by hand, with the same gates.",
    "ready": "Put one node back by hand, with the same gates.",
    "restart": "Restart one drained node by hand, with the same gates.",
    "runs": "List the runs that this machine knows.",
    "show": "Show one run, step by step.",
    "report": "Write the report of a run as HTML, JUnit, Markdown or JSON.",
    "schema": "Print the JSON Schema of inventory, playbook or events.",
}

EPILOG = """\b
Examples:
  rollsafe demo
  rollsafe plan -i inventory.yml
  rollsafe run -i inventory.yml --nodes jira1,jira2 --reason CHG0042
"""


# What every command takes (common.py has those that mean something to a command).
_COMMON: dict[str, tuple[Any, Any]] = {
    "playbook": (Annotated[str, typer.Option("-p", "--playbook", hidden=True)], ""),
    "reason": (Annotated[str, typer.Option("--reason", hidden=True)], ""),
    "verbose": (Annotated[int, typer.Option("-v", "--verbose", count=True, hidden=True)], 0),
    "log_file": (Annotated[str | None, typer.Option("--log-file", hidden=True)], None),
    "no_color": (Annotated[bool, typer.Option("--no-color", hidden=True)], False),
    "yes": (Annotated[bool, typer.Option("--yes", hidden=True)], False),  # only run, resume and recover ask
}


class LazyGroup(TyperGroup):
    """Imports a command's module when the command is called, and never for `--help`."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """The commands whose module is part of this installation."""
        return [name for name in COMMANDS if find_spec(f"rollsafe.cli.{name}")]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        """The command of that name; None where there is none."""
        if cmd_name not in COMMANDS or find_spec(f"rollsafe.cli.{cmd_name}") is None:
            return None
        return build(cmd_name, getattr(import_module(f"rollsafe.cli.{cmd_name}"), cmd_name))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands, from the table above."""
        if rows := [(name, COMMANDS[name]) for name in self.list_commands(ctx)]:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Name near misses: typer looks for them in `commands`, which is empty here."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            ctx.fail(unknown_command(args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. typer has own ideas of Ctrl-C and of OSErrors; ours reach the ending untouched."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, EOFError, OSError) as error:
            raise Carried(error) from error


def build(name: str, function: Callable[..., Any]) -> Any:
    """One function as a command."""
    single = typer.Typer(rich_markup_mode=None, add_completion=False)
    single.command(name=name, help=_help(function), no_args_is_help=False)(_with_common_options(function))
    command = typer.main.get_command(single)
    parse = command.parse_args

    def parse_args(ctx: Any, args: list[str]) -> Any:
        """An option without its value is an error that knows no command: its help is that of this one."""
        try:
            return parse(ctx, args)
        except typer.TyperException as error:
            if getattr(error, "ctx", None) is None:
                vars(error)["ctx"] = ctx
            raise

    vars(command)["parse_args"] = parse_args
    return command


def _with_common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, taking every common option: a script may hand the same ones to each command. Where one means
    nothing to a command, it changes nothing and its help does not name it."""
    own = inspect.signature(function)
    more = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)
        for key, (option, default) in _COMMON.items()
        if key not in own.parameters
    ]

    def command(**values: Any) -> Any:
        refuse_clashes(values)
        return function(**{key: value for key, value in values.items() if key in own.parameters})

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own.parameters.values()]
    command.__signature__ = own.replace(parameters=[*parameters, *more])  # type: ignore[attr-defined] # as inspect reads it
    command.__annotations__ = {
        **get_type_hints(function, include_extras=True),
        **{one.name: one.annotation for one in more},
    }
    command.__doc__ = function.__doc__
    return command


def _help(function: Callable[..., Any]) -> str:
    """The function's text, with its example on a line of its own, unwrapped, so that it can be copied."""
    return re.sub(r"(?m)^Example: (.+)$", "\b\nExample:\n  \\1", inspect.getdoc(function) or "")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rollsafe {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    """Restart the nodes of a Data Center cluster one at a time, so that SCIM and the web stay reachable."""


def run_command_line(arguments: Sequence[str], hear: Callable[[], None] | None = None) -> int:
    """Run one command; returns the exit code. Every failure is told on stderr, and on stdout with `-o json`.

    `hear`: lets signals in, called where their KeyboardInterrupt ends like every other failure.
    """
    with CommandEnd(arguments) as end:
        if hear is not None:
            hear()
        end.returned(app(args=list(arguments), prog_name="rollsafe", standalone_mode=False))
    return end.exit_code
