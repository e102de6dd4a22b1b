"""Records, folded into an Account. Pure, and tolerant: a strange record is left out, never fatal."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rollsafe.model.record import Record
from rollsafe.reporting.account import Account, Curve, Gate, Landing, NodeAccount, Note, Outage, ProbeView, Span, Write
from rollsafe.reporting.sentences import sentence
from rollsafe.reporting.words import clean, names, number, seat, state, text, whole

MOST_NOTES = 500
MOST_OUTAGES = 2000
MOST_FAILED = 4000


def account_of(records: Iterable[Record]) -> Account:
    """The account of one run, from its records in order."""
    fold = Fold()
    for record in records:
        fold.add(record)
    return fold.end()


class Fold:
    """The fold under way: records in, an account out."""

    def __init__(self) -> None:
        self.account = Account()
        self.now_s = 0.0
        self._shift_s = 0.0  # a resumed run's clock starts anew; its records come after the former ones all the same
        self._open_writes: dict[tuple[str, ...], Write] = {}
        self._open_outages: dict[str, Outage] = {}
        self._last_gate: dict[tuple[str, str], Gate] = {}

    def add(self, record: Record) -> None:
        """One record, in order."""
        at_s = record.at_s + self._shift_s
        if at_s < self.now_s - 1.0 and record.type == "run.started":
            self._shift_s = self.now_s - record.at_s
        self.now_s = max(self.now_s, record.at_s + self._shift_s)
        self.account.records += 1
        handle = _HANDLERS.get(record.type)
        if handle is not None:
            with contextlib.suppress(TypeError, ValueError, KeyError, AttributeError):
                handle(self, record)

    def end(self) -> Account:
        """The account of all that was added."""
        account = self.account
        account.duration_s = max(account.duration_s, self.now_s)
        for node in account.nodes.values():
            if not node.outcome and node.spans:
                node.outcome = "unknown"
        return account

    # --- the handlers ------------------------------------------------------------------------------------------

    def started(self, record: Record) -> None:
        account, data = self.account, record.data
        if account.started:
            self._note(record)
        account.run, account.mode = clean(record.run), text(data, "mode") or account.mode
        account.started = account.started or clean(record.time)
        for key in ("cluster", "who", "host", "pid", "reason", "url"):
            setattr(account, key, text(data, key) or getattr(account, key))
        account.services = names(data, "services") or account.services
        account.estimate_s = number(data, "estimate_s") or account.estimate_s
        account.outcome, account.exit_code, account.message = "", None, ""
        for name in names(data, "nodes"):
            account.nodes.setdefault(name, NodeAccount(name))

    def gate(self, record: Record) -> None:
        data = record.data
        gate = Gate(
            self.now_s,
            clean(record.node or ""),
            text(data, "gate"),
            bool(data.get("allowed")),
            text(data, "reason") or clean(record.message),
            text(data, "remedy"),
        )
        last = self._last_gate.get((gate.node, gate.name))
        if last is not None and (last.allowed, last.reason) == (gate.allowed, gate.reason):
            last.times += 1
            return
        self._last_gate[gate.node, gate.name] = gate
        self.account.gates.append(gate)
        if not gate.allowed:
            self._note(record)

    def node_started(self, record: Record) -> None:
        self._node(record).outcome = ""

    def step_started(self, record: Record) -> None:
        step = text(record.data, "step")
        if step != "maint":  # the second half of a drain, which ends both
            self._open(record, step)

    def restart_intent(self, record: Record) -> None:
        self._open(record, "restart")

    def restart_done(self, record: Record) -> None:
        data = record.data
        before, after = text(data, "identity_before"), text(data, "identity_after")
        self._node(record).restart_proof = f"{before} → {after}" if before or after else ""
        self._close(record, "restart", "done")

    def restart_failed(self, record: Record) -> None:
        self._close(record, "restart", "failed")

    def step_finished(self, record: Record) -> None:
        step = text(record.data, "step")
        self._close(record, step, text(record.data, "outcome") or "done")
        self._active(record, record.data)
        if number(record.data, "cut"):
            self._note(record)

    def step_waiting(self, record: Record) -> None:
        self._active(record, record.data.get("reading"))

    def node_finished(self, record: Record) -> None:
        node = self._node(record)
        node.outcome = text(record.data, "outcome") or "finished"
        node.out_of_service_s = number(record.data, "out_of_service_s")
        said = clean(record.message)
        node.message = "" if said == f"{node.name}: {node.outcome}" else said
        for span in node.spans:
            if span.end_s is None:
                span.end_s, span.outcome = self.now_s, "done" if self.account.well(node) else node.outcome

    def node_landed(self, record: Record) -> None:
        node, data = self._node(record), record.data
        node.watched_s = number(data, "watched_s")
        node.landings = [
            Landing(text(one, "service"), text(one, "endpoint"), number(one, "requests")) for one in data["members"]
        ]

    def write_intent(self, record: Record) -> None:
        data = record.data
        write = Write(
            record.seq,
            self.now_s,
            clean(record.node or ""),
            clean(record.service or ""),
            clean(record.endpoint or record.balancer or ""),
            seat(record).split(" on ")[0],
            state(data.get("found")),
            state(data.get("to")),
            text(data, "why") or clean(record.message),
        )
        self.account.writes.append(write)
        self._open_writes[_seat_key(record)] = write

    def write_done(self, record: Record) -> None:
        self._write_outcome(record, "done")

    def write_failed(self, record: Record) -> None:
        self._write_outcome(record, "failed")
        self._note(record)

    def probe_failed(self, record: Record) -> None:
        probe = _probe(record.service, record.data)
        detail = text(record.data, "detail") or clean(record.message)
        status = number(record.data, "status")
        outage = self._open_outages.get(probe)
        if outage is not None:
            outage.failures += 1
            return
        start_s = self.now_s - (number(record.data, "outage_s") or 0.0)
        words = f"HTTP {status:.0f} {detail}".strip() if status else detail
        self._open_outages[probe] = outage = Outage(clean(record.service or ""), probe, start_s, detail=words)
        if len(self.account.outages) < MOST_OUTAGES:
            self.account.outages.append(outage)

    def probe_recovered(self, record: Record) -> None:
        probe = _probe(record.service, record.data)
        outage = self._open_outages.pop(probe, None)
        if outage is not None:
            lasted_s = number(record.data, "outage_s")
            outage.end_s = outage.start_s + lasted_s if lasted_s is not None else self.now_s

    def probe_samples(self, record: Record) -> None:
        for one in record.data["probes"]:
            probe = _probe(one["service"], one)
            view = self.account.views.setdefault(probe, ProbeView(text(one, "service")))
            view.interval_s = number(one, "interval_s") or view.interval_s
            view.probes += int(number(one, "probes") or 0)
            view.failed += int(number(one, "failed") or 0)
            view.late_s = max(view.late_s, number(one, "late_s") or 0.0)
            for at_s, latency_s in one["good"]:
                view.latency.add(float(at_s) + self._shift_s, float(latency_s))
            room = MOST_FAILED - len(view.failed_at)
            view.failed_at += [float(at_s) + self._shift_s for at_s in one["failed_at"][:room]]
            for begin_s, end_s in one["asked"]:
                view.spell(float(begin_s) + self._shift_s, float(end_s) + self._shift_s)
            for name, answers in one["nodes"].items():
                view.nodes[clean(name, 80)] = float(answers["last_s"]) + self._shift_s

    def note(self, record: Record) -> None:
        self._note(record)

    def finished(self, record: Record) -> None:
        account, data = self.account, record.data
        account.ended, account.message = clean(record.time), whole(record.message)
        account.outcome = text(data, "outcome") or "unknown"
        code = number(data, "exit_code")
        account.exit_code = None if code is None else int(code)
        account.duration_s = number(data, "duration_s") or self.now_s
        for name, one in _maps(data.get("nodes")):
            node = account.nodes.setdefault(name, NodeAccount(name))
            node.outcome = text(one, "outcome") or node.outcome
            out_s = number(one, "out_of_service_s")
            node.out_of_service_s = node.out_of_service_s if out_s is None else out_s
        account.probes = dict(_maps(data.get("services")))
        account.services = account.services or tuple(account.probes)
        account.left_out = _rows(data.get("left_out"))
        account.others = _rows(data.get("others"))
        account.changed = _rows(data.get("changed"))

    # --- small hands -------------------------------------------------------------------------------------------

    def _node(self, record: Record) -> NodeAccount:
        name = clean(record.node or "?", 80)
        return self.account.nodes.setdefault(name, NodeAccount(name))

    def _open(self, record: Record, step: str) -> None:
        node = self._node(record)
        service = clean(record.service, 80) if record.service else None
        if not any(s.end_s is None and s.step == step and s.service == service for s in node.spans):
            node.spans.append(Span(step, self.now_s, service=service))

    def _close(self, record: Record, step: str, outcome: str) -> None:
        node = self._node(record)
        service = clean(record.service, 80) if record.service else None
        mine = [s for s in node.spans if s.step == step and s.end_s is None and service in (None, s.service)]
        if not mine and node.spans and node.spans[-1].step == step and service in (None, node.spans[-1].service):
            return  # restart.done or restart.failed has closed it a moment before
        if not mine:  # its start was not told: it began where the step before it ended
            before = max((s.end_s for s in node.spans if s.end_s is not None), default=self.now_s)
            mine = [Span(step, before, service=service)]
            node.spans += mine
        for span in mine:
            span.end_s, span.outcome = self.now_s, outcome
            span.message = clean(record.message)

    def _active(self, record: Record, seen: object) -> None:
        active = number(seen, "active") if isinstance(seen, Mapping) else None
        if active is not None and record.node:
            key = (clean(record.node), clean(record.service or ""))
            self.account.active.setdefault(key, Curve(most=240)).add(self.now_s, active)

    def _write_outcome(self, record: Record, outcome: str) -> None:
        write = self._open_writes.pop(_seat_key(record), None)
        if write is not None:
            write.outcome, write.took_s = outcome, number(record.data, "took_s")
            write.detail = "" if outcome == "done" else clean(record.message) or text(record.data, "detail")

    def _note(self, record: Record) -> None:
        if len(self.account.notes) < MOST_NOTES:
            self.account.notes.append(Note(self.now_s, record.type, sentence(record)))


def _probe(service: str | None, data: Mapping[str, Any]) -> str:
    """What a probe is called: `scim entra`; one that is called like its service has that name alone."""
    parts = dict.fromkeys([clean(service or ""), text(data, "probe")])
    return " ".join(part for part in parts if part)


def _seat_key(record: Record) -> tuple[str, ...]:
    data = record.data
    return (record.node or "", record.service or "", record.endpoint or "", text(data, "pool"), text(data, "seat"))


def _maps(found: object) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(found, Mapping):
        return []
    return [(clean(name, 80), one) for name, one in found.items() if isinstance(one, Mapping)]


def _rows(found: object) -> list[dict[str, str]]:
    if not isinstance(found, list | tuple):
        return []
    maps = [one if isinstance(one, Mapping) else {"node": one} for one in found]
    return [{str(key): clean(value) for key, value in one.items() if value is not None} for one in maps]


_HANDLERS: dict[str, Callable[[Fold, Record], None]] = {
    "run.started": Fold.started,
    "gate.checked": Fold.gate,
    "node.started": Fold.node_started,
    "step.started": Fold.step_started,
    "step.waiting": Fold.step_waiting,
    "step.finished": Fold.step_finished,
    "restart.intent": Fold.restart_intent,
    "restart.done": Fold.restart_done,
    "restart.failed": Fold.restart_failed,
    "node.finished": Fold.node_finished,
    "node.landed": Fold.node_landed,
    "write.intent": Fold.write_intent,
    "write.done": Fold.write_done,
    "write.failed": Fold.write_failed,
    "probe.failed": Fold.probe_failed,
    "probe.recovered": Fold.probe_recovered,
    "probe.samples": Fold.probe_samples,
    "signal": Fold.note,
    "warning": Fold.note,
    "run.stopping": Fold.note,
    "run.finished": Fold.finished,
}
