"""The answer of a gate: never a bare bool."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """A gate's answer: its name, whether it lets pass, a reason in numbers, and what would change it."""

    gate: str
    allowed: bool
    reason: str
    remedy: str = ""
    warning: str = ""  # allowed, but a person should know
    about: str = ""  # what it was asked of, where the same is asked for each node
