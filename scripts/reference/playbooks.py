"""Playbooks: keys, steps with their arguments, and those that ship."""

from rollsafe.config.playbook import STEPS, load_playbook, shipped_playbooks
from rollsafe.config.schema import json_schema
from scripts.reference.table import table

_HEAD = """# Playbooks

A playbook says what happens to one node. `-p NAME` is looked for in `playbooks/` beside the inventory, then among those
that ship with rollsafe; `-p PATH` names a file. The default is `rolling-restart`. `rollsafe schema playbook` serves
editors.
"""
_ORDER = (
    "In the only order that is safe; another is refused, with the reason. `soak` may be left out. A step is a name, or "
    "a name with arguments: `- soak: {for: 5m}`. All arguments are durations.\n"
)
_MEANINGS = {
    "drain": "take the node out of every pool, the least critical service first, and wait until it is drained",
    "restart": "restart it, and prove that it was",
    "healthy": "wait until every health check has held unbroken",
    "ready": "put it back as it was found, the most critical service first",
    "soak": "watch it, the others and the probes before the next node",
}
_ARGUMENTS = {
    ("drain", "timeout"): "in place of each service's `drain.timeout`",
    ("drain", "linger"): "in place of each service's `drain.linger`",
    ("restart", "timeout"): "in place of `restart.timeout`",
    ("healthy", "for"): "in place of `policy.healthy_for`",
    ("soak", "for"): "in place of `policy.soak`",
}


def page() -> str:
    """The page of playbooks."""
    keys = json_schema("playbook")["properties"].items()
    parts = [
        _HEAD,
        table(["key", "meaning"], [[f"`{key}`", value.get("description", "")] for key, value in keys]),
        "## Steps\n",
        _ORDER,
        table(["step", "what it does", "arguments"], [_step(name) for name in STEPS]),
        "## Those that ship\n",
        *(_shipped(file.stem) for file in sorted(shipped_playbooks().glob("*.yml"))),
    ]
    return "\n".join(parts)


def _step(name: str) -> list[str]:
    arguments = "; ".join(f"`{key}`: {_ARGUMENTS[name, key]}" for key in STEPS[name])
    return [f"`{name}`", _MEANINGS[name], arguments]


def _shipped(name: str) -> str:
    book = load_playbook(name, shipped_playbooks())
    return f"* `{book.name}`: {book.description} (`{', '.join(step.name for step in book.each_node)}`)\n"
