"""From options to a plan, and from a plan to a run: what `plan`, `run` and the commands by hand have in common."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from rollsafe.cli.conduct import Conductor, Options, ask_or_refuse
from rollsafe.config.playbook import load_playbook
from rollsafe.config.units import seconds
from rollsafe.engine import preflight, session
from rollsafe.engine.preflight import Selection
from rollsafe.errors import InvalidInput, Refused
from rollsafe.model.cluster import Cluster
from rollsafe.model.plan import Forecast, Plan
from rollsafe.planner.expand import forecast
from rollsafe.planner.readings import Readings


class Rolling:
    """One rolling restart, from the command line's words."""

    def __init__(
        self,
        options: Options,
        playbook: str,
        nodes: tuple[str, ...] | None,
        *,
        until: str | None = None,
        accept_outage: bool = False,
    ) -> None:
        self.conductor = Conductor(options)
        cluster = self.conductor.cluster
        beside = self.conductor.loaded.paths[-1].parent
        steps = load_playbook(playbook, beside).each_node
        moment = parse_until(until, self.conductor.clock.now()) if until else None
        self.selection = Selection(chosen(cluster, nodes), steps, moment, accept_outage)

    def survey(self) -> tuple[Plan, Readings]:
        """The plan, and what was read for it. Raises Refused."""
        conductor = self.conductor
        return preflight.survey(conductor.assembled.world, conductor.cluster, self.selection, conductor.run_clock)

    def forecast(self) -> Forecast:
        """What `plan` shows."""
        plan, now = self.survey()
        return forecast(plan, now, self.conductor.loaded.warnings)

    def run(self, *, plan_file: Path | None, yes: bool, mode: str = "run") -> int:
        """The rolling restart; returns the exit code."""
        conductor = self.conductor
        told = None
        if plan_file is not None:
            from rollsafe.journal.codec import read_plan  # noqa: PLC0415 - only for --plan

            told = read_plan(plan_file)
        try:
            plan, now = self.survey()
            if told is not None:
                refuse_drift(told, plan)
            ask_or_refuse(question(plan), yes=yes or told is not None)
        except Refused as error:
            return conductor.refuse(error)
        log = conductor.log(conductor.begin(plan))
        return conductor.conduct(log, lambda s: session.run(s, plan, now, mode))


def chosen(cluster: Cluster, nodes: tuple[str, ...] | None) -> tuple[str, ...]:
    """The nodes to restart, in order. Raises InvalidInput for one that is unknown or excluded."""
    live = tuple(node.name for node in cluster.live_nodes)
    if nodes is None:
        return live
    problems = []
    for name in nodes:
        excluded = next((n.excluded for n in cluster.nodes if n.name == name and n.excluded is not None), None)
        if excluded is not None:
            problems.append(f"--nodes: {name} is excluded in the inventory: {excluded}")
        elif name not in live:
            problems.append(f"--nodes: there is no node {name}; there are: {', '.join(live)}")
    if problems:
        raise InvalidInput(problems)
    return nodes


def question(plan: Plan) -> str:
    """What is asked before a run."""
    names = ", ".join(node.name for node in plan.nodes)
    minutes = plan.node_estimate_s * len(plan.nodes) / 60
    return f"Restart {names} of {plan.cluster}, one at a time, about {minutes:.0f} min?"


def refuse_drift(told: Plan, plan: Plan) -> None:
    """A plan that no longer fits is refused, with what has changed. Raises Refused."""
    changed = [
        name
        for name in ("cluster", "nodes", "all_nodes", "services", "members", "each_node", "policy", "window")
        if getattr(told, name) != getattr(plan, name)
    ]
    if changed:
        raise Refused(
            f"nothing was touched: the plan no longer fits the cluster: {', '.join(changed)} changed since it was "
            "made; make it anew: rollsafe plan --out"
        )


def duration_s(option: str, told: str | None) -> float:
    """An option's duration in seconds; 0 where it was not given. Raises InvalidInput."""
    if told is None:
        return 0.0
    try:
        return seconds(told)
    except ValueError as error:
        raise InvalidInput([f"{option} {told}: {error}"]) from error


def parse_until(told: str, now: datetime) -> str:
    """`--until`: `05:00` (the next one, local time), or a moment as RFC 3339. Raises InvalidInput."""
    try:
        if len(told) == len("05:00") and told[2] == ":":
            local = now.astimezone()
            moment = local.replace(hour=int(told[:2]), minute=int(told[3:]), second=0, microsecond=0)
            if moment <= local:
                moment += timedelta(days=1)
        else:
            moment = datetime.fromisoformat(told)
            if moment.tzinfo is None:
                moment = moment.astimezone()
    except ValueError as error:
        raise InvalidInput([f"--until {told}: write 05:00 (local time), or 2026-12-01T05:00:00+01:00"]) from error
    if moment <= now:
        raise InvalidInput([f"--until {told} is in the past"])
    return moment.astimezone(UTC).isoformat()
