"""Reasons node by node, as one sentence tells them."""

from collections.abc import Mapping


def bare(node: str, why: str) -> str:
    """A reason without the node's name, which an error of a connection to it begins with, and without a full stop."""
    return why.removeprefix(f"{node}: ").rstrip(".")


def told(reasons: Mapping[str, str]) -> str:
    """NODE: why; NODE: why."""
    return "; ".join(f"{node}: {bare(node, why)}" for node, why in reasons.items())


def unrepeated(text: str, already: str, reasons: Mapping[str, str]) -> str:
    """The text without those of the nodes' reasons that were told already: a changed host key is a long story."""
    known = [reason for node, why in reasons.items() if (reason := bare(node, why)) and reason in already]
    for reason in known:
        text = text.replace(reason, "as told")
    return text
