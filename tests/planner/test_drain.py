"""The drain, from the least critical service up, on what the balancers are seen to say."""

from dataclasses import replace

import pytest

from rollsafe.model.cluster import Idle
from rollsafe.planner.decisions import FinishStep, HaltRun, RestartNode, StartStep, Wait, WriteMembers
from rollsafe.planner.readings import Watch
from tests.planner.scene import DRAIN, MAINT, READY, Look, Story, decide, look_again, make_plan, scene


def shape(decision: object) -> object:
    """A decision in few words."""
    match decision:
        case StartStep():
            return f"start {decision.step} {decision.service or ''}".strip()
        case FinishStep():
            return f"finish {decision.step} {decision.service or ''} {decision.outcome}"
        case WriteMembers():
            return [f"{w.member.service}@{w.member.endpoint[6:9]} {w.to.admin.value}" for w in decision.writes]
        case _:
            return type(decision).__name__


def begun(**more: object) -> tuple[Look, Story]:
    return scene(lambda look, story: story.begin("a"), **more)


def draining(service: str = "scim") -> tuple[Look, Story]:
    """Web is done; SCIM's drain was begun and written."""
    look, story = begun()
    for name in ("web", "scim"):
        story.add("step.started", "a", name, step="drain")
        for member in look.plan.members_of("a", name):
            story.wrote(member, DRAIN)
        if name == service:
            break
        story.add("step.finished", "a", name, step="drain", outcome="cut")
    return look, story


def test_the_least_critical_service_goes_first():
    look, story = begun()
    assert shape(decide(look, story)) == "start drain web"
    story.add("step.started", "a", "web", step="drain")
    assert shape(decide(look, story)) == ["web@lb3 drain"]


def test_scim_is_not_touched_before_web_is_drained():
    look, story = draining("web")
    look.set("a", "web", active=7)
    assert shape(decide(look, story)) == "Wait"
    story.add("step.finished", "a", "web", step="drain", outcome="drained")
    assert shape(decide(look, story)) == "start drain scim"


ARRIVALS = {
    # the totals of the drained members at each look (first endpoint), the admin state: what follows
    "nobody new got in": ([7, 7, 7, 7], DRAIN, "finish drain scim drained"),
    "somebody got in between two looks: pinned clients, so that maint keeps them out": (
        [7, 7, 8],
        DRAIN,
        "start maint scim",
    ),
    "the balancer was started anew, and counts from 0": ([7, 0, 0, 0], DRAIN, "finish drain scim drained"),
    "the product tells no totals": ([None, None, None], DRAIN, "finish drain scim drained"),
}


@pytest.mark.parametrize("row", ARRIVALS)
def test_clients_that_still_get_into_a_drained_member_of_scim(row):
    totals, admin, expected = ARRIVALS[row]
    look, story = draining()
    for total in totals:
        look.set("a", "scim", 0, admin=admin, total=total, active=0)
        look_again(look, story)
    assert shape(decide(look, story)) == expected


def test_a_pool_that_pins_its_clients_goes_into_maint_before_it_is_waited_for():
    look, story = draining()
    look.pinned.add("scim")
    look.set("a", "scim", active=3)
    look_again(look, story)
    assert shape(decide(look, story)) == "start maint scim"


def test_scim_in_maint_is_drained_as_soon_as_nothing_is_in_flight():
    look, story = draining()
    for total in (7, 8):
        look.set("a", "scim", total=total, active=1)
        look_again(look, story)
    story.add("step.started", "a", "scim", step="maint")
    assert shape(decide(look, story)) == ["scim@lb1 maint", "scim@lb2 maint"]
    for member in look.plan.members_of("a", "scim"):
        story.wrote(member, MAINT)
    look.set("a", "scim", active=1)
    look_again(look, story)
    assert shape(decide(look, story)) == "Wait"
    look.set("a", "scim", active=0)
    for _ in range(3):
        look_again(look, story)
    assert shape(decide(look, story)) == "finish drain scim drained"


