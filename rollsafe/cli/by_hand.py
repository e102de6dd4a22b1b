"""One node by hand: `drain`, `ready` and `restart` hold the claim and ask the gates, as a run does.

Nobody is asked a question: the node was named, and nothing goes on to another.
"""

from dataclasses import replace
from functools import partial

from rollsafe.cli.common import DEFAULT_PLAYBOOK
from rollsafe.cli.conduct import Options
from rollsafe.cli.rolling import Rolling
from rollsafe.engine import session
from rollsafe.engine.by_hand import ready
from rollsafe.engine.session import is_drained
from rollsafe.errors import Refused
from rollsafe.model.plan import Plan
from rollsafe.model.wording import ended
from rollsafe.planner.outcome import in_place_of_recover
from rollsafe.planner.readings import Readings


def by_hand(options: Options, mode: str, node: str) -> int:
    """Drain, put back, or restart one node; returns the exit code."""
    rolling = Rolling(options, DEFAULT_PLAYBOOK, (node,))
    conductor = rolling.conductor
    try:
        plan, now = rolling.survey()
        plan = replace(plan, policy=replace(plan.policy, soak_s=0.0))
    except Refused as error:
        return conductor.refuse(error, mode)
    log = conductor.log(conductor.begin(plan))
    if mode == "ready":
        return conductor.conduct(log, lambda s: ready(s, plan, now))
    # asked once nobody else holds the cluster: of a dead run's node the next command is another one
    fits = partial(refuse_in_service, node=node, mend=conductor.mend) if mode == "restart" else None
    return conductor.conduct(log, lambda s: session.run(s, plan, now, mode, fits))


def refuse_in_service(plan: Plan, now: Readings, *, node: str, mend: str) -> None:
    """A node that still serves is not restarted by hand. `mend` is the command to recover with. Raises Refused."""
    why = is_drained(plan, now, node)
    if why:
        first = in_place_of_recover(mend, f"drain {node}")
        raise Refused(f"nothing was touched: {node} is not drained: {ended(why)} First: {first}")
