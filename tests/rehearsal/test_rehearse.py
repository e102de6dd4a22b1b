"""The rehearsal: which points it plays, that they end well, that a seed replays, and that a broken engine is found."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.engine import act, loop, session
from rollsafe.engine.log import RunLog
from rollsafe.model.plan import Plan
from rollsafe.planner import drain, gates, next_step
from rollsafe.planner.decisions import FinishStep
from rollsafe.planner.outcome import Ending
from rollsafe.planner.state import NodeState, Restart
from rollsafe.rehearsal import points
from rollsafe.rehearsal.faults import SINGLE_WAYS, CrashPoint, Fault, Way
from rollsafe.rehearsal.happen import Event
from rollsafe.rehearsal.play import Played, Stage, _Actors, play, trace
from rollsafe.rehearsal.points import Point
from rollsafe.rehearsal.rehearse import FAULTLESS, Piece, Player, RehearsalBroke, programme_of, rehearse
from rollsafe.rehearsal.report import Report
from rollsafe.rehearsal.sample import small_cluster

Patch = pytest.MonkeyPatch
PIECE = Piece(small_cluster(), EACH_NODE, Engine)


@pytest.fixture(scope="module")
def player() -> Player:
    return Player(PIECE)


@pytest.fixture(scope="module")
def programme(player: Player) -> list[Point]:
    return programme_of(PIECE, player)


def test_the_run_without_a_fault_restarts_all_and_takes_one_member_out_at_a_time(player: Player) -> None:
    played = player.faultless
    assert (played.run_exit, played.violations, played.cut) == (0, [], {})
    assert played.least == {"scim": 2, "web": 2}
    assert played.as_found


def test_the_points_are_a_crash_before_and_after_each_record_and_effect(player: Player) -> None:
    crashes = points.crashes(player.track)
    records, effects = len(player.track.types), sum(c.site.split()[0] in points.EFFECTS for c in player.track.calls)
    assert sum(point.stands_for for point in crashes) == 2 * (records + effects)


def test_every_call_of_every_node_fails_in_every_way(player: Player, programme: list[Point]) -> None:
    hands = {"balancer.read", "balancer.write", "claim.read", "claim.swap", "check", "restarter.begin"}
    hands |= {"restarter.identity", "restarter.progress", "claim.create"}
    for kind in hands:
        ways = {way for c in player.track.calls if c.site.startswith(kind) for g in points.classes(c.site) for way in g}
        assert ways == set(SINGLE_WAYS)
        played = [p for p in programme if p.kind == "fault" and p.faults[0].site.startswith(kind)]
        assert len(played) >= len(points.classes(f"{kind} x"))


def test_the_points_of_the_calls_stand_for_every_call_of_the_run(player: Player, programme: list[Point]) -> None:
    singles = [point for point in programme if point.kind == "fault"]
    assert sum(point.stands_for for point in singles) == len(player.track.calls) * len(SINGLE_WAYS)
    for node in ("n1", "n2", "n3"):
        assert any(f"after write.intent of {node}" in point.where for point in singles), node


def test_thorough_plays_every_look_of_every_wait_and_pairs_of_faults(player: Player) -> None:
    singles = points.faults(player.track, thorough=True)
    assert sum(point.stands_for for point in singles) == len(player.track.calls) * len(SINGLE_WAYS)
    pairs = points.pairs(player.track, PIECE.cluster)
    assert len(pairs) > 5_000
    assert all(len(pair.faults) == 2 and pair.faults[1].at > pair.faults[0].at for pair in pairs)
    for pair in pairs[:: len(pairs) // 12]:
        assert player.play(pair).violations == [], pair.where


def test_a_sample_of_all_points_ends_as_found_and_breaks_nothing(player: Player, programme: list[Point]) -> None:
    report = Report("small", 0, thorough=False)
    for point in programme[::15]:
        report.add(player.play(point))
    assert set(report.played) == {"event", "fault", "crash", "recover"}
    assert report.broken == {}
    assert report.not_as_found == 0
    assert report.after_recover > 0
    assert report.least["scim"] >= 1


def test_several_processes_find_what_one_finds(player: Player, programme: list[Point]) -> None:
    share = programme[::60]
    assert list(player.play_all(share, 2)) == list(player.play_all(share, 1))


def test_what_is_played_from_where_it_begins_ends_as_if_played_from_the_beginning(
    player: Player, programme: list[Point]
) -> None:
    for told in player.play_all(programme[::40], 2):
        whole = player.play(told.point)
        for one in (told, whole):  # when a slow answer comes near, questions are asked aside, and a moment later
            one.calls = one.records = 0
        assert replace(told, message="") == replace(whole, message=""), told.point.where
        assert told.message.split(":")[0] == whole.message.split(":")[0]


def test_what_rejoins_the_faultless_run_ends_as_that_does_when_played_to_its_end(
    player: Player, programme: list[Point]
) -> None:
    whole = stage_of()
    rejoined = [told.point for told in player.play_all(programme[7::50], 2) if told.rejoined]
    assert len(rejoined) > 5
    for point in rejoined:
        played = play(whole, point)
        assert (played.run_exit, played.as_found, played.violations, played.cut) == (0, True, [], {}), point.where
        assert played.least == player.faultless.least, point.where


def test_a_point_begins_before_its_fault(player: Player, programme: list[Point]) -> None:
    for point in programme:
        met = player.track.station(point.begins)
        assert met in player.track.stations
        assert all(fault.at > sum(c.records < met for c in player.track.calls) for fault in point.faults[:1])
        if point.crash is not None and point.crash.kind == "record":
            assert met < point.crash.index
    assert len({player.track.station(point.begins) for point in programme}) > 50


def instead_of_any_point(monkeypatch: Patch, do: Callable[[Point], None]) -> None:
    take_up = _Actors.take_up

    def taken_up(self: _Actors, point: Point) -> None:
        take_up(self, point)
        if point is not FAULTLESS:
            do(point)

    monkeypatch.setattr(_Actors, "take_up", taken_up)


def test_a_process_that_is_killed_is_told_and_does_not_hang(player: Player, programme: list[Point], monkeypatch: Patch):
    instead_of_any_point(monkeypatch, lambda _point: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(RehearsalBroke, match="Nothing real was touched"):
        list(player.play_all(programme[:4], 2))


def test_a_defect_of_the_simulation_is_told_with_its_point(
    player: Player, programme: list[Point], monkeypatch: Patch
) -> None:
    def stumble(point: Point) -> None:
        raise KeyError(point.kind)

    instead_of_any_point(monkeypatch, stumble)
    with pytest.raises(RehearsalBroke, match=r"defect of the simulation.*KeyError"):
        list(player.play_all(programme[:4], 2))


@pytest.mark.parametrize("calls", range(221, 251, 3))  # some of these find it on the thread of the beat
def test_a_command_that_never_ends_is_told_wherever_it_is_found_out(calls: int, monkeypatch: Patch) -> None:
    monkeypatch.setattr("rollsafe.rehearsal.operator.CALLS_AT_MOST", calls)
    played = play(PIECE.stage(), FAULTLESS)
    assert [v.invariant for v in played.violations if f"{calls + 1} calls" in v.message][:1] == ["I9"]


def history(seed: int, point: Point) -> tuple[Played, list[object]]:
    played, operator = trace(stage_of(seed=seed), point)
    return played, [(r.at_s, r.type, r.node, r.message) for r in operator.records]


def stage_of(nodes: int = 3, seed: int = 0) -> Stage:
    return replace(Piece(small_cluster(nodes), EACH_NODE, Engine, seed).stage(), crossroads=None)


def test_a_seed_replays_exactly(programme: list[Point]) -> None:
    point = next(p for p in programme if p.kind == "fault" and p.faults[0].way is Way.TIMEOUT_BEFORE)
    assert history(7, point) == history(7, point)


def test_a_cluster_that_can_not_be_rolled_is_refused_and_not_called_fine() -> None:
    cluster = small_cluster()
    services = (replace(cluster.services[0], min_ready=type(cluster.services[0].min_ready)(count=3)),)
    report = rehearse(Piece(replace(cluster, services=services), EACH_NODE, Engine))
    assert (report.exit_code, report.as_data()["outcome"]) == (10, "refused")
    assert report.faultless["exit_code"] == 10
    assert "min_ready" in report.faultless["message"]


# --- a broken engine is found: each of these takes one guard away -------------------------------------------------


def put_back_at_once(monkeypatch: Patch) -> None:
    def may_go_back(_plan: Plan, hand: NodeState, _now: object) -> bool:
        return hand.restart is Restart.DONE

    monkeypatch.setattr(next_step, "_may_go_back", may_go_back)


def no_gates(monkeypatch: Patch) -> None:
    monkeypatch.setattr(gates, "refusals", lambda _verdicts: ())
    monkeypatch.setattr(next_step, "_soak", lambda _plan, _state, hand, _now: FinishStep(hand.name, "soak"))


def no_own_checks(monkeypatch: Patch) -> None:
    for name in ("check_before_write", "check_before_restart"):
        monkeypatch.setattr(act, name, lambda *_: None)


def no_intents(monkeypatch: Patch) -> None:
    about = RunLog.about

    def told(self: RunLog, kind: str, *args: object, **words: object) -> None:
        if kind != "write.intent":
            about(self, kind, *args, **words)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(RunLog, "about", told)


def no_drain(monkeypatch: Patch) -> None:
    """Nothing is taken out before the restart."""
    monkeypatch.setattr(drain, "_service", lambda *_: None)


def always_done(monkeypatch: Patch) -> None:
    monkeypatch.setattr(loop, "judge", lambda *_, **__: Ending("done", 0, "all is well"))


def recovers_nothing(monkeypatch: Patch) -> None:
    plan_of = session.recovery_plan
    monkeypatch.setattr(session, "recovery_plan", lambda *args: replace(plan_of(*args), nodes=()))


def together(*breaks: Callable[[Patch], None]) -> Callable[[Patch], None]:
    def all_of_them(monkeypatch: Patch) -> None:
        for broken in breaks:
            broken(monkeypatch)

    return all_of_them


PEER_DIES = Point("event", "a peer dies", event=Event("another node dies", "n4", 60))
NEVER_UP = Point("event", "it never comes up", event=Event("the node never comes up", "n1", 60))
KILLED = Point("crash", "killed in the drain", crash=CrashPoint("effect", 10, after=True))


@pytest.mark.parametrize(
    ("broken", "point", "invariant"),
    [
        pytest.param(put_back_at_once, FAULTLESS, "I4", id="the engine's own check sees a put-back before health"),
        pytest.param(together(put_back_at_once, no_own_checks), FAULTLESS, "I4", id="put-back before health"),
        pytest.param(together(no_gates, no_own_checks), PEER_DIES, "I1", id="no gates"),
        pytest.param(no_intents, FAULTLESS, "I5", id="no intents"),
        pytest.param(together(no_drain, no_gates), FAULTLESS, "I3", id="the engine's own check sees no drain"),
        pytest.param(together(no_drain, no_gates, no_own_checks), FAULTLESS, "I3", id="no drain"),
        pytest.param(always_done, NEVER_UP, "I9", id="a run that lies"),
        pytest.param(recovers_nothing, KILLED, "I8", id="a recover that does nothing"),
    ],
)
def test_a_broken_engine_is_found_and_the_invariant_named(
    broken: Callable[[Patch], None], point: Point, invariant: str, monkeypatch: Patch
) -> None:
    assert play(stage_of(4), point).violations == [], "the whole engine breaks nothing here"
    broken(monkeypatch)
    played = play(stage_of(4), point)
    assert invariant in {violation.invariant for violation in played.violations}
    report = Report("small", 0, thorough=False)
    report.add(played)
    assert report.exit_code == 20
    assert invariant in {entry["invariant"] for entry in report.as_data()["violations"]}


def test_an_engine_that_never_ends_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(loop.Rollout, "_turn", lambda self: self._observer.look(self._s.log.state) is not None)
    monkeypatch.setattr("rollsafe.rehearsal.operator.CALLS_AT_MOST", 500)
    played = play(stage_of(4), FAULTLESS)
    assert [v for v in played.violations if v.invariant == "I9" and "has not ended" in v.message]


def test_a_late_balancer_write_of_a_dead_run_is_seen_and_mended() -> None:
    late = Point("fault", "late", faults=(Fault(Way.LATE, 1, "balancer.write"),))
    played = play(stage_of(4), late)
    assert played.violations == []
    assert played.as_found


@pytest.mark.parametrize(("max_rejections", "limit"), [(0, "max_rejections"), (None, "max_outage")])
def test_an_address_that_answers_404_spends_the_budget_and_everything_goes_back(
    max_rejections: int | None, limit: str
) -> None:
    cluster = small_cluster()
    probes = tuple(replace(probe, max_rejections=max_rejections) for probe in cluster.probes)
    piece = Piece(replace(cluster, probes=probes), EACH_NODE, Engine)
    player = Player(piece)
    rejected = [point for point in programme_of(piece, player) if point.event and "404" in point.event.kind]
    assert len(rejected) > 5
    for played in map(player.play, rejected):
        assert (played.run_exit, played.as_found, played.violations) == (20, True, []), played.point.where
        assert f"({limit})" in played.message


@pytest.mark.soak
def test_the_whole_rehearsal_of_small_clusters_breaks_nothing() -> None:
    for nodes, endpoints in ((2, 1), (3, 2), (4, 2)):
        report = rehearse(Piece(small_cluster(nodes, endpoints), EACH_NODE, Engine), workers=2)
        assert report.broken == {}, [f"{b.invariant}: {b.message} ({b.where})" for b in report.broken.values()]
        assert report.not_as_found == 0