def test_every_endpoint_of_a_pair_is_drained():
    look, story = draining("web")
    story.add("step.finished", "a", "web", step="drain", outcome="drained")
    story.add("step.started", "a", "scim", step="drain")
    assert shape(decide(look, story)) == ["scim@lb1 drain", "scim@lb2 drain"]


def test_a_member_that_a_person_has_out_already_is_not_written_again():
    look, story = scene(lambda look, story: look.set("a", "scim", 0, admin=MAINT))
    story.begin("a")
    story.add("step.started", "a", "web", step="drain")
    story.add("step.finished", "a", "web", step="drain", outcome="drained")
    look.set("a", "web", admin=DRAIN)
    story.add("step.started", "a", "scim", step="drain")
    assert shape(decide(look, story)) == ["scim@lb2 drain"]


@pytest.mark.parametrize(("readings", "expected"), [(0, "Wait"), (2, "Wait"), (3, "finish drain scim drained")])
def test_scim_is_drained_after_three_readings_of_zero_running(readings, expected):
    look, story = draining()
    for _ in range(readings):
        look_again(look, story)
    assert shape(decide(look, story)) == expected


def test_one_request_starts_the_count_anew():
    look, story = draining()
    for active in (0, 0, 1, 0, 0):
        look.set("a", "scim", 1, active=active)
        look_again(look, story)
    assert shape(decide(look, story)) == "Wait"
    look_again(look, story)
    assert shape(decide(look, story)) == "finish drain scim drained"


def test_a_reading_that_does_not_say_what_is_active_is_no_zero():
    look, story = draining()
    look.set("a", "scim", 0, active=None)
    for _ in range(5):
        look_again(look, story)
    assert shape(decide(look, story)) == "Wait"


def test_a_gap_in_time_starts_the_count_anew():
    look, story = draining()
    look_again(look, story)
    look_again(look, story)
    look_again(look, story, 5, gap="the laptop slept")
    assert shape(decide(look, story)) == "Wait"


def test_a_scim_drain_that_never_ends_stops_the_run_with_its_reason():
    look, story = draining()
    look.set("a", "scim", 1, active=1)
    look.at_s += 29
    assert isinstance(decide(look, story), Wait)
    look.at_s += 2
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    assert decision.reason == "scim of a still has 1 active after 30 s of drain (idle: required)"
    assert "longer timeout" in decision.remedy


def test_a_drain_that_came_through_late_has_its_whole_time():
    look, story = draining("web")
    story.add("step.finished", "a", "web", step="drain", outcome="drained")
    story.add("step.started", "a", "scim", step="drain")
    members = look.plan.members_of("a", "scim")
    story.failed(members[0], DRAIN)
    look.at_s += 29.0
    for member in members:
        story.wrote(member, DRAIN)
    look.set("a", "scim", active=1)
    look.at_s += 25.0
    assert shape(decide(look, story)) == "Wait"
    look.at_s += 6.0
    assert isinstance(decide(look, story), HaltRun)


def test_a_mark_that_is_wiped_while_it_drains_gives_the_drain_no_new_time():
    look, story = draining()
    for _ in range(5):
        look.at_s += 20.0
        look.set("a", "scim", admin=READY)
        for member in look.plan.members_of("a", "scim"):
            story.wrote(member, DRAIN)
    look.set("a", "scim", active=1)
    assert isinstance(decide(look, story), HaltRun)


def test_what_is_in_flight_lingers_from_when_maint_is_seen():
    look, story = draining("web")
    story.add("step.started", "a", "web", step="maint")
    look.at_s += 8.0
    story.wrote(look.member("a", "web"), MAINT)
    look.set("a", "web", active=1)
    look.at_s += 8.0
    assert shape(decide(look, story)) == "Wait"


def test_in_tcp_mode_the_stop_names_the_remedies():
    look, story = draining()
    look.set("a", "scim", 1, active=1, counts="connections")
    look.at_s += 31
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    for remedy in ("HTTP mode", "shorter client time-out", "idle: preferred"):
        assert remedy in decision.remedy


