"""Two outputs in one file would lose one of them, and an output in an input would lose the inventory: both are told
before anything is opened."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rollsafe.cli.words import value, values
from rollsafe.errors import InvalidInput

OUTPUTS = ("html", "markdown", "junit", "json", "events", "log_file", "out", "export")

Named = tuple[str, Path]  # as it was typed (`--json r.json`), and the file
_outputs: list[Named] = []  # of this command


class Clash(InvalidInput):
    """An output is an input, or another output: nothing may be written there, not even how the command ended."""


def refuse_clashes(options: Mapping[str, Any]) -> None:
    """Before a command begins: may its outputs be written side by side, and beside what it reads? Raises Clash."""
    _outputs[:] = [_named(name, options[name]) for name in OUTPUTS if options.get(name)]
    if _outputs and (problems := clashes(_outputs, _inputs(options))):
        raise Clash(problems)


def refuse_journal(state: str | None) -> None:
    """The same of the journal's database, which the inventory names; it need not exist yet. Raises Clash."""
    if not _outputs:
        return
    from rollsafe.journal.place import store_path

    file = store_path(state)
    if problems := clashes(_outputs, [(f"the journal {file}", file)]):
        raise Clash(problems)


def clashes(outputs: Sequence[Named], inputs: Iterable[Named]) -> list[str]:
    """Each pair that is one file, as a sentence."""
    known: dict[tuple[Any, ...], str] = {}
    found = []
    for typed, path in inputs:
        known.update(dict.fromkeys(_keys(path), typed))
    read = set(known.values())
    for typed, path in outputs:
        other = next((known[key] for key in _keys(path) if key in known), None)
        if other in read:
            found.append(f"{typed}: is the same file as {other}, which it would spoil; name another")
        elif other is not None:
            found.append(f"{typed}: is the same file as {other}, and one would be lost; name another")
        known.update({key: typed for key in _keys(path) if key not in known})
    return found


def _keys(path: Path) -> list[tuple[Any, ...]]:
    """What two names of one file have in common: its place, behind every link, and what lies there. Nothing for a
    device or an end of a process (`/dev/stdout`): whoever names it twice knows what comes there."""
    from rollsafe.reporting.opening import own_descriptor

    if own_descriptor(path) is not None or path.is_relative_to("/proc"):
        return []
    place = os.path.realpath(path)
    try:
        there = Path(place).stat()
    except (OSError, ValueError):
        return [(place,)]
    return [] if stat.S_ISCHR(there.st_mode) else [(place,), (there.st_dev, there.st_ino)]


def _named(name: str, path: Path | str) -> Named:
    return f"--{name.replace('_', '-')} {path}", Path(path)


def _inputs(options: Mapping[str, Any]) -> Iterator[Named]:
    if "inventory" not in options:
        return
    from rollsafe.config.load import find_inventory

    try:
        inventories = find_inventory(options["inventory"])
    except InvalidInput:  # the command itself says so
        inventories = ()
    yield from ((f"the inventory {path}", path) for path in inventories)
    if options.get("plan"):
        yield f"--plan {options['plan']}", options["plan"]
    if options.get("playbook") and inventories:
        yield from _playbook(options["playbook"], inventories[-1].parent)


def _playbook(name: str, beside: Path) -> Iterator[Named]:
    from rollsafe.config.playbook import find_playbook

    try:
        file = find_playbook(name, beside)
    except InvalidInput:
        return
    yield f"the playbook {file}", file


# --- before the words could be parsed ---------------------------------------------------------------------------------


def clashes_of_words(arguments: Sequence[str]) -> list[str]:
    """The same of a command line as it was typed, which may be what is wrong."""
    outputs = [_named(name, path) for name in OUTPUTS for path in values(arguments, f"--{name.replace('_', '-')}")]
    plan = value(arguments, "--plan")
    options = {
        "inventory": [Path(path) for path in values(arguments, "-i", "--inventory")],
        "plan": Path(plan) if plan else None,
        "playbook": value(arguments, "-p", "--playbook"),
    }
    unique = dict.fromkeys(outputs)  # the same option twice is no clash: the last one counts
    return clashes(list(unique), _inputs(options)) if outputs else []
