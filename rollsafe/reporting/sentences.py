"""Each record as one sentence for people. Shared by the plain lines, the live view and the notifications."""

from collections.abc import Callable

from rollsafe.model.record import Record
from rollsafe.model.wording import in_a_row
from rollsafe.reporting.words import clean, names, number, place, reading, seat, state, text, took, whole

GOOD_OUTCOMES = frozenset(
    # "cut": the time allowed was used up, and for this service that is permitted; how many is told beside it
    {"", "done", "restarted", "drained", "cut"}
)

IDENTITY_CHARS = 12  # of a proof, in a sentence; the events have it whole

_DOING = {
    "drain": "draining",
    "restart": "restarting",
    "healthy": "waiting to be healthy",
    "ready": "being put back",
    "soak": "soaking",
    "claim": "the cluster is claimed",
}
_DID = {
    "drain": "drained",
    "restart": "restarted",
    "healthy": "healthy",
    "ready": "put back",
    "soak": "soaked",
}
_MODES = {
    "run": "rolling restart",
    "resume": "resumed rolling restart",
    "recover": "recovery",
    "drain": "drain by hand",
    "ready": "put back by hand",
    "restart": "restart by hand",
}


def sentence(record: Record) -> str:
    """What the record says, without time and line end. Never raises on data of an unexpected shape."""
    say = _SAY.get(record.type, _other)
    return say(record)


def good(record: Record) -> bool:
    """Did the step, node or run that this record ends go as wanted?"""
    return record.type != "restart.failed" and text(record.data, "outcome") in GOOD_OUTCOMES


def mode_words(mode: str) -> str:
    """What kind of run it is, in words."""
    return _MODES.get(mode, mode or "run")


def doing(step: str) -> str:
    """A step that goes on, in words."""
    return _DOING.get(step, step)


def _at(record: Record, words: str) -> str:
    where = place(record)
    return f"{where}: {words}" if where and not words.startswith(f"{where} ") else words


def _started(record: Record) -> str:
    data = record.data
    nodes = names(data, "nodes")
    what = f"{_list(nodes)} in " if nodes else ""  # a recovery learns from the claims which nodes there are to do
    parts = [f"{mode_words(text(data, 'mode'))} of {what}{text(data, 'cluster') or '?'}"]
    who = "@".join(part for part in (text(data, "who"), text(data, "host")) if part)
    parts += [f"by {who}"] if who else []
    parts += [f"reason: {text(data, 'reason')}"] if text(data, "reason") else []
    parts += [text(data, "url")] if text(data, "url") else []
    parts += [f"run {clean(record.run)}"]
    estimate = number(data, "estimate_s")
    parts += [f"about {took(estimate)}"] if estimate else []
    return "; ".join(parts)


def _list(members: tuple[str, ...]) -> str:
    if len(members) > 12:
        return f"{', '.join(members[:10])} and {len(members) - 10} more nodes"
    return ", ".join(members)


def _gate(record: Record) -> str:
    data = record.data
    gate, reason, remedy = text(data, "gate") or "?", text(data, "reason"), text(data, "remedy")
    answer = "yes" if data.get("allowed") else "no"
    words = f"gate {gate}: {answer}" + (f", {reason}" if reason else "")
    return _at(record, in_a_row(words, remedy if answer == "no" else ""))


def _node_started(record: Record) -> str:
    position, of = number(record.data, "position"), number(record.data, "of")
    return _at(record, f"begins, node {position:.0f} of {of:.0f}" if position and of else "begins")


def _step_started(record: Record) -> str:
    return _at(record, doing(text(record.data, "step") or "step"))


def _waiting(record: Record) -> str:
    data = record.data
    words = doing(text(data, "step") or "waiting")
    seen, goal = reading(data), text(data, "for")
    words += f": {seen}" if seen else ""
    words += f", waiting for {goal}" if goal else ""
    left = number(data, "left_s")
    return _at(record, words + (f", {took(left)} left" if left is not None else ""))


