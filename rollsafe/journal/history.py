"""What the nodes' turns took in the last runs of a cluster, for estimates."""

from collections.abc import Iterable

from rollsafe.errors import InvalidInput, JournalError
from rollsafe.journal.store import Store
from rollsafe.model.plan import Plan
from rollsafe.model.record import Record

LAST_RUNS = 10


def past_turns(store: Store, cluster: str) -> dict[str, tuple[float, ...]]:
    """Of each node, latest first: the seconds of each turn that restarted it, without its `healthy_for` and `soak`.

    A run that is damaged, or of another version, is passed over. Raises JournalError where the file can't be used.
    """
    turns: dict[str, list[float]] = {}
    for run in store.latest_of(cluster, LAST_RUNS):
        try:
            plan = store.plan(run)
            took = {} if plan is None else _turns(store.records(run), plan)
        except (InvalidInput, JournalError):
            continue
        for node, seconds in took.items():
            turns.setdefault(node, []).append(seconds)
    return {node: tuple(each) for node, each in turns.items()}


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
