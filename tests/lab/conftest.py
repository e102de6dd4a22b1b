"""Labs in temporary folders, and a way to ask what is still running."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollsafe.lab.cluster import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab of three nodes that is up, with traffic."""
    with Lab(tmp_path / "lab") as built:
        yield built


def processes_of(folder: Path) -> list[str]:
    """The command lines of all live processes that name the folder, or work in it."""
    found = []
    for place in Path("/proc").iterdir():
        if not place.name.isdigit() or int(place.name) == os.getpid():
            continue
        try:
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            here = str(folder) in line or (place / "cwd").resolve().is_relative_to(folder)
        except OSError:
            continue
        if here and state != "Z":
            found.append(line)
    return found