def test_a_new_balancer_process_hides_requests_for_as_long_as_a_drain_may_take():
    look, story = draining()
    for m in look.plan.members:
        look.process[m.balancer, m.endpoint, m.pool] = "1"
    look_again(look, story)
    key = next(k for k in look.process if k[1] == "tcp://lb2:1")
    look.process[key] = "2"
    for _ in range(29):
        look_again(look, story)
        assert isinstance(decide(look, story), Wait)
    for _ in range(2):
        look_again(look, story)
    assert shape(decide(look, story)) == "finish drain scim drained"


def test_web_goes_to_maint_when_it_is_idle_and_when_its_time_is_up():
    look, story = draining("web")
    look.set("a", "web", active=4)
    look.at_s += 49
    assert isinstance(decide(look, story), Wait)
    look.at_s += 2
    assert shape(decide(look, story)) == "start maint web"
    look, story = draining("web")
    for _ in range(3):
        look_again(look, story)
    assert shape(decide(look, story)) == "start maint web"


def test_web_in_maint_lingers_for_what_is_in_flight_and_then_counts_what_it_cuts():
    look, story = draining("web")
    story.add("step.started", "a", "web", step="maint")
    assert shape(decide(look, story)) == ["web@lb3 maint"]
    story.wrote(look.member("a", "web"), MAINT)
    look.set("a", "web", active=2)
    look.at_s += 14
    assert isinstance(decide(look, story), Wait)
    look.at_s += 2
    decision = decide(look, story)
    assert shape(decision) == "finish drain web cut"
    assert isinstance(decision, FinishStep)
    assert decision.data["cut"] == 2


def test_one_reading_of_zero_is_enough_in_maint():
    look, story = draining("web")
    story.add("step.started", "a", "web", step="maint")
    story.wrote(look.member("a", "web"), MAINT)
    look_again(look, story)
    assert shape(decide(look, story)) == "finish drain web drained"


def test_a_mark_that_a_reload_wiped_is_written_again_and_drained_anew():
    look, story = scene(lambda look, story: story.drained())
    assert isinstance(decide(look, story), RestartNode)
    look.set("a", "scim", 1, admin=READY)
    assert shape(decide(look, story)) == ["scim@lb2 drain"]
    story.wrote(look.member("a", "scim", 1), DRAIN)
    assert story.state.nodes["a"].drains["scim"].outcome is None
    assert isinstance(decide(look, story), Wait)


def test_a_drain_that_is_wiped_for_ever_ends_in_a_stop():
    look, story = scene(lambda look, story: story.drained())
    for _ in range(4):
        story.wrote(look.member("a", "scim", 1), DRAIN)
        story.add("step.finished", "a", "scim", step="drain", outcome="drained")
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    assert "wiped" in decision.reason


def test_a_balancer_that_is_reloaded_again_and_again_ends_in_a_stop():
    look, story = draining()
    key, began_s = look.member("a", "scim").pool_key, look.at_s
    for seconds, expected in [(10, Wait), (119, Wait), (121, HaltRun)]:
        look.at_s = began_s + seconds
        look.watch = Watch(reloaded_at={key: look.at_s - 1}, idle={("a", "scim"): 3})
        decision = decide(look, story)
        assert isinstance(decision, expected), (seconds, decision)
    assert isinstance(decision, HaltRun)
    assert "reloaded again and again" in decision.reason


@pytest.mark.parametrize(("seconds", "expected"), [(39.0, Wait), (40.0, HaltRun)])
def test_endpoints_that_take_turns_at_being_silent_make_no_drain_endless(seconds, expected):
    look, story = draining()  # 30 s of drain, and the 10 s that an endpoint may be silent
    look.mute("scim", int(seconds) % 2)
    look.watch = Watch(unread_since={look.member("a", "scim", int(seconds) % 2).pool_key: look.at_s + seconds})
    look.at_s += seconds
    decision = decide(look, story)
    assert isinstance(decision, expected)
    if isinstance(decision, HaltRun):
        assert "did not answer all at once in 40 s of drain" in decision.reason


SILENCE = [(9.0, "Wait"), (10.5, "HaltRun")]


