"""Runs on real programs in which two or three things go wrong at once, as a seed chooses them.

A failing seed is in the message; `ROLLSAFE_SEED=SEED ROLLSAFE_WINDOWS=1 pytest -m soak tests/e2e/test_weather.py`
plays it again (as nearly as real programs can).
"""

import os
import random
from pathlib import Path

import pytest

from tests.e2e.weather import play
from tests.testbed import Testbed

pytestmark = [pytest.mark.real, pytest.mark.soak]
WINDOWS = int(os.environ.get("ROLLSAFE_WINDOWS") or 60)
FIRST = int(os.environ.get("ROLLSAFE_SEED") or random.randrange(1_000_000))


def test_two_things_go_wrong_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(FIRST, FIRST + WINDOWS):
        with Testbed(tmp_path / str(seed), scim="apache" if seed % 5 == 0 else "haproxy") as bed, capsys.disabled():
            wrong = play(bed, seed)
        assert wrong == [], "\n".join(wrong)
