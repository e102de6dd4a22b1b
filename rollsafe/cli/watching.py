"""What `status` does: look, tell a live claim from a dead one by its beat, and show; with --watch, again and again."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from rollsafe.cli.asked import Asked
from rollsafe.cli.common import colours
from rollsafe.cli.looking import Looking, Sight, look, painter, print_json, print_lines
from rollsafe.cli.words import mend_command
from rollsafe.engine import takeover
from rollsafe.model.claim import ClaimRecord
from rollsafe.model.cluster import Cluster
from rollsafe.model.reading import Member, SeatReading, Unread
from rollsafe.planner.expand import pools_of
from rollsafe.planner.left_behind import left_behind
from rollsafe.planner.matching import match_all
from rollsafe.planner.outcome import out_among
from rollsafe.planner.readings import PoolKey
from rollsafe.reporting.status_view import (
    ClaimShown,
    MemberShown,
    ServiceShown,
    StatusShown,
    status_json,
    status_lines,
)

WITHIN_S = 15.0  # an SSH connection is given 10 s by default
WATCH_WITHIN_S = 4.0  # while watching, what is slower comes with a later look
EVERY_S = 2.0
BEAT_S = 7.0  # a live run raises its beat every 5 s, and a slow node takes it a second or two later
BEAT_LOOK_S = 1.0
STILL_S = 15.0  # while watching: as long as recover watches a beat before it takes over


class Watching:
    """One `status`."""

    def __init__(self, asked: Asked, cluster: Cluster, *, as_json: bool, no_color: bool) -> None:
        self._looking = Looking(asked, cluster)
        self._json = as_json
        self._no_color = no_color
        self._mend = mend_command(self._looking.loaded.paths)
        self._beats: dict[str, _Beat] = {}  # run
        self._seq = 0  # of the last line of -o json

    def close(self) -> None:
        """Let go of every connection."""
        self._looking.close()

    def once(self) -> int:
        """One look, with the time that it takes to hear a beat; returns the exit code."""
        shown = self._shown(self._look(WITHIN_S), patient=True)
        self._print(shown)
        return shown.exit_code

    def watch(self) -> int:
        """A look every 2 s until Ctrl-C; returns the exit code of the last."""
        code = 0
        try:
            with self._screen() as screen:
                while not getattr(sys.stdout, "broken", False):  # ends by Ctrl-C, or when nobody reads any more
                    shown = self._shown(self._look(WATCH_WITHIN_S), patient=False)
                    code = shown.exit_code
                    screen.show(shown)
                    self._looking.clock.sleep(EVERY_S)
        except KeyboardInterrupt:
            return code
        return code

    def _look(self, within_s: float) -> Sight:
        looking = self._looking
        return look(
            looking.assembled,
            looking.cluster,
            looking.run_clock,
            rights=False,
            probes=False,
            within_s=within_s,
            tries=1,
        )

    # --- what is shown -----------------------------------------------------------------------------------------

    def _shown(self, sight: Sight, *, patient: bool) -> StatusShown:
        cluster = self._looking.cluster
        services: dict[str, tuple[ServiceShown, ...]] = {}
        unread = list(sight.unread())
        for node in cluster.live_nodes:
            shown = []
            for service in cluster.services:
                members = tuple(_members(sight, pools_of(cluster), node.name, service.name, self._looking))
                unread += [m.seat.reason for m in members if isinstance(m.seat, Unread) and not m.member.seat]
                health = sight.readings.health.get((node.name, service.name))
                if health is None and (node.name, service.name) in self._looking.world.checks:
                    unread.append(f"{service.name} of {node.name} gave our own check no answer in time")
                shown.append(ServiceShown(service.name, health, members))
            services[node.name] = tuple(shown)
        for name, seen in sight.nodes.items():
            if isinstance(seen.claim, Unread) and not seen.unreachable:
                unread.append(f"the claim on {name} can't be read: {seen.claim.reason}")
        claims = tuple(self._claims(sight, patient=patient))
        named = [it.member for each in services.values() for service in each for it in service.members]
        left = {(e["node"], e["service"], e["endpoint"]) for c in claims if c.life != "alive" for e in c.left_out}
        others = tuple(out_among([m for m in named if m.seat], sight.readings, left))
        stamp = self._looking.run_clock.stamp()
        return StatusShown(cluster, services, claims, tuple(dict.fromkeys(unread)), stamp, self._mend, others)

    def _claims(self, sight: Sight, *, patient: bool) -> Iterator[ClaimShown]:
        copies = takeover.Copies({node: seen.claim for node, seen in sight.nodes.items()})
        for run in copies.runs():
            record = copies.highest(run)
            life = self._life(record, copies, patient=patient)
            left = tuple({**e, "mend": self._mend} for e in left_behind(record.entries, sight.readings))
            several = f" --run-id {run}" if len(copies.runs()) > 1 else ""
            yield ClaimShown(record, life, tuple(copies.of(run)), left, self._mend + several)

    # --- alive or dead -----------------------------------------------------------------------------------------

    def _life(self, record: ClaimRecord, copies: takeover.Copies, *, patient: bool) -> str:
        if copies.over(record.token.run):
            return "ended"
        if patient:
            return "alive" if self._beats_within(record) else "dead"
        run, now_s = record.token.run, self._looking.run_clock.at_s()
        before = self._beats.get(run)
        if before is None or before.mark != _mark(record):
            before = self._beats[run] = _Beat(_mark(record), now_s, moved=before is not None)
        if now_s - before.since_s >= STILL_S:
            return "dead"
        return "alive" if before.moved else "unknown"

    def _beats_within(self, record: ClaimRecord) -> bool:
        """Is the beat raised within the time of one beat, on any node? A look a second, no more than needed."""
        clock, run = self._looking.run_clock, record.token.run
        deadline_s = clock.at_s() + BEAT_S
        while clock.at_s() < deadline_s:
            clock.sleep(BEAT_LOOK_S)
            now = takeover.read_copies(self._looking.world)
            if now.of(run) and _mark(now.highest(run)) != _mark(record):
                return True
            if not now.of(run) and not now.unread:
                return True  # it has just ended by itself
        return False

    # --- telling -----------------------------------------------------------------------------------------------

    def _print(self, shown: StatusShown) -> None:
        if self._json:
            self._seq += 1
            print_json({**status_json(shown), "seq": self._seq})
            return
        print_lines(status_lines(shown, painter(self._no_color)))
        print_lines([shown.message])

    @contextmanager
    def _screen(self) -> "Iterator[Screen]":
        """A view that stands still on a terminal; elsewhere one block after another."""
        if self._json or not colours(self._no_color) or os.environ.get("TERM") in (None, "", "dumb"):
            yield _Blocks(self._print)
            return
        from rich.live import Live

        with Live(auto_refresh=False, vertical_overflow="visible") as live:
            yield _Still(live, painter(self._no_color))


@dataclass(frozen=True, slots=True)
class _Beat:
    """A claim's beat: since when it is what it is, and whether it was seen to move to there."""

    mark: tuple[Any, ...]
    since_s: float
    moved: bool


