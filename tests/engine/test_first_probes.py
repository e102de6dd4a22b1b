"""Before the claim each probe is asked; a bad one refuses the run, by its name."""

from types import SimpleNamespace
from typing import Any

import pytest

from rollsafe.engine import preflight
from rollsafe.errors import Refused
from rollsafe.model.reading import Evidence, ProbeSample


def test_a_probe_that_is_not_good_is_named_with_its_service():
    sample = ProbeSample("scim", "zbs848185728", 0.0, 0.0, good=False, latency_s=0.1, evidence=Evidence(status=502))
    world: Any = SimpleNamespace(
        probes=[SimpleNamespace(ask=lambda: sample)],
        gather=lambda questions, _: {key: ask() for key, ask in questions.items()},
    )
    clock: Any = SimpleNamespace(sleep=lambda _: None)
    with pytest.raises(Refused, match=r"the scim probe zbs848185728 was not: HTTP 502 \(request 1\)"):
        preflight.ask_probes(world, clock)
