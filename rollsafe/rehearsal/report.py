"""What a rehearsal found, as values. Whoever shows it adds nothing and leaves nothing out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rollsafe.rehearsal.play import Played

EXAMPLES = 3
OUTCOMES = {0: "done", 10: "refused", 20: "stopped"}


@dataclass(slots=True)
class Need:
    """One reason why a person is needed, how often, and an example."""

    why: str
    exit_code: int
    points: int = 0
    example: str = ""


@dataclass(slots=True)
class Broken:
    """One invariant that broke, how often, and where first."""

    invariant: str
    message: str
    points: int = 0
    where: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """The whole rehearsal."""

    cluster: str
    seed: int
    thorough: bool
    nodes: tuple[str, ...] = ()  # that the run restarts
    played: dict[str, int] = field(default_factory=dict)  # kind -> points played
    stood_for: dict[str, int] = field(default_factory=dict)  # kind -> points that they stand for
    least: dict[str, int] = field(default_factory=dict)  # service -> fewest members in service, over all points
    members: dict[str, int] = field(default_factory=dict)  # service -> members on each endpoint
    cut: dict[str, int] = field(default_factory=dict)  # service -> requests cut by a stop
    by_itself: int = 0
    after_recover: int = 0
    by_a_person: int = 0
    not_as_found: int = 0
    rejoined: int = 0
    needs: dict[tuple[str, int], Need] = field(default_factory=dict)
    broken: dict[tuple[str, str], Broken] = field(default_factory=dict)
    faultless: Mapping[str, Any] = field(default_factory=dict)
    took_s: float = 0.0

    @property
    def points(self) -> int:
        """Points played."""
        return sum(self.played.values())

    @property
    def exit_code(self) -> int:
        """20 where an invariant broke; 10 where even the run without a fault does not succeed; else 0."""
        if self.broken:
            return 20
        return 0 if self.faultless.get("exit_code") == 0 else 10

    def add(self, played: Played) -> None:
        """Count one point."""
        point, weight = played.point, played.point.stands_for
        self.played[point.kind] = self.played.get(point.kind, 0) + 1
        self.stood_for[point.kind] = self.stood_for.get(point.kind, 0) + weight
        self.rejoined += played.rejoined
        for service, count in played.least.items():
            self.least[service] = min(self.least.get(service, count), count)
        for service, count in played.cut.items():
            self.cut[service] = self.cut.get(service, 0) + count
        self._count_ending(played, weight)
        for violation in played.violations:
            key = (violation.invariant, _shape(violation.message))
            broken = self.broken.setdefault(key, Broken(violation.invariant, violation.message))
            broken.points += 1
            if len(broken.where) < EXAMPLES and point.where not in broken.where:
                broken.where.append(point.where)

    def _count_ending(self, played: Played, weight: int) -> None:
        if not played.as_found:
            self.not_as_found += weight
        elif played.run_exit in (30, 40):
            self.by_a_person += weight
        elif played.recovered:
            self.after_recover += weight
        else:
            self.by_itself += weight
        if played.run_exit in (30, 40):
            why = str(played.point.event.kind) if played.point.event is not None else _call_of(played.point.where)
            need = self.needs.setdefault((why, played.run_exit), Need(why, played.run_exit))
            need.points += weight
            need.example = need.example or f"{played.point.where}: {played.message}"

    @property
    def message(self) -> str:
        """The verdict in a sentence."""
        if self.broken:
            names = ", ".join(sorted({broken.invariant for broken in self.broken.values()}))
            return f"{names} did not hold in {self.points} windows; seed {self.seed}"
        ended = "" if self.exit_code == 0 else "; but the window without any fault does not succeed"
        return f"no invariant broke in {self.points} windows{ended}; seed {self.seed}"

    def as_data(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "type": "rehearsal.finished",
            "cluster": self.cluster,
            "outcome": OUTCOMES[self.exit_code],
            "exit_code": self.exit_code,
            "message": self.message,
            "seed": self.seed,
            "thorough": self.thorough,
            "nodes": list(self.nodes),
            "points": {kind: {"played": n, "stand_for": self.stood_for[kind]} for kind, n in self.played.items()},
            "rejoined": self.rejoined,
            "least_in_service": dict(self.least),
            "members": dict(self.members),
            "requests_cut": dict(self.cut),
            "ended": {
                "as_found_by_itself": self.by_itself,
                "as_found_after_recover": self.after_recover,
                "needs_a_person": self.by_a_person,
                "not_as_found": self.not_as_found,
            },
            "needs_a_person": [_need(need) for need in _most(self.needs.values())],
            "violations": [_broken(broken) for broken in _most(self.broken.values())],
            "faultless": dict(self.faultless),
            "took_s": round(self.took_s, 1),
        }


def _most(things: Iterable[Any]) -> list[Any]:
    return sorted(things, key=lambda thing: -thing.points)


def _need(need: Need) -> dict[str, Any]:
    return {"why": need.why, "exit_code": need.exit_code, "points": need.points, "example": need.example}


def _broken(broken: Broken) -> dict[str, Any]:
    return {
        "invariant": broken.invariant,
        "message": broken.message,
        "points": broken.points,
        "where": list(broken.where),
    }


def _call_of(where: str) -> str:
    """`claim.swap n1: refused, after …` → `claim.swap: refused`."""
    site, _, rest = where.partition(": ")
    return f"{site.split(' ')[0]}: {rest.split(',')[0]}"


def _shape(message: str) -> str:
    """The message without its numbers, so that the same fault in many places is one line."""
    return "".join(c for c in message if not c.isdigit())[:80]
