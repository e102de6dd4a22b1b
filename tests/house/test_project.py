"""What a newcomer finds: the make targets, the pins, the wheel, the licence."""

import os
import re
import stat
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.house.tree import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = {"demo", "test", "check", "bench", "soak", "clean"}


def requirement_names() -> set[str]:
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    return {re.split(r"[\[<>=!~ ;]", requirement)[0].lower().replace("_", "-") for requirement in wanted}


def test_make_has_the_promised_targets() -> None:
    text = (ROOT / "Makefile").read_text()
    assert set(re.findall(r"^([a-z-]+):", text, re.MULTILINE)) >= TARGETS


def test_make_help_names_each_target() -> None:
    shown = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert {line.split()[0] for line in shown.splitlines()} >= TARGETS


def test_the_pipeline_runs_check_and_test_and_nothing_else() -> None:
    path = ROOT / ".ci" / "run"
    assert path.stat().st_mode & stat.S_IXUSR
    lines = [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert [line for line in lines if line.startswith("make")] == ["make check", "make test"]
    assert {line.split()[0].partition("=")[0] for line in lines} <= {"make", "set", "cd", "CI", "export"}


def test_every_dependency_is_pinned_to_one_version_and_to_no_address() -> None:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!]+)", line)
        assert match, f"{line!r} is no exact pin"
        pins[match.group(1).lower().replace("_", "-").replace(".", "-")] = match.group(2)
    assert requirement_names() - set(pins) == set()


@pytest.mark.parametrize("script", sorted(p.name for p in (ROOT / "scripts").iterdir() if p.is_file()))
def test_scripts_are_plain_shell_and_executable(script: str) -> None:
    path = ROOT / "scripts" / script
    if path.read_text().startswith("#!/bin/sh"):
        assert path.stat().st_mode & stat.S_IXUSR
        subprocess.run(["sh", "-n", str(path)], check=True, timeout=10)


def fake_python(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "fix"),
    [
        # a Python that is too old answers no to the first question
        ('[ "$1" = --version ] && echo "Python 3.8.1" && exit 0; exit 1', "apt install python3.11 python3.11-venv"),
        # a Python without venv answers yes, and no to the second
        ('case "$2" in *ensurepip*) exit 1;; *print*) echo python3.12;; esac; exit 0', "apt install python3-venv"),
    ],
    ids=["too-old", "no-venv"],
)
def test_a_python_that_will_not_do_gets_one_line_with_the_fix(tmp_path: Path, script: str, fix: str) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        fake_python(tmp_path, name, script)
    result = subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "find-python")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert fix in result.stderr


def test_the_licence_is_apache_2_in_full() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "9. Accepting Warranty or Additional Liability" in text
    assert PYPROJECT["project"]["license"] == "Apache-2.0"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the tree without a network."""
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "-w", str(out), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(out.glob("rollsafe-*.whl")))


def test_the_wheel_carries_playbooks_and_templates(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for playbook in (ROOT / "playbooks").glob("*.yml"):
        assert f"rollsafe/playbooks/{playbook.name}" in names
    assert "rollsafe/playbooks/rolling-restart.yml" in names
    not_code = [p for p in (ROOT / "rollsafe").rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")]
    assert {str(path.relative_to(ROOT)) for path in not_code} <= names


def test_the_wheel_carries_every_module_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    code = {name for name in wheel.namelist() if name.endswith(".py")}
    assert code == {str(p.relative_to(ROOT)) for p in (ROOT / "rollsafe").rglob("*.py")}
    strangers = {name.partition("/")[0] for name in wheel.namelist()} - {"rollsafe"}
    assert all(name.endswith(".dist-info") for name in strangers)


def test_the_wheel_has_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    info = next(name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name)
    assert "rollsafe = rollsafe.__main__:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert any(name.startswith(info) and name.endswith("LICENSE") for name in wheel.namelist())


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert heads, "each version has a heading"
    for head in heads:
        assert re.fullmatch(r"\[?(Unreleased|\d+\.\d+\.\d+)\]?( - \d{4}-\d{2}-\d{2})?", head), head
    sections = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert set(sections) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert PYPROJECT["project"]["version"] in text or "Unreleased" in text
