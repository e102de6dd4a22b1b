"""The table of guards is true: each stands in the code, its test exists, and its loss is noticed."""

import re
from pathlib import Path

import pytest

from tests.guards.guard import Guard
from tests.guards.mutate import ROOT, copy_tree, run_test, survives
from tests.guards.table import GUARDS, page

BY_NAME = {guard.name: guard for guard in GUARDS}


@pytest.mark.parametrize("name", BY_NAME)
def test_each_guard_stands_in_the_code_exactly_once(name: str) -> None:
    guard = BY_NAME[name]
    text = (ROOT / guard.file).read_text()
    assert text.count(guard.old) == 1, f"{guard.file} changed: tell tests/guards/table.py what the guard is now"
    assert guard.new != guard.old
    compile(text.replace(guard.old, guard.new), guard.file, "exec")


@pytest.mark.parametrize("name", BY_NAME)
def test_each_guards_test_exists(name: str) -> None:
    found = re.fullmatch(r"([^:]+)::(\w+)(?:\[(.+)\])?", BY_NAME[name].test)
    assert found is not None
    path, function, row = found.groups()
    text = (ROOT / path).read_text()
    assert f"def {function}(" in text
    assert row is None or f'"{row}"' in text or f"({row!r}" in text or re.search(rf"[( ]{row}[,)]", text), (
        f"{path} has no row {row!r}"
    )


def test_the_names_are_told_apart_and_there_are_many() -> None:
    assert len(BY_NAME) == len(GUARDS) >= 25


def test_the_page_is_made_from_the_table() -> None:
    there = (ROOT / "docs/reference/guards.md").read_text()
    assert there == page(), "scripts/mutate-guards --page writes it anew"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that may be broken."""
    folder = tmp_path_factory.mktemp("tree")
    copy_tree(folder)
    return folder


def test_a_loss_is_noticed_and_an_idle_change_is_not(tree: Path) -> None:
    guard = BY_NAME["fresh, 2 s"]
    assert survives(guard, tree) == ""
    idle = Guard("idle", "", "", guard.file, guard.old, guard.old.replace("<= FRESH_S", "<= FRESH_S + 0.0"), guard.test)
    assert "ended with 0" in survives(idle, tree)
    assert run_test(guard.test, tree)[0] == 0, "the copy is as before"


@pytest.mark.soak
@pytest.mark.real
@pytest.mark.parametrize("name", BY_NAME)
def test_the_loss_of_each_guard_is_noticed(name: str, tree: Path) -> None:
    assert survives(BY_NAME[name], tree) == ""
