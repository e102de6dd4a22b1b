"""The rules of the house are written down where the tools read them, and every exception has its reason."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.house.tree import ROOT, python_files

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IGNORE = re.compile(r"#\s*(noqa|type:\s*ignore)(?P<codes>[:\[][^#]*?)?(?P<rest>$|\s+[-#].*$)")
LIMITS_OF_SOCKETS = {"drivers/ssh/deadline.py", "drivers/balancers/deadline.py"}  # they end a real read, no wait
LONGEST_FUNCTION = 70
LONGEST_FILE = 500


def ignores() -> list[tuple[str, str]]:
    """(place, comment) of each ignore outside of texts."""
    found = []
    for path in python_files():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            at = min(
                (line.find(word) for word in ("# noqa", "# type: ignore", "# pragma: no cover") if word in line),
                default=-1,
            )
            if at >= 0 and path.name != "test_rules.py":
                found.append((f"{path.relative_to(ROOT)}:{number}", line[at:]))
    return found


def has_reason(comment: str) -> bool:
    """An ignore names its codes, and says why after a dash or in a second comment."""
    named = re.match(r"# (noqa: [A-Z0-9, ]+|type: ignore\[[a-z0-9, -]+\]|pragma: no cover)", comment)
    if named is None:
        return False
    words = re.sub(r"^[\s#:\-,]+", "", comment[named.end() :])
    return len(words.split()) >= 2


def test_every_ignore_names_its_rule_and_its_reason() -> None:
    bare = [f"{place}: {comment}" for place, comment in ignores() if not has_reason(comment)]
    assert bare == [], "\n".join(bare)


@pytest.mark.parametrize(
    ("comment", "good"),
    [
        ("# noqa: PLC0415 - help needs no logging", True),
        ("# type: ignore[override] # typer's own type is private", True),
        ("# noqa: PLC0415", False),
        ("# noqa", False),
        ("# type: ignore", False),
        ("# type: ignore[override]", False),
    ],
)
def test_what_counts_as_a_reason(comment: str, good: bool) -> None:
    assert has_reason(comment) is good


def functions(path: Path) -> list[tuple[str, int]]:
    nodes = ast.walk(ast.parse(path.read_text()))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [(node.name, (node.end_lineno or 0) - node.lineno + 1) for node in nodes if isinstance(node, kinds)]


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {name} has {lines} lines"
        for path in python_files()
        for name, lines in functions(path)
        if lines > LONGEST_FUNCTION
    ]
    assert long == [], "\n".join(long)


def test_no_module_of_rollsafe_does_too_much() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in python_files()
        if path.is_relative_to(ROOT / "rollsafe") and (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    }
    assert long == {}


def test_the_tools_are_strict() -> None:
    tools = PYPROJECT["tool"]
    assert tools["mypy"]["strict"] is True
    assert tools["pytest"]["ini_options"]["filterwarnings"][0] == "error"
    assert {"E", "F", "S", "BLE", "TID", "PL"} <= set(tools["ruff"]["lint"]["select"])


def test_every_room_has_its_place_in_the_import_rules() -> None:
    layers = " ".join(
        c["layers"] and " ".join(c["layers"]) for c in PYPROJECT["tool"]["importlinter"]["contracts"] if "layers" in c
    )
    named = set(re.findall(r"rollsafe\.(\w+)", layers))
    rooms = {p.name for p in (ROOT / "rollsafe").iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    modules = {p.stem for p in (ROOT / "rollsafe").glob("*.py")} - {"__init__", "__main__"}
    assert rooms | modules == named


def test_time_is_touched_in_one_module_only() -> None:
    banned = PYPROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert {"time.sleep", "time.time", "time.monotonic", "datetime.datetime.now"} <= set(banned)
    callers = {
        str(path.relative_to(ROOT / "rollsafe"))
        for path in python_files()
        if path.is_relative_to(ROOT / "rollsafe") and re.search(r"\btime\.(sleep|time|monotonic)\(", path.read_text())
    }
    assert {name for name in callers if not name.startswith("lab/")} <= {"clock.py", *LIMITS_OF_SOCKETS}


def test_nothing_is_printed_but_by_the_command_line() -> None:
    printing = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if path.is_relative_to(ROOT / "rollsafe")
        and not path.is_relative_to(ROOT / "rollsafe" / "cli")
        and any(
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]
    assert [name for name in printing if not name.startswith("rollsafe/lab/")] == []
