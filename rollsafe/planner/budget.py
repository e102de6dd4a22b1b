"""How much failure a probe may show: past the soft limit no other node is begun, past the hard one the run stops."""

from collections.abc import Iterable

from rollsafe.model.reading import ProbeSummary
from rollsafe.model.settings import ProbeSettings
from rollsafe.planner.readings import Budget, Level


def spent(probes: Iterable[ProbeSettings], summaries: Iterable[ProbeSummary]) -> Budget:
    """The worst of the probes' budgets."""
    settings = {(probe.service, probe.name): probe for probe in probes}
    judged = [judge_budget(settings[seen.service, seen.name], seen) for seen in summaries]
    return max(judged, key=lambda budget: (budget.level, not budget.over), default=Budget())


def judge_budget(settings: ProbeSettings, summary: ProbeSummary) -> Budget:
    """Hold what the probe has seen against its limits. Each limit may be reached; past it is past it."""
    who = f"the {summary.service} probe {summary.name}"
    if broken := _hard(settings, summary):
        return Budget(Level.STOP, f"{who}: {broken}", f"see why {settings.url} failed before the next run")
    if held := _soft(settings, summary, who):
        return held
    longest = f", longest outage {_seconds(summary.longest_outage_s)}" if summary.failed else ""
    reason = f"{who}: {summary.failed} of {summary.probes} failed{longest} (allowed {_seconds(settings.max_outage_s)})"
    return Budget(Level.FINE, reason)


def quiet_limit_s(settings: ProbeSettings) -> float:
    """How long a probe may be without an answer before it counts as stalled: its time-out, two turns and 2 s."""
    return 2 * settings.interval_s + settings.timeout_s + 2.0


def _hard(settings: ProbeSettings, summary: ProbeSummary) -> str:
    if summary.longest_outage_s > settings.max_outage_s:
        going_on = " and going on" if summary.outage_s == summary.longest_outage_s else ""
        longest, allowed = _seconds(summary.longest_outage_s), _seconds(settings.max_outage_s)
        return f"an outage of {longest}{going_on}, at most {allowed} is allowed (max_outage)"
    if settings.max_failures is not None and summary.failed > settings.max_failures:
        return f"{summary.failed} failed, at most {settings.max_failures} are allowed (max_failures)"
    if settings.max_rejections is not None and summary.rejected > settings.max_rejections:
        allowed = f"at most {settings.max_rejections} may" if settings.max_rejections else "none may"
        many = f"{summary.rejected} got an unexpected 401, 403 or 404, {allowed} (max_rejections)"
        return f"{many}: an identity provider takes that for a wrong job, and may give it up"
    row = settings.max_failures_in_a_row
    most = max(summary.most_failed_in_a_row, summary.failed_in_a_row)  # a row may begin and end between two looks
    if row is not None and most > row:
        return f"{most} failed in a row, at most {row} are allowed (max_failures_in_a_row)"
    return ""


def _soft(settings: ProbeSettings, summary: ProbeSummary, who: str) -> Budget | None:
    """Why no other node is begun, and what changes that. What has failed for too long once is not forgotten."""
    failing = _failing(settings, summary)
    hold_s = settings.hold_outage_s
    if hold_s is not None and summary.longest_outage_s > hold_s:
        longest = _seconds(summary.longest_outage_s)
        reason = f"an outage of {longest}, past {_seconds(hold_s)} (hold_outage) no other node is begun"
        remedy = f"it does not open in this run any more: see why {settings.url} failed before the next one"
        return Budget(Level.HOLD, f"{who}: {reason}", remedy, over=not failing)
    opens = f"it opens when {settings.url} answers as expected"
    return Budget(Level.HOLD, f"{who}: {failing}", opens) if failing else None


def _failing(settings: ProbeSettings, summary: ProbeSummary) -> str:
    """What is wrong with the probe just now; empty where nothing is."""
    if summary.failed_in_a_row:
        detail = summary.last.evidence.detail if summary.last else ""
        words = f"failing for {_seconds(summary.outage_s)}, {summary.failed_in_a_row} in a row"
        return f"{words}: {detail}" if detail else words
    if summary.unread_for_s > quiet_limit_s(settings):
        return f"no answer of it for {_seconds(summary.unread_for_s)}: the prober stalls, which is no success"
    return "nothing was asked yet" if summary.probes == 0 else ""


def _seconds(value: float) -> str:
    return f"{value:.1f} s"
