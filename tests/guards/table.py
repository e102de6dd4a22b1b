"""Every guard that keeps a run safe: what it prevents, how it is taken away, and the test that then turns red.

A mutation is a small piece of text that stands exactly once in its file, and what it becomes. `scripts/mutate-guards`
applies each to a copy of the tree; `docs/reference/guards.md` is made from this table.
"""

from tests.guards.after_the_stop import AFTER_THE_STOP
from tests.guards.before_a_node import BEFORE_A_NODE
from tests.guards.claim_and_journal import CLAIM_AND_JOURNAL
from tests.guards.draining import DRAINING

INVARIANTS = {
    "I1": "Where the others suffice, our acts never bring a service below `min_ready` on any endpoint.",
    "I2": "At most one node is out by our hand, over all runs and machines.",
    "I3": "No stop unless every endpoint was read out after our last write, with SCIM idle.",
    "I4": "No put-back before all health gates pass, unless the node was never stopped.",
    "I5": "Every write has an earlier durable intent.",
    "I6": "An older epoch takes no node out, and restarts none whose claim was raised, but for at most one balancer "
    "write of a process that was stopped between its last look at the clock and the send; it is named.",
    "I7": "No node is begun that can't be finished, or undone, before the window ends.",
    "I8": "Recover is idempotent, restores the state as found, and a second recover writes nothing.",
    "I9": "The exit code, `left_out` and `others` are the truth, as an outside observer sees it.",
}

CHAPTERS = {
    "Before a node is taken in hand": BEFORE_A_NODE,
    "While it is drained, until it is stopped": DRAINING,
    "After the stop, until it is back": AFTER_THE_STOP,
    "The claim and the journal": CLAIM_AND_JOURNAL,
}
GUARDS = tuple(guard for chapter in CHAPTERS.values() for guard in chapter)


def page() -> str:
    """The table as the page of the reference."""
    lines = [
        "# The guards",
        "",
        "What keeps a run safe, rule by rule. Each line was proved: with the guard taken away, the named test turns",
        "red. `scripts/mutate-guards` takes each away in a copy of the tree and runs that test; `make soak` does it",
        "for all of them. This page is made by `scripts/mutate-guards --page`.",
        "",
        "The invariants that they hold:",
        "",
        *(f"- **{number}** {words}" for number, words in INVARIANTS.items()),
    ]
    for title, guards in CHAPTERS.items():
        lines += ["", f"## {title}", "", "| guard | what it prevents | invariant | the test that turns red |"]
        lines.append("|---|---|---|---|")
        lines += [f"| {g.name} | {g.prevents} | {g.invariant} | {_told(g.test)} |" for g in guards]
    return "\n".join(lines) + "\n"


def _told(test: str) -> str:
    path, _, rest = test.partition("::")
    function, _, row = rest.partition("[")
    words = f": {row[:-1]}" if row else ""
    return f"`{path}`<br>`{function}`{words}"
