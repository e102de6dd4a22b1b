"""Take one guard away in a copy of the tree, and see whether its test turns red."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.guards.guard import Guard

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("rollsafe", "tests", "playbooks", "pyproject.toml")
WITHIN_S = 240.0
TESTS_FAILED = 1  # pytest's exit code; 2 and more: it could not even ask


def copy_tree(to: Path) -> None:
    """What the tests need, without anything that was built."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy2(source, to / name)


def survives(guard: Guard, tree: Path) -> str:
    """Why the guard's loss goes unnoticed in this copy; empty where its test turns red. The copy is as before."""
    path = tree / guard.file
    whole = path.read_text()
    if whole.count(guard.old) != 1:
        return f"its text stands {whole.count(guard.old)} times in {guard.file}"
    try:
        path.write_text(whole.replace(guard.old, guard.new))
        code, said = run_test(guard.test, tree)
    finally:
        path.write_text(whole)
    return "" if code == TESTS_FAILED else f"{guard.test} ended with {code}: {said[-600:]}"


def run_test(test: str, tree: Path) -> tuple[int, str]:
    """The test's exit code in the copy, and what it said."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    return done.returncode, done.stdout + done.stderr
