"""What `plan` does: one whole look, the forecast from it, and every answer that a run would be given now."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rollsafe.cli.asked import Asked
from rollsafe.cli.common import inventory_words
from rollsafe.cli.exits import ExitCode
from rollsafe.cli.looking import Looking, NodeSight, Sight, look, painter, print_json, print_lines, said
from rollsafe.cli.past import past_of
from rollsafe.cli.words import mend_command
from rollsafe.engine.preflight import Selection, plan_of
from rollsafe.errors import Effect, InvalidInput, PortError, Refused
from rollsafe.model.claim import ClaimRecord
from rollsafe.model.cluster import Cluster
from rollsafe.model.plan import Forecast, Plan
from rollsafe.model.reading import Unread
from rollsafe.model.verdict import Verdict
from rollsafe.model.wording import ended
from rollsafe.planner import gates
from rollsafe.planner.commands import completed
from rollsafe.planner.expand import find_members, forecast
from rollsafe.planner.latency import too_slow
from rollsafe.reporting.plan_view import PlanShown, plan_json, plan_lines
from rollsafe.reporting.status_view import claim_words

WITHIN_S = 30.0  # everything is asked side by side; the slowest limits of a usual inventory are 10 s


class Planning:
    """One `plan`. Raises InvalidInput where the journal's folder makes no sense."""

    def __init__(self, asked: Asked, selection: Selection) -> None:
        self.looking = Looking(asked, asked.cluster)
        try:
            self.selection = replace(selection, past=past_of(asked.cluster))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of every connection."""
        self.looking.close()

    def show(self, out: Path | None, *, as_json: bool, no_color: bool) -> int:
        """Look, show, and write the file. Raises Refused (10) where a run would be refused, PortError (40) where
        something could not be read: both after everything was shown."""
        looking = self.looking
        sight = look(looking.assembled, looking.cluster, looking.run_clock, rights=True, probes=True, within_s=WITHIN_S)
        told, whole = self._forecast(sight)
        code, message = _ending(told)
        if out is not None and whole:
            self._write(out, told)
        restarts = {node.name: _restart(looking.cluster, node.name) for node in told.plan.nodes}
        file = str(out) if out is not None and whole else None
        stamp = looking.run_clock.stamp()
        shown = PlanShown(
            told, restarts, code.outcome, int(code), message, stamp, file, inventory_words(looking.loaded.paths)
        )
        if as_json:
            print_json(plan_json(shown))
        else:
            print_lines(plan_lines(shown, painter(no_color)))
        if out is not None and not whole:
            message += f" {out} was not written: the plan is not whole."
        if code is ExitCode.REFUSED:
            raise Refused(message)
        if code is ExitCode.UNKNOWN:
            raise PortError(message, effect=Effect.NONE)
        if not as_json:
            print_lines([message])
        return int(code)

    def _forecast(self, sight: Sight) -> tuple[Forecast, bool]:
        """The forecast, and whether every member of it was found."""
        cluster = self.looking.cluster
        members, problems = find_members(cluster, sight.readings.pools)
        told = forecast(plan_of(cluster, members, self.selection), sight.readings, self.looking.loaded.warnings)
        unread = sight.unread()
        strangers = [Verdict("members", False, text) for text in problems if text not in unread]
        verdicts = [
            *_run_verdicts(sight, inventory_words(self.looking.loaded.paths)),
            *_unprovable(told.plan, sight),
            *(("", verdict) for verdict in strangers),
            *told.verdicts,
        ]
        mend = mend_command(self.looking.loaded.paths)
        told = replace(
            told,
            verdicts=tuple((node, replace(said, remedy=completed(said.remedy, mend))) for node, said in verdicts),
            unchecked=tuple(dict.fromkeys([*unread, *told.unchecked])),
            expected_s=min(told.expected_s, told.longest_s),
        )
        return told, not problems

    def _write(self, out: Path, told: Forecast) -> None:
        from rollsafe.journal.codec import forecast_to_json, plan_text
        from rollsafe.reporting.reports import replace_file

        details: Mapping[str, Any] = {
            key: value for key, value in forecast_to_json(told).items() if key not in ("plan", "writes")
        }
        text = plan_text(told.plan, details, told.writes)
        try:
            replace_file(out, text)
        except OSError as error:
            raise InvalidInput([f"--out {out}: the plan can't be written: {error.strerror or error}"]) from error


def _run_verdicts(sight: Sight, named: str) -> Iterator[tuple[str, Verdict]]:
    """The answers that concern the whole run, in the order in which a run asks. `named` is the ` -i FILE` of a command
    to be typed."""
    for node, seen in sight.nodes.items():
        if not seen.unreachable:
            yield from ((node, verdict) for verdict in _ssh(node, seen))
    for verdict in sight.admin.values():
        if not verdict.warning:
            yield "", verdict
    for no in too_slow(sight.readings.pools).values():
        yield "", no
    for name, sample in sight.probes:
        good = sample is not None and sample.good
        reason = f"{name} through its balancer: {said(sample)}"
        yield "", Verdict("probe", good, reason, "" if good else "a run needs each probe good five times running")
    yield "", _claim(sight.nodes, named)


def _unprovable(plan: Plan, sight: Sight) -> Iterator[tuple[str, Verdict]]:
    """The nodes whose restart could not be proved."""
    for node in plan.nodes:
        no = sight.unprovable(node.name, tuple(service.name for service in plan.services))
        if no is not None:
            yield node.name, no


def _ssh(node: str, seen: NodeSight) -> Iterator[Verdict]:
    problems = [text for text in dict.fromkeys((seen.identity, seen.rights)) if text]
    if isinstance(seen.claim, Unread) and seen.claim.reason not in problems:
        problems.append(seen.claim.reason)
    for text in problems:
        yield Verdict("ssh", False, text.removeprefix(f"{node}: "))
    if not problems:
        yield Verdict("ssh", True, "reached; may restart, and may claim")


def _claim(nodes: Mapping[str, NodeSight], named: str) -> Verdict:
    claims = {node: seen.claim for node, seen in nodes.items() if isinstance(seen.claim, ClaimRecord)}
    if not claims:
        asked = sum(1 for seen in nodes.values() if seen.claim is None)
        return Verdict("claim", True, f"no claim on {asked} of {len(nodes)} nodes")
    record = max(claims.values(), key=lambda claim: claim.token.revision)
    told = claim_words(record, "ended" if record.released else "unknown")
    reason = f"the cluster is claimed, on {', '.join(claims)}, by {told}"
    remedy = f"`rollsafe status{named}` says whether it lives; wait for one that does (run --wait-for-lock 30m); "
    return Verdict("claim", False, reason, remedy + f"a dead one's: rollsafe recover{named}")


def _restart(cluster: Cluster, node: str) -> str:
    settings = next(n.restart for n in cluster.live_nodes if n.name == node)
    return f"systemctl restart {settings.unit}" if settings.unit else settings.command or ""


def _ending(told: Forecast) -> tuple[ExitCode, str]:
    """What a run would be told now. What could not be read counts before what was answered with no."""
    noes = [(node, no) for node, verdict in told.verdicts for no in gates.refusals((verdict,))]
    if told.unchecked:
        return ExitCode.UNKNOWN, f"Not everything could be read: {ended('; '.join(told.unchecked))}"
    if noes:
        return ExitCode.REFUSED, f"A run would be refused now: {gates.in_words(noes)}"
    names = ", ".join(node.name for node in told.plan.nodes)
    return ExitCode.DONE, f"A run could begin now: {len(told.writes)} writes, and a restart of {names}."
