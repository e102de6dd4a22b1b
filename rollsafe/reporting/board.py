"""The live view's knowledge: what each node, service and probe does just now. Folded from records, drawn elsewhere."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from rollsafe.model.record import Record
from rollsafe.reporting.sentences import doing, good, mode_words, sentence
from rollsafe.reporting.words import clean, names, number, reading, state, text, took

MOST_NOTES = 4

IN_HAND = "in hand"
WAITING = "waiting"
DONE = "done"
LEFT_OUT = "out"
TOUCHED = "put back"

_NOTABLE = frozenset({"warning", "signal", "run.stopping", "write.failed", "restart.failed"})


@dataclass(slots=True)
class Cell:
    """One service of one node: what the balancer was told, what is in flight, what its health says."""

    admin: str = ""
    active: float | None = None
    health: str = ""

    def words(self) -> str:
        """The cell's text, such as `drain, 3 active`."""
        active = f"{self.active:.0f} active" if self.active is not None else ""
        return ", ".join(part for part in (self.admin, active, self.health) if part)


@dataclass(slots=True)
class NodeLine:
    """One node. `until_s` is when its wait's time is up, on the run's clock."""

    name: str
    status: str = WAITING
    step: str = ""
    waits_for: str = ""
    until_s: float | None = None
    result: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)

    def cell(self, service: str) -> Cell:
        """The service's cell."""
        return self.cells.setdefault(service, Cell())


@dataclass(slots=True)
class Board:
    """The whole cluster at a glance."""

    title: str = ""
    run: str = ""
    estimate_s: float | None = None
    now_s: float = 0.0
    services: tuple[str, ...] = ()
    nodes: dict[str, NodeLine] = field(default_factory=dict)
    failing: dict[str, float] = field(default_factory=dict)  # probe -> since when
    failures: int = 0
    notes: list[str] = field(default_factory=list)
    waits: NodeLine | None = None  # a wait of the whole run, such as for another run's claim
    last: Record | None = None  # run.finished

    def hear(self, record: Record) -> None:
        """One record. Never raises."""
        with contextlib.suppress(Exception):
            self.now_s = max(self.now_s, record.at_s)
            self._run(record)
            if not record.type.startswith("probe."):
                self._whole(record)
            if record.node:
                self._node(record, self.nodes.setdefault(clean(record.node, 40), NodeLine(clean(record.node, 40))))
            if record.type in _NOTABLE or (record.type == "gate.checked" and not record.data.get("allowed")):
                self._note(sentence(record))

    def _note(self, said: str) -> None:
        if said not in self.notes:
            self.notes = [*self.notes, said][-MOST_NOTES:]

    def _run(self, record: Record) -> None:
        data = record.data
        if record.type == "run.started":
            self.title = f"{text(data, 'cluster')}: {mode_words(text(data, 'mode'))}"
            self.run, self.estimate_s = clean(record.run, 60), number(data, "estimate_s")
            self.services = names(data, "services")
            for name in names(data, "nodes"):
                self.nodes.setdefault(name, NodeLine(name))
        elif record.type == "probe.failed":
            self.failures += 1
            probe = f"{clean(record.service or '', 40)} {text(data, 'probe')}".strip()
            self.failing.setdefault(probe, record.at_s - (number(data, "outage_s") or 0.0))
        elif record.type == "probe.recovered":
            self.failing.pop(f"{clean(record.service or '', 40)} {text(data, 'probe')}".strip(), None)
        elif record.type == "run.finished":
            self.last = record
            self._end(data.get("nodes"))

    def _whole(self, record: Record) -> None:
        """A wait of the whole run; whatever is heard next ends it."""
        self.waits = None
        if record.type == "step.waiting" and not record.node:
            self.waits = NodeLine("")
            self._wait(record, self.waits)
            seen = reading(record.data)
            self.waits.step += f": {seen}" if seen else ""

    def _end(self, nodes: object) -> None:
        for name, one in nodes.items() if isinstance(nodes, Mapping) else ():
            line = self.nodes.setdefault(clean(name, 40), NodeLine(clean(name, 40)))
            line.status = _status(text(one, "outcome"))
            out_s = number(one, "out_of_service_s")
            line.result = text(one, "outcome") + (f", {took(out_s)} out" if out_s else "")
            line.step, line.waits_for, line.until_s = "", "", None

    def _node(self, record: Record, line: NodeLine) -> None:
        data = record.data
        match record.type:
            case "node.started":
                line.status = IN_HAND
                for one in data.get("found") or ():
                    line.cell(clean(one.get("service", ""), 40)).admin = state(one.get("admin"))
            case "step.started":
                line.status = IN_HAND
                line.step, line.waits_for, line.until_s = doing(text(data, "step")), "", None
            case "step.waiting":
                self._wait(record, line)
            case "step.finished":
                line.waits_for, line.until_s = "", None
                if not good(record):
                    line.step = f"{text(data, 'step')}: {text(data, 'outcome')}"
            case "restart.intent":
                line.step = doing("restart")
                for cell in line.cells.values():
                    cell.active, cell.health = None, "stopped"
            case "write.done":
                cell = line.cell(clean(record.service or "", 40))
                cell.admin = state(data.get("to"))
                if cell.admin == "ready":
                    cell.active, cell.health = None, ""
            case "node.finished":
                out_s = number(data, "out_of_service_s")
                line.status = _status(text(data, "outcome"))
                line.result = text(data, "outcome") + (f", {took(out_s)} out" if out_s else "")
                line.step, line.waits_for, line.until_s = "", "", None

    def _wait(self, record: Record, line: NodeLine) -> None:
        data = record.data
        seen = data.get("reading")
        left_s = number(data, "left_s")
        line.step = doing(text(data, "step") or "waiting")
        line.waits_for = text(data, "for")
        line.until_s = record.at_s + left_s if left_s is not None else None
        if not isinstance(seen, Mapping):
            return
        for service in self.services:
            if service in seen:  # a reading of several services at once
                line.cell(service).health = reading({"reading": {"state": seen[service]}})
        if record.service:
            cell = line.cell(clean(record.service, 40))
            active = number(seen, "active")
            cell.active = active if active is not None else cell.active
            said = text(seen, "state")
            if text(data, "step") in ("healthy", "soak"):
                cell.health = said or cell.health


def _status(outcome: str) -> str:
    if outcome == "restarted":
        return DONE
    if outcome in ("not begun", ""):
        return WAITING
    return TOUCHED if outcome == "put back" else LEFT_OUT
