"""Windows and blackouts, against an oracle that walks the wall clock minute by minute and knows nothing of spans."""

import random
import re
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from rollsafe.model.cluster import WindowRules
from rollsafe.planner.window import closes, opens, parse_blackout, parse_opening, verdict

MINUTE = timedelta(minutes=1)
ZONES = ("Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kolkata", "UTC")


def shown(moment: datetime, zone: str) -> tuple[int, str]:
    """What the clock on the wall shows: the weekday, and HH:MM."""
    local = moment.astimezone(ZoneInfo(zone))
    return local.weekday(), f"{local:%H:%M}"


def wall_says_open(rules: WindowRules, moment: datetime) -> bool:
    """Does the clock on the wall show a time inside an opening?"""
    weekday, clock = shown(moment, rules.timezone)
    for entry in rules.open:
        day, times = entry.split(" ")
        first, last = times.split("-")
        begins = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun").index(day)
        if first < last:
            inside = weekday == begins and first <= clock < last
        else:  # over midnight
            inside = (weekday == begins and clock >= first) or (weekday == (begins + 1) % 7 and clock < last)
        if inside:
            return True
    return False


def wall_says_black(rules: WindowRules, moment: datetime) -> bool:
    """Does the calendar on the wall show a day of a blackout? Both its first and its last day are."""
    day = moment.astimezone(ZoneInfo(rules.timezone)).date().isoformat()
    return any(first <= day <= last for first, last in (entry.split("/") for entry in rules.blackouts))


def allowed(rules: WindowRules, moment: datetime, need_min: int) -> bool:
    return verdict(rules, None, moment, timedelta(minutes=need_min)).allowed


@cache
def changes(zone: str, year: int) -> list[datetime]:
    """When the zone's clock jumps."""
    moment, found = datetime(year, 1, 1, tzinfo=UTC), []
    before = moment.astimezone(ZoneInfo(zone)).utcoffset()
    while moment.year == year:
        moment += timedelta(minutes=30)
        offset = moment.astimezone(ZoneInfo(zone)).utcoffset()
        if offset != before:
            found.append(moment)
        before = offset
    return found


def a_rule(chance: random.Random) -> str:
    first, last = sorted(chance.sample(range(48), 2))
    if chance.random() < 0.3:
        first, last = last, first
    day = chance.choice(("Sat", "Sun", "Mon"))
    return f"{day} {first // 2:02d}:{first % 2 * 30:02d}-{last // 2:02d}:{last % 2 * 30:02d}"


def near_a_change(moment: datetime, jumps: list[datetime]) -> bool:
    return any(abs(moment - jump) <= timedelta(hours=2) for jump in jumps)


@pytest.mark.parametrize("zone", ZONES)
def test_the_window_is_open_when_the_clock_on_the_wall_says_so(zone):
    """For three weeks around each change of the clock. In the hours of the change itself the answer may only be the
    stricter one: a no where the wall says yes, as an hour that comes twice is told apart by nobody."""
    chance = random.Random(zone)
    for year in (2026, 2027):
        jumps = changes(zone, year)
        for jump in jumps or [datetime(year, 6, 7, tzinfo=UTC)]:
            rules = WindowRules(zone, tuple(a_rule(chance) for _ in range(2)))
            for step in range(0, 8 * 24 * 60, 17):
                moment = jump - timedelta(days=4) + step * MINUTE
                ours, walls = allowed(rules, moment, 0), wall_says_open(rules, moment)
                assert ours == walls or near_a_change(moment, jumps), (rules, moment)


SPRING = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)  # in Oslo 02:00 becomes 03:00
AUTUMN = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)  # in Oslo 03:00 becomes 02:00


def minutes_open(opening: str, around: datetime) -> list[str]:
    rules = WindowRules("Europe/Oslo", (opening,))
    moments = [around + step * MINUTE for step in range(-300, 301)]
    inside = [moment for moment in moments if allowed(rules, moment, 0)]
    return [f"{inside[0]:%H:%M}", f"{inside[-1] + MINUTE:%H:%M}"] if inside else []


