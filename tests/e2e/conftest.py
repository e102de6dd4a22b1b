"""Beds for the end-to-end cases."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.testbed import Testbed

MakeBed = Callable[..., Testbed]


@pytest.fixture
def make_bed(tmp_path: Path) -> Iterator[MakeBed]:
    """Makes a bed with the asked-for parts; taken down at the end of the test."""
    with ExitStack() as stack:
        yield lambda **wishes: stack.enter_context(Testbed(tmp_path / "bed", **wishes))


@pytest.fixture
def bed(make_bed: MakeBed) -> Testbed:
    """Three nodes, SCIM behind a pair of HAProxy, web behind one, clients everywhere."""
    return make_bed()
