"""The project speaks of itself alone: no machine it was made on, no host that packages come from."""

import re

import pytest

from tests.house.tree import ROOT, tracked

# Put together from halves, so that this file does not hold what it looks for.
FORBIDDEN = {
    "a path of one machine": re.compile("/wo" + r"rk/(main|shared|\.library)|/ro" + r"ot/\."),
    "a package registry's host": re.compile(
        "|".join(
            [
                "py" + r"pi\.org",
                "python" + r"hosted\.org",
                "deb" + r"\.debian\.org",
                "index" + "-url",
                "proxy" + r"\.golang",
            ]
        )
    ),
    "how it was made": re.compile(
        "|".join(["Chat" + "GPT", "Clau" + "de", "Anth" + "ropic", r"\bLL" + r"M\b", "language " + "model"]), re.I
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == [], "\n".join(found)


def test_the_tree_was_looked_at() -> None:
    names = {str(path.relative_to(ROOT)) for path in tracked()}
    assert {"pyproject.toml", "rollsafe/errors.py", "LICENSE"} <= names
