"""`--until 05:00` is what the clock on the wall will show, in the nights of the clock change, too."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from rollsafe.cli.app import run_command_line
from rollsafe.cli.asked import parse_until
from rollsafe.errors import InvalidInput
from tests.config.test_inventory import SMALL, write


@pytest.fixture(autouse=True)
def oslo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Oslo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("now", "told", "until"),
    [
        ("2026-11-20T22:00:00+00:00", "05:00", "2026-11-21T04:00:00+00:00"),
        ("2026-11-20T22:00:00+00:00", "23:30", "2026-11-20T22:30:00+00:00"),
        ("2026-11-20T22:00:00+00:00", "23:00", "2026-11-21T22:00:00+00:00"),
        ("2026-03-28T22:00:00+00:00", "05:00", "2026-03-29T03:00:00+00:00"),  # set on at 02:00
        ("2026-10-24T21:00:00+00:00", "05:00", "2026-10-25T04:00:00+00:00"),  # set back at 03:00
        ("2026-10-25T00:15:00+00:00", "02:30", "2026-10-25T00:30:00+00:00"),  # 02:15 for the first time
        ("2026-10-25T00:45:00+00:00", "02:30", "2026-10-25T01:30:00+00:00"),  # and once more
    ],
)
def test_a_time_of_day_is_the_next_one_on_the_wall(now: str, told: str, until: str) -> None:
    assert parse_until(told, datetime.fromisoformat(now)) == until


@pytest.mark.parametrize("told", ["25:00", "05:60", "ab:cd", "tomorrow"])
def test_what_is_no_time_is_told(told: str) -> None:
    with pytest.raises(InvalidInput, match="write 05:00"):
        parse_until(told, datetime.fromisoformat("2026-11-20T22:00:00+00:00"))


@pytest.mark.parametrize("told", ["", " "])
@pytest.mark.parametrize("words", [("run", "--yes"), ("plan",)])
def test_a_variable_that_is_not_set_makes_no_run_without_an_end(
    words: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, SMALL)
    assert run_command_line([*words, "-i", str(file), "--until", told]) == 2
    assert "--until was given, and names no time" in capsys.readouterr().err
