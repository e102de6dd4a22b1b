"""The exit codes."""

from rollsafe.cli.exits import ExitCode
from scripts.reference.table import table

_HEAD = """# Exit codes: the state of the cluster, not of the program
"""
_TAIL = """
Where several hold: 30, then 40, then 20. A killed process (137, 143, no `run.finished`): treat it as 40, and run
`rollsafe recover`.

* `recover`: 0 when everything is as it was found, also when there was nothing to do.
* `plan` and `doctor`: 0, 10 or 40. `status`: 0 all in service, 30 some out, 40 unread.
* `drain NODE`: 0 means that it is out because you said so.
* `rehearse`: 20 where an invariant broke.
"""


def page() -> str:
    """The page of all exit codes."""
    rows = [[f"`{int(code)}`", f"`{code.outcome}`", code.meaning] for code in sorted(ExitCode)]
    return _HEAD + "\n" + table(["code", "outcome", "meaning"], rows) + _TAIL
