"""The bare words of a command line, read before they are parsed: also where they can't be."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path


def values(words: Sequence[str], *options: str) -> list[str]:
    """What stands behind these options, each time: `--name VALUE`, `--name=VALUE`, `-n VALUE`, `-nVALUE`."""
    found: list[str] = []
    for index, word in enumerate(words):
        if word in options:
            found += words[index + 1 : index + 2]
        for option in options:
            glued = f"{option}=" if option.startswith("--") else option
            if word.startswith(glued) and word != option:
                found.append(word.removeprefix(glued))
    return found


def value(words: Sequence[str], *options: str) -> str:
    """The first of them; empty where there is none."""
    return next(iter(values(words, *options)), "")


def inventory_words(paths: Sequence[Path]) -> str:
    """` -i FILE` for a command to be typed; empty where ./inventory.yml is meant anyway."""
    if len(paths) == 1 and paths[0] == Path("inventory.yml"):
        return ""
    return "".join(f" -i {shlex.quote(str(path))}" for path in paths)


def mend_command(paths: Sequence[Path]) -> str:
    """The command that puts back what is out, to be typed as it is: also where there is no terminal to be asked on."""
    unasked = "" if sys.stdin.isatty() else " --yes"
    return f"rollsafe recover{inventory_words(paths)}{unasked}"


def inventory_named(paths: Sequence[Path] | None) -> str:
    """The same for the paths of an option that may not have been given: then $ROLLSAFE_INVENTORY counts."""
    by_environment = os.environ.get("ROLLSAFE_INVENTORY", "")
    return inventory_words(paths or [Path(by_environment)] * bool(by_environment))


def inventory_said(words: Sequence[str]) -> str:
    """The same, of bare words."""
    return inventory_named([Path(name) for name in values(words, "-i", "--inventory")])
