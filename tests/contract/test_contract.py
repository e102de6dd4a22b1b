"""What every driver owes the engine, on the real product."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rollsafe.errors import BalancerError, Effect
from rollsafe.model.reading import AdminState, Check, Found
from tests.contract.conftest import Stage, driver_of
from tests.contract.products import eventually

READY, DRAIN, MAINT = AdminState.READY, AdminState.DRAIN, AdminState.MAINT


def in_background(stage: Stage, path: str = "/slow", cookie: str = "") -> "tuple[threading.Thread, list[str]]":
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(stage.product.get(path, cookie)))
    thread.start()
    return thread, answers


def test_reads_every_seat_with_address_state_and_check(stage: Stage) -> None:
    stage.await_checks(Check.UP)
    reading = stage.read()
    assert reading.pool == "web"
    assert tuple(seat.seat for seat in reading.seats) == stage.seats
    assert [seat.address for seat in reading.seats] == [node.address for node in stage.nodes]
    assert {(seat.admin, seat.active, seat.counts, seat.inherited) for seat in reading.seats} == {
        (READY, 0, "requests", None)
    }
    assert reading.process
    assert all(seat.raw for seat in reading.seats)


@pytest.mark.parametrize("state", [DRAIN, MAINT])
def test_out_keeps_new_clients_away_and_back_lets_them_in(stage: Stage, state: AdminState) -> None:
    stage.await_checks(Check.UP, 0)
    stage.await_checks(Check.UP, 1)
    stage.write(state)
    assert (stage.seat(0).admin, stage.seat(1).admin) == (state, READY)
    assert stage.product.reached() == {"n2"}
    stage.write(READY)
    assert stage.seat(0).admin is READY
    assert eventually(lambda: stage.product.reached() == {"n1", "n2"}, "both nodes are reached")


def test_a_write_whose_time_is_over_is_not_sent(stage: Stage) -> None:
    with pytest.raises(BalancerError) as caught:
        stage.driver.write("web", stage.seats[0], Found(DRAIN), within_s=1e-9)
    assert caught.value.effect is Effect.NONE
    assert stage.seat(0).admin is READY
    stage.driver.write("web", stage.seats[0], Found(DRAIN), within_s=10)
    assert stage.seat(0).admin is DRAIN


def test_drain_keeps_sticky_clients_and_maint_moves_them(stage: Stage) -> None:
    stage.await_checks(Check.UP, 1)
    stage.write(DRAIN)
    assert stage.product.reached(3, cookie=stage.sticky_to_first) == {"n1"}
    stage.write(MAINT)
    assert stage.product.reached(3, cookie=stage.sticky_to_first) == {"n2"}


def test_a_request_in_flight_is_counted_until_it_ends_through_drain_and_maint(stage: Stage) -> None:
    stage.await_checks(Check.UP)
    before = stage.seat().total
    thread, answers = in_background(stage, cookie=stage.sticky_to_first)
    eventually(lambda: stage.seat().active == 1, "one request in flight")
    for state in (DRAIN, MAINT):
        stage.write(state)
        assert (stage.seat().admin, stage.seat().active) == (state, 1)
    stage.nodes[0].release.set()
    thread.join(5)
    assert answers == ["n1"]
    eventually(lambda: stage.seat().active == 0, "none in flight")
    assert before is not None
    assert stage.seat().total == before + 1


def test_a_check_that_fails_shows_while_drained_and_the_drain_shows_while_down(stage: Stage) -> None:
    stage.await_checks(Check.UP)
    stage.write(DRAIN)
    stage.nodes[0].healthy = False
    assert stage.await_checks(Check.DOWN).admin is DRAIN
    stage.nodes[0].healthy = True
    assert stage.await_checks(Check.UP).admin is DRAIN


def test_maint_goes_back_through_drain_until_the_check_passed(stage: Stage) -> None:
    stage.await_checks(Check.UP, 0)
    stage.await_checks(Check.UP, 1)
    stage.write(MAINT)
    stage.nodes[0].healthy = False
    stage.write(DRAIN)
    assert stage.await_checks(Check.DOWN).admin is DRAIN
    assert stage.product.reached() == {"n2"}
    stage.nodes[0].healthy = True
    stage.await_checks(Check.UP)
    stage.write(READY)
    assert (stage.seat().admin, stage.seat().check) == (READY, Check.UP)


def test_a_pool_without_checks_says_so_in_every_state(stage: Stage) -> None:
    for state in (READY, DRAIN, MAINT, READY):
        stage.write(state, pool="unchecked")
        seat = stage.seat(pool="unchecked")
        assert (seat.admin, seat.check) == (state, Check.NOT_CHECKED)


def test_two_pools_with_a_seat_of_the_same_name_are_driven_apart(stage: Stage) -> None:
    stage.write(DRAIN, pool="unchecked")
    assert stage.seat(pool="unchecked").admin is DRAIN
    assert stage.seat(pool="web").admin is READY


@pytest.mark.parametrize("found_state", [READY, DRAIN, MAINT])
def test_a_found_state_is_restored_exactly(stage: Stage, found_state: AdminState) -> None:
    stage.write(found_state)
    found = stage.seat().found
    for state in (DRAIN, MAINT, DRAIN):
        stage.write(state)
    stage.driver.write("web", stage.seats[0], found)
    assert stage.seat().found == found
    stage.driver.write("web", stage.seats[0], found)  # and again changes nothing
    assert stage.seat().found == found


def test_an_unknown_pool_is_an_error_that_lists_the_pools(stage: Stage) -> None:
    with pytest.raises(BalancerError, match="wbe") as caught:
        stage.driver.read("wbe")
    assert "web, unchecked" in str(caught.value)
    assert caught.value.effect is Effect.NONE
    with pytest.raises(BalancerError, match="web, unchecked") as caught:
        stage.driver.write("wbe", stage.seats[0], Found(DRAIN))
    assert caught.value.effect is Effect.NONE


def test_an_unknown_seat_is_an_error_that_lists_the_seats(stage: Stage) -> None:
    with pytest.raises(BalancerError, match="n9") as caught:
        stage.driver.write("web", "n9", Found(DRAIN))
    assert caught.value.effect is Effect.NONE
    assert all(seat in str(caught.value) for seat in stage.seats)


def test_a_reload_that_wipes_a_drain_is_seen_at_once_and_names_another_process(stage: Stage) -> None:
    stage.await_checks(Check.UP)
    stage.write(DRAIN)
    before = stage.read()
    thread, _ = in_background(stage, cookie=stage.sticky_to_first)
    eventually(lambda: stage.seat().active == 1, "one request in flight")
    stage.product.reload()
    after = eventually(lambda: (r := stage.read()).process != before.process and r, "another process answers")
    assert after.seats[0].admin is READY
    assert after.seats[0].active == 0  # the old process still carries it: that is why the process is named
    stage.nodes[0].release.set()
    thread.join(5)
    stage.write(DRAIN)
    assert stage.seat().admin is DRAIN


def test_a_balancer_that_is_gone_is_an_error_without_effect(stage: Stage) -> None:
    stage.product.stop()
    with pytest.raises(BalancerError, match="can't be reached") as caught:
        stage.read()
    assert caught.value.effect is Effect.NONE
    with pytest.raises(BalancerError, match="can't be reached") as caught:
        driver_of(stage.kind, stage.url).write("web", stage.seats[0], Found(DRAIN))
    assert caught.value.effect is Effect.NONE


def test_many_threads_may_share_a_driver(stage: Stage) -> None:
    stage.await_checks(Check.UP)

    def turn(number: int) -> int:
        stage.write(DRAIN if number % 2 else READY, which=number % 2, pool="unchecked")
        return len(stage.read().seats)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(turn, range(40))) == [2] * 40
    assert [seat.admin for seat in stage.read("unchecked").seats] == [READY, DRAIN]