CLOCK_CHANGES = {
    "spring: 02:00-05:00 has two hours": ("Sun 02:00-05:00", SPRING, ["01:00", "03:00"]),
    "spring: 00:30-02:30 ends with the jump, for the wall never shows 02:30": (
        "Sun 00:30-02:30",
        SPRING,
        ["23:30", "01:00"],
    ),
    "spring: 02:30-04:00 begins when the wall first shows a later time": (
        "Sun 02:30-04:00",
        SPRING,
        ["01:00", "02:00"],
    ),
    "spring: 02:10-02:50 never comes": ("Sun 02:10-02:50", SPRING, []),
    "spring: a window after the jump is as ever": ("Sun 04:00-05:00", SPRING, ["02:00", "03:00"]),
    "autumn: 02:00-03:00 has two hours": ("Sun 02:00-03:00", AUTUMN, ["00:00", "02:00"]),
    "autumn: 01:00-02:30 ends when 02:30 comes for the first time": ("Sun 01:00-02:30", AUTUMN, ["23:00", "00:30"]),
    "autumn: over midnight": ("Sat 23:00-04:00", AUTUMN, ["21:00", "03:00"]),
}


@pytest.mark.parametrize("row", CLOCK_CHANGES)
def test_the_day_on_which_the_clock_changes_in_oslo(row):
    opening, around, expected = CLOCK_CHANGES[row]
    assert minutes_open(opening, around) == expected


# --- I7: what is begun ends in time ----------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ZONES)
def test_what_is_begun_ends_inside_the_window_and_before_the_blackout(zone):
    chance = random.Random(f"{zone} I7")
    for _ in range(40):
        day = date(2026, 10, 23) + timedelta(days=chance.randrange(4))
        until = day + timedelta(days=chance.randrange(3))
        rules = WindowRules(zone, (a_rule(chance), a_rule(chance)), (f"{day}/{until}",))
        need = chance.choice((1, 20, 90, 300))
        moment = datetime(2026, 10, 22, tzinfo=UTC) + chance.randrange(7 * 24 * 60) * MINUTE
        if allowed(rules, moment, need):
            for step in (*range(0, need, 3), need - 1):
                at = moment + step * MINUTE
                black = wall_says_black(rules, at)
                assert not black, (rules, moment, need)
                jumps = changes(zone, 2026)
                assert wall_says_open(rules, at) or near_a_change(at, jumps), (rules, moment, need)


OSLO_NIGHT = WindowRules("Europe/Oslo", ("Sat 02:00-05:00", "Sun 02:00-04:00"), ("2026-12-20/2027-01-04",))
ROWS = {
    "a node of an hour, three hours before the end": ("2026-11-21T01:00", 60, True, "fits before the window's end"),
    "a node of an hour, exactly an hour before the end": ("2026-11-21T03:00", 60, True, "fits before"),
    "a node of an hour, a minute less": ("2026-11-21T03:01", 60, False, "the window's end is in 59 min"),
    "the last minute before it opens": ("2026-11-21T00:59", 1, False, "it opens Sat 2026-11-21 02:00 Europe/Oslo"),
    "the minute of its end": ("2026-11-21T04:00", 0, False, "it opens Sun 2026-11-22 02:00 Europe/Oslo"),
    "the first day of the blackout": ("2026-12-20T01:30", 1, False, "blackout until Tue 2027-01-05 00:00"),
    "its last day": ("2027-01-02T01:30", 1, False, "blackout until Tue 2027-01-05 00:00"),
    "the Saturday after it": ("2027-01-09T01:30", 1, True, "fits"),
    "the Saturday before it, and the blackout is a day away": ("2026-12-19T01:30", 60, True, "fits"),
}


@pytest.mark.parametrize("row", ROWS)
def test_the_window_of_the_contract(row):
    moment, need, allows, words = ROWS[row]
    said = verdict(OSLO_NIGHT, None, datetime.fromisoformat(moment).replace(tzinfo=UTC), timedelta(minutes=need))
    assert said.allowed is allows
    assert words in said.reason


def test_a_blackout_cuts_a_window_that_goes_over_midnight():
    rules = WindowRules("UTC", ("Sat 22:00-06:00",), ("2026-11-22/2026-11-22",))
    late = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)
    assert allowed(rules, late, 60)
    assert not allowed(rules, late, 61)
    assert "the next blackout" in verdict(rules, None, late, timedelta(minutes=61)).reason


def test_blackouts_alone_close_and_openings_are_not_needed():
    rules = WindowRules("UTC", (), ("2026-11-22/2026-11-22",))
    assert allowed(rules, datetime(2026, 11, 21, 12, 0, tzinfo=UTC), 60)
    assert not allowed(rules, datetime(2026, 11, 22, 12, 0, tzinfo=UTC), 1)
    assert not allowed(rules, datetime(2026, 11, 21, 23, 30, tzinfo=UTC), 60)


