"""From options to a plan, and from a plan to a run: what `plan`, `run` and the commands by hand have in common."""

from dataclasses import replace
from pathlib import Path

from rollsafe.cli.asked import parse_until
from rollsafe.cli.common import DEFAULT_PLAYBOOK, chosen, inventory_words
from rollsafe.cli.conduct import Conductor, Options, ask_or_refuse
from rollsafe.cli.drifting import anew, refuse_drift
from rollsafe.cli.past import past_of
from rollsafe.config.playbook import load_playbook
from rollsafe.config.units import seconds
from rollsafe.engine import preflight, session
from rollsafe.engine.preflight import Selection
from rollsafe.errors import InvalidInput, Refused
from rollsafe.model.plan import Plan, PlannedStep, PlannedWrite
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
        self._beside = self.conductor.loaded.paths[-1].parent
        steps = load_playbook(playbook, self._beside).each_node
        moment = parse_until(until, self.conductor.clock.now()) if until is not None else None
        self._nodes, self._until, self._playbook = nodes, moment, playbook
        self.selection = Selection(
            chosen(cluster, nodes), steps, moment, accept_outage, past_of(cluster), playbook=playbook
        )

    def survey(self) -> tuple[Plan, Readings]:
        """The plan, and what was read for it. Raises Refused."""
        conductor = self.conductor
        return preflight.survey(conductor.assembled.world, conductor.cluster, self.selection, conductor.run_clock)

    def run(self, *, plan_file: Path | None, yes: bool, mode: str = "run") -> int:
        """The rolling restart; returns the exit code. Raises InvalidInput for a file that is no plan."""
        conductor = self.conductor
        told = self._read(plan_file) if plan_file is not None else None
        again = "" if plan_file is None or told is None else self._anew(plan_file, told[0])
        try:
            if told is not None:
                self.selection = self._told(told[0], again)
            plan, now = self.survey()
            ask_or_refuse(question(plan), yes=yes or told is not None)
        except Refused as error:
            return conductor.refuse(error)
        log = conductor.log(conductor.begin(plan))
        return conductor.conduct(log, lambda s: session.run(s, plan, now, mode, _fits(told, again)))

    def _read(self, file: Path) -> tuple[Plan, tuple[PlannedWrite, ...]]:
        from rollsafe.journal.codec import read_planned

        return read_planned(file, self._anew(file, None))

    def _anew(self, file: Path, told: Plan | None) -> str:
        live = [node.name for node in self.conductor.cluster.live_nodes]
        return anew(file, inventory_words(self.conductor.loaded.paths), told, live)

    def _told(self, plan: Plan, again: str) -> Selection:
        """What a plan's file chose. Raises Refused where the command line or the inventory says otherwise."""
        nodes = tuple(node.name for node in plan.nodes)
        if self._nodes is not None and self._nodes != nodes:
            raise Refused(f"nothing was touched: --nodes does not fit the plan, which restarts {', '.join(nodes)}")
        live = [node.name for node in self.conductor.cluster.live_nodes]
        if gone := [name for name in nodes if name not in live]:
            raise Refused(
                f"nothing was touched: the plan restarts {', '.join(gone)}, which the inventory has no more. "
                f"Make it anew: {again}"
            )
        until = min((u for u in (plan.until, self._until) if u is not None), default=None)
        accepted = plan.accept_outage or self.selection.accept_outage
        name = plan.playbook if self._playbook == DEFAULT_PLAYBOOK and plan.playbook else self._playbook
        return replace(
            self.selection,
            nodes=nodes,
            steps=self._steps(name),
            until=until,
            accept_outage=accepted,
            playbook=name,
        )

    def _steps(self, playbook: str) -> tuple[PlannedStep, ...]:
        """The playbook of the plan's file, as it is now. Raises Refused where it is gone or makes no sense any more."""
        try:
            return load_playbook(playbook, self._beside).each_node
        except InvalidInput as error:
            raise Refused(f"nothing was touched: the plan's playbook can't be used any more: {error}") from error


def _fits(told: tuple[Plan, tuple[PlannedWrite, ...]] | None, again: str) -> session.Fits | None:
    """Refuses what is not the plan of the file; None where no file was given."""
    if told is None:
        return None
    return lambda plan, now: refuse_drift(told[0], plan, told[1], forecast(plan, now).writes, again)


def question(plan: Plan) -> str:
    """What is asked before a run."""
    names = ", ".join(node.name for node in plan.nodes)
    minutes = plan.expected_s() / 60
    return f"Restart {names} of {plan.cluster}, one at a time, about {minutes:.0f} min?"


def duration_s(option: str, told: str | None) -> float:
    """An option's duration in seconds; 0 where it was not given. Raises InvalidInput."""
    if told is None:
        return 0.0
    try:
        return seconds(told)
    except ValueError as error:
        raise InvalidInput([f"{option} {told}: {error}"]) from error