@pytest.mark.parametrize(("seconds", "expected"), SILENCE)
def test_an_endpoint_that_is_silent_before_the_stop_ends_in_putting_back(seconds, expected):
    look, story = draining()
    look.mute("scim", 1)
    look.watch = Watch(unread_since={("scim-lb", "tcp://lb2:1", "scim-pool"): look.at_s})
    look.at_s += seconds
    assert shape(decide(look, story)) == expected


def test_an_endpoint_that_does_not_answer_lets_no_drain_end():
    look, story = draining()
    look.watch = Watch(idle={("a", "scim"): 3})
    assert shape(decide(look, story)) == "finish drain scim drained"
    look.mute("scim", 1)
    assert isinstance(decide(look, story), Wait)


def test_a_write_that_fails_three_times_ends_in_putting_back():
    look, story = begun()
    story.add("step.started", "a", "web", step="drain")
    for pause_s in (2, 4):
        story.failed(look.member("a", "web"), DRAIN)
        assert shape(decide(look, story)) == "Wait", "a blip of a second or two stops no run"
        look.at_s += pause_s
        assert shape(decide(look, story)) == ["web@lb3 drain"]
    story.failed(look.member("a", "web"), DRAIN)
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    assert "could not be taken out in 3 tries: refused" in decision.reason


def test_what_failed_in_taking_out_does_not_delay_the_putting_back():
    look, story = draining("web")
    story.add("step.started", "a", "web", step="maint")
    for _ in range(3):
        story.failed(look.member("a", "web"), MAINT)
    story.halt("it could not be taken out")
    assert shape(decide(look, story)) == "start ready"
    story.add("step.started", "a", step="ready")
    assert shape(decide(look, story)) == ["web@lb3 ready"]


def test_a_restart_that_could_not_be_sent_three_times_ends_in_putting_back():
    look, story = scene(lambda look, story: story.drained())
    for _ in range(3):
        assert isinstance(decide(look, story), RestartNode)
        story.add("restart.failed", "a", message="no connection", effect="none")
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    assert decision.reason == "a was not restarted: no connection"


def test_scim_may_be_preferred_and_web_required():
    plan = make_plan()
    services = tuple(
        replace(s, idle=Idle.PREFERRED if s.name == "scim" else Idle.REQUIRED, linger_s=5) for s in plan.services
    )
    look, story = begun(plan=replace(plan, services=services))
    story.add("step.started", "a", "web", step="drain")
    story.wrote(look.member("a", "web"), DRAIN)
    look.set("a", "web", active=1)
    look.at_s += 51
    assert isinstance(decide(look, story), HaltRun)


LIFTED = {
    "once": (1, {}, "Wait"),
    "twice, by no reload": (2, {}, "HaltRun"),
    "four times, with reloads": (4, {"reloaded": True}, "Wait"),
    "five times, with reloads": (5, {"reloaded": True}, "HaltRun"),
    "four times, where the process is not known": (4, {"unknown": True}, "Wait"),
}


@pytest.mark.parametrize(("times", "by", "expected"), LIFTED.values(), ids=list(LIFTED))
def test_a_mark_that_something_else_takes_away_again_and_again_ends_in_a_stop(times, by, expected):
    look, story = draining()
    member = look.member("a", "scim")
    for _ in range(times):
        story.wrote(member, DRAIN)
    key = member.pool_key
    look.watch = Watch(
        reloaded_at={key: look.at_s - 60} if by.get("reloaded") else {}, process={} if by.get("unknown") else {key: "7"}
    )
    decision = decide(look, story)
    assert shape(decision) == expected
    if expected == "HaltRun":
        assert f"was lifted {times} times" in decision.reason
        assert ("agent-check" in decision.remedy) is (not by)


def test_another_try_of_a_write_is_no_lifted_mark():
    look, story = draining()
    member = look.member("a", "scim")
    story.wrote(member, DRAIN)
    for _ in range(2):
        story.wrote(member, DRAIN, done=False)
        story.failed(member, DRAIN)
    assert story.state.nodes["a"].lifted == {member: 2}
