"""What the nodes' turns took in the last runs of a cluster, for estimates."""

from collections.abc import Iterable

from rollsafe.errors import InvalidInput, JournalError
from rollsafe.journal.store import Store
from rollsafe.model.plan import Plan
from rollsafe.model.record import Record

LAST_RUNS = 10


def past_turns(store: Store, cluster: str, nodes: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Of each of these nodes, latest first: the seconds of each turn that restarted it, without its `healthy_for` and
    `soak`.

    Of the last runs that restarted the node: refused ones, and those of other nodes, take nothing away. A run that is
    damaged, or of another version, is passed over. Raises JournalError where the file can't be used.
    """
    took: dict[str, dict[str, float]] = {}
    turns: dict[str, tuple[float, ...]] = {}
    for node in nodes:
        runs = store.runs_that_restarted(cluster, node, LAST_RUNS)
        took |= {run: _turns_of(store, run) for run in runs if run not in took}
        if each := tuple(took[run][node] for run in runs if node in took[run]):
            turns[node] = each
    return turns


def _turns_of(store: Store, run: str) -> dict[str, float]:
    try:
        plan = store.plan(run)
        return {} if plan is None else _turns(store.records(run), plan)
    except (InvalidInput, JournalError):
        return {}


def _turns(records: Iterable[Record], plan: Plan) -> dict[str, float]:
    waits_s = plan.policy.healthy_for_s + plan.policy.soak_s
    began: dict[str, float] = {}
    took: dict[str, float] = {}
    for record in records:
        if record.type == "run.resumed":
            began.clear()  # what lay between was nobody's work
        elif record.type == "node.started" and record.node:
            began[record.node] = record.at_s
        elif record.type == "node.finished" and record.node in began and record.data.get("outcome") == "restarted":
            took[record.node] = max(0.0, record.at_s - began[record.node] - waits_s)
    return took
