"""README and the program say the same: commands, options, exit codes, inventories."""

import re
import shlex
import textwrap
from functools import cache
from pathlib import Path

import yaml

from rollsafe.cli.app import COMMANDS
from rollsafe.cli.exits import ExitCode
from rollsafe.config.load import load_inventory
from tests.house.test_command_line import PRESENT, rollsafe
from tests.house.tree import ROOT

README = (ROOT / "README.md").read_text()
TEXTS = {path: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]}
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(*kinds: str) -> list[str]:
    return [body for text in TEXTS.values() for kind, body in BLOCK.findall(text) if kind in kinds]


def commands_shown() -> list[list[str]]:
    """Each `rollsafe …` line of a shell block, as words; placeholders and comments are no words."""
    found = []
    for body in blocks("sh", "shell", "console", "bash", ""):
        for raw in body.replace("\\\n", " ").splitlines():
            line = raw.strip().removeprefix("$ ")
            if line.startswith(("rollsafe ", ".venv/bin/rollsafe ")):
                try:
                    found.append(shlex.split(line, comments=True)[1:])
                except ValueError:
                    continue
    return found


@cache
def options_of(command: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", rollsafe(command, "--help").stdout))


def test_the_commands_that_the_texts_show_exist_with_their_options() -> None:
    wrong = []
    for words in commands_shown():
        name = words[0] if words else ""
        if not re.fullmatch("[a-z]+", name):
            continue
        if name not in COMMANDS:
            wrong.append(f"rollsafe {name}: no such command")
        elif name in PRESENT:
            used = {w.partition("=")[0] for w in words[1:] if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", w)}
            wrong += [f"rollsafe {name} {o}: no such option" for o in sorted(used - options_of(name))]
    assert wrong == [], "\n".join(wrong)


def test_the_readme_names_every_exit_code_with_its_word() -> None:
    rows = dict(re.findall(r"^\|\s*`?(\d+)`?\s*\|\s*`?([a-z-]+)`?\s*\|", README, re.MULTILINE))
    assert rows == {str(int(code)): code.outcome for code in ExitCode}


def test_the_readme_names_every_command() -> None:
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", README)] == []


def test_yaml_in_the_texts_is_yaml() -> None:
    for body in blocks("yaml", "yml"):
        yaml.safe_load(body)


def test_every_whole_inventory_of_the_texts_is_valid(tmp_path: Path) -> None:
    whole = [body for body in blocks("yaml", "yml") if body.lstrip().startswith("cluster:")]
    assert whole, "the README shows the shortest one"
    for number, body in enumerate(whole):
        file = tmp_path / f"{number}.yml"
        file.write_text(textwrap.dedent(body))
        assert load_inventory([file]).cluster.live_nodes


def test_links_between_the_texts_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {link}"
        for path, text in TEXTS.items()
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
        if not (path.parent / link).exists()
    ]
    assert broken == [], "\n".join(broken)