class Screen(Protocol):
    """Where looks are shown."""

    def show(self, shown: StatusShown) -> None:
        """One look."""


class _Blocks:
    def __init__(self, tell: Any) -> None:
        self.show = tell


class _Still:
    def __init__(self, live: Any, paint: Any) -> None:
        self._live, self._paint = live, paint

    def show(self, shown: StatusShown) -> None:
        from rich.text import Text

        lines = [*status_lines(shown, self._paint), "", shown.message, self._paint("Ctrl-C ends this.", "dim")]
        self._live.update(Text.from_ansi("\n".join(lines)), refresh=True)


def _mark(record: ClaimRecord) -> tuple[Any, ...]:
    return record.token, record.beat


def _members(
    sight: Sight, keys: "dict[PoolKey, Any]", node: str, service: str, looking: Looking
) -> Iterator[MemberShown]:
    """The node's member in each pool on each endpoint; one that can't be found has no seat, and the reason."""
    whole = looking.loaded.cluster
    for key, owner in keys.items():
        if owner.name != service:
            continue
        pool = sight.readings.pools[key]
        nobody = Member(node, service, key[0], key[1], key[2], "")
        if isinstance(pool, Unread):
            yield MemberShown(nobody, Unread(f"pool {key[2]} on {key[1]} can't be read: {pool.reason}"))
            continue
        found = match_all(whole, owner, key[0], key[1], pool)
        member, problem = next((m, text) for name, m, text in found if name == node)
        if member is None or problem:
            yield MemberShown(nobody, Unread(problem))
            continue
        seat: SeatReading | Unread = sight.readings.member(member)
        yield MemberShown(member, seat)