def test_until_is_an_end_of_its_own_and_the_earliest_end_counts():
    now = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
    until = "2026-11-21T02:00:00+01:00"  # it is this very minute
    assert not verdict(None, until, now, MINUTE).allowed
    assert verdict(None, "2026-11-21T01:01:00+00:00", now, MINUTE).allowed
    said = verdict(OSLO_NIGHT, "2026-11-21T01:30:00+00:00", now, timedelta(hours=1))
    assert (said.allowed, said.reason.split(" is in ")[0]) == (False, "--until")


SHUT = {
    # the blackouts, and when it opens after Saturday 2026-11-21 12:00
    "the Saturday is in a blackout": (("2026-11-23/2026-11-30",), "Sat 2026-12-05 02:00"),
    "two blackouts, one after the other": (("2026-12-01/2026-12-07", "2026-11-23/2026-11-30"), "Sat 2026-12-12 02:00"),
    "a blackout of a month": (("2026-11-23/2026-12-31",), "Sat 2027-01-02 02:00"),
    "a blackout that ends before it": (("2026-11-23/2026-11-27",), "Sat 2026-11-28 02:00"),
    "a blackout after it": (("2026-11-29/2026-11-30",), "Sat 2026-11-28 02:00"),
}


@pytest.mark.parametrize("row", SHUT)
def test_it_never_opens_in_a_blackout(row):
    blackouts, opening = SHUT[row]
    rules = WindowRules("UTC", ("Sat 02:00-05:00",), blackouts)
    said = verdict(rules, None, datetime(2026, 11, 21, 12, 0, tzinfo=UTC), MINUTE)
    assert said.reason == f"the window is closed; it opens {opening} UTC (02:00 UTC)"


def test_an_opening_that_goes_on_after_a_blackout_opens_then():
    rules = WindowRules("UTC", ("Sat 22:00-06:00",), ("2026-11-28/2026-11-28",))
    assert opens(rules, datetime(2026, 11, 22, 12, 0, tzinfo=UTC)) == datetime(2026, 11, 29, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left_s", "need_s", "words"),
    [
        (240.0, 267.0, "is in 4 min (01:04 UTC), a node takes 4 min 27 s"),
        (89.6, 89.9, "is in 89 s (01:01 UTC), a node takes 1 min 30 s"),
        (266.2, 266.8, "is in 4 min 26 s (01:04 UTC), a node takes 4 min 27 s"),
    ],
)
def test_the_numbers_of_a_refusal_explain_it(left_s, need_s, words):
    now = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
    until = (now + timedelta(seconds=left_s)).isoformat()
    said = verdict(None, until, now, timedelta(seconds=need_s))
    assert not said.allowed
    assert words in said.reason


def test_openings_that_adjoin_are_one():
    rules = WindowRules("UTC", ("Sat 22:00-24:00", "Sun 00:00-02:00", "Sun 01:00-03:00"))
    late = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)
    assert closes(rules, late) == datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
    assert opens(rules, late) == datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
    assert allowed(rules, late, 240)


def test_a_whole_day_is_an_opening():
    rules = WindowRules("UTC", ("Sat 00:00-24:00",))
    assert allowed(rules, datetime(2026, 11, 21, 0, 0, tzinfo=UTC), 24 * 60)
    assert not allowed(rules, datetime(2026, 11, 22, 0, 0, tzinfo=UTC), 0)


NO_WINDOWS = [
    "Sat 02:00",
    "sat 02:00-05:00",
    "Sat 24:00-05:00",
    "Sat 02:00-24:30",
    "Sat 02:60-05:00",
    "Sat 2:00-5:00",
    "",
]


@pytest.mark.parametrize("text", NO_WINDOWS)
def test_what_is_no_window_is_told_with_the_allowed_form(text):
    with pytest.raises(ValueError, match=re.escape("write it as `Sat 02:00-05:00`")):
        parse_opening(text)


NO_BLACKOUTS = ["2026-12-20", "2026-12-20/2026-12-19", "2026-13-01/2026-13-02", "20.12.2026/04.01.2027"]


@pytest.mark.parametrize("text", NO_BLACKOUTS)
def test_what_is_no_blackout_is_refused(text):
    with pytest.raises(ValueError, match=r"blackout|ends before|month"):
        parse_blackout(text)
