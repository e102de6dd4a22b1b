"""The journal's sentence, which is the event that listeners get: one vocabulary for both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened, will happen (an intent), or was seen.

    `at_s` counts seconds on the run's own clock (the greater of monotonic and wall time since the run started);
    `time` is the wall clock, RFC 3339 in UTC. `data` holds only JSON values.
    """

    run: str
    seq: int
    type: str
    time: str
    at_s: float
    message: str = ""
    node: str | None = None
    service: str | None = None
    balancer: str | None = None
    endpoint: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