def _step_finished(record: Record) -> str:
    data = record.data
    step, outcome = text(data, "step"), text(data, "outcome")
    if good(record):
        cut = number(data, "cut")
        told = f", {cut:.0f} in flight cut" if cut else ""
        return _at(record, f"{_DID.get(step, step)}{told}")
    return _at(record, f"{step}: {outcome}{_why(record, f'{step}: {outcome}')}")


def _write_intent(record: Record) -> str:
    why = text(record.data, "why")
    return _at(record, f"will set {seat(record)} to {_change(record)}" + (f", {why}" if why else ""))


def _write_done(record: Record) -> str:
    return _at(record, f"{seat(record)} set to {_change(record)}")


def _write_failed(record: Record) -> str:
    return _at(record, f"{seat(record)} NOT set to {_change(record)}{_because(record)}")


def _change(record: Record) -> str:
    found = record.data.get("found")
    return state(record.data.get("to")) + (f" (found {state(found)})" if found is not None else "")


def _because(record: Record) -> str:
    why = clean(record.message) or text(record.data, "error") or text(record.data, "detail")
    return f": {why}" if why else ""


def _restart_done(record: Record) -> str:
    before, after = text(record.data, "identity_before"), text(record.data, "identity_after")
    words = "restart proven"
    if before and after:
        words += f": identity {_short(before)} is now {_short(after)}"
    return _at(record, words)


def _short(identity: str) -> str:
    first = identity.split(" ", maxsplit=1)[0]
    return first if len(first) <= IDENTITY_CHARS and first == identity else f"{first[:IDENTITY_CHARS]}…"


def _restart_failed(record: Record) -> str:
    return _at(record, f"the restart failed{_because(record)}")


def _probe_failed(record: Record) -> str:
    data = record.data
    status = number(data, "status")
    seen = ", ".join(part for part in (f"HTTP {status:.0f}" if status else "", text(data, "detail")) if part)
    words = f"probe {text(data, 'probe')}".rstrip() + " FAILED" + (f": {seen}" if seen else "")
    outage = number(data, "outage_s")
    return _at(record, words + (f", outage so far {took(outage)}" if outage else ""))


def _probe_recovered(record: Record) -> str:
    outage = number(record.data, "outage_s")
    words = f"probe {text(record.data, 'probe')}".rstrip() + " is good again"
    return _at(record, words + (f" after {took(outage)}" if outage is not None else ""))


def _node_finished(record: Record) -> str:
    data = record.data
    out = number(data, "out_of_service_s")
    words = text(data, "outcome") or "finished"
    words += f", out of service for {took(out)}" if out is not None else ""
    why = _why(record, f"{record.node}: {text(data, 'outcome')}") if not good(record) else ""
    return _at(record, words + why)


def _why(record: Record, said: str) -> str:
    """The record's own message, where it says more than we just said."""
    message = clean(record.message)
    return f". {message}" if message and message != said else ""


def _run_finished(record: Record) -> str:
    outcome, code = text(record.data, "outcome"), number(record.data, "exit_code")
    end = f" [{outcome}" + (f", exit {code:.0f}]" if code is not None else "]") if outcome else ""
    return (whole(record.message) or "the run ended") + end


def _signal(record: Record) -> str:
    return clean(record.message) or f"{text(record.data, 'name') or 'signal'} received"


def _other(record: Record) -> str:
    said = clean(record.message) or text(record.data, "reason") or text(record.data, "why")
    if record.type == "warning":
        return _at(record, f"warning: {said}" if said else "warning")
    return _at(record, said or clean(record.type.replace(".", " "), 80))


_SAY: dict[str, Callable[[Record], str]] = {
    "run.started": _started,
    "gate.checked": _gate,
    "node.started": _node_started,
    "step.started": _step_started,
    "step.waiting": _waiting,
    "step.finished": _step_finished,
    "write.intent": _write_intent,
    "write.done": _write_done,
    "write.failed": _write_failed,
    "restart.done": _restart_done,
    "restart.failed": _restart_failed,
    "probe.failed": _probe_failed,
    "probe.recovered": _probe_recovered,
    "node.finished": _node_finished,
    "run.finished": _run_finished,
    "signal": _signal,
}
