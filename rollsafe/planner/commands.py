"""Commands that a sentence proposes: the planner names them bare, and who knows the inventory completes them."""

import re

_PROPOSED = re.compile(r"`(rollsafe \w+[^`]*)`")


def completed(text: str, recover: str) -> str:
    """Each `rollsafe WORDS` of the text with the inventory (and `--yes`) of the command to recover with, so that it can
    be pasted. One that carries it already stays as it is."""
    options = recover.partition(" recover")[2]
    return _PROPOSED.sub(lambda found: found[0] if " -i " in found[1] else f"`{found[1]}{options}`", text)


def ahead(message: str, sentence: str, command: str) -> str:
    """The message with one more sentence, told before the `To …: COMMAND` that it may end in: first the reasons,
    and then what to type, where nothing runs into it."""
    found = re.search(rf" To [a-z ]+: {re.escape(command)}(?=\s|$)", message)
    if found is None:
        return f"{message} {sentence}"
    return f"{message[: found.start()]}{message[found.end() :]} {sentence}{found[0]}"
