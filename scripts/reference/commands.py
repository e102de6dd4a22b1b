"""Every command: what it does, its example, its options."""

import inspect
import re
from importlib import import_module
from typing import Any

from rollsafe.cli.app import COMMANDS, build
from scripts.reference.table import table

_HEAD = """# Commands

`rollsafe COMMAND --help` says the same. What the exit codes mean: [exit codes](exit-codes.md); what `-o json` prints:
[events](events.md).
"""
_EXAMPLE = re.compile(r"^(?:\x08\n)?Examples?:\s+(.*)", re.DOTALL)


def page() -> str:
    """The page of all commands."""
    list_of = table(["command", "what it does"], [[f"[`{name}`](#{name})", text] for name, text in COMMANDS.items()])
    return "\n".join([_HEAD, list_of, *(_section(name) for name in COMMANDS)])


def _section(name: str) -> str:
    function = getattr(import_module(f"rollsafe.cli.{name}"), name)
    command = build(name, function)
    context = command.make_context(f"rollsafe {name}", [], resilient_parsing=True)
    usage = context.get_usage().removeprefix("Usage: ")
    parts = [f"## {name}\n", f"```text\n{' '.join(usage.split())}\n```\n", *_texts(inspect.getdoc(function) or "")]
    return "\n".join([*parts, _options(command, context)])


def _texts(doc: str) -> list[str]:
    """The paragraphs; an example becomes a block to copy."""
    parts = []
    for paragraph in doc.split("\n\n"):
        example = _EXAMPLE.match(paragraph.strip())
        parts.append(f"```sh\n{_lines(example[1])}\n```\n" if example else paragraph.strip() + "\n")
    return parts


def _lines(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())


def _options(command: Any, context: Any) -> str:
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    told = [record for record in records if record is not None and "--help" not in record[0]]
    rows = [[f"`{names}`", str(text)] for names, text in told]
    return table(["argument or option", "meaning"], rows)
