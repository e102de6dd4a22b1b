"""Commands that a sentence proposes: the planner names them bare, and who knows the inventory completes them."""

import re

_PROPOSED = re.compile(r"`(rollsafe \w+[^`]*)`")


def completed(text: str, recover: str) -> str:
    """Each `rollsafe WORDS` of the text with the inventory (and `--yes`) of the command to recover with, so that it can
    be pasted."""
    options = recover.partition(" recover")[2]
    return _PROPOSED.sub(lambda found: f"`{found[1]}{options}`", text)
