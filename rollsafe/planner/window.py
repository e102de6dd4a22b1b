"""When steps may start. Windows are told in local time and compared as instants, so that a summer-time day is right."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil, floor
from zoneinfo import ZoneInfo

from rollsafe.model.cluster import WindowRules
from rollsafe.model.verdict import Verdict

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_OPEN = re.compile(r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([0-2]\d):([0-5]\d)-([0-2]\d):([0-5]\d)$")
_MINUTE = timedelta(minutes=1)
_BLACKOUT = re.compile(r"^(\d{4}-\d{2}-\d{2})/(\d{4}-\d{2}-\d{2})$")


@dataclass(frozen=True, slots=True)
class Opening:
    """One weekly opening. An end that is not after the start lies on the next day; 24:00 is midnight."""

    weekday: int
    start: time
    length_until: time
    next_day: bool


def parse_opening(text: str) -> Opening:
    """`Sat 02:00-05:00`. Raises ValueError with the allowed form."""
    found = _OPEN.match(text)
    if found is None or int(found[2]) > 23 or (int(found[4]), int(found[5])) > (24, 0):
        raise ValueError(f"{text!r} is no window; write it as `Sat 02:00-05:00` (Mon to Sun, local time)")
    start = time(int(found[2]), int(found[3]))
    end = time(int(found[4]) % 24, int(found[5]))
    return Opening(DAYS.index(found[1]), start, end, next_day=end <= start)


def parse_blackout(text: str) -> tuple[date, date]:
    """`2026-12-20/2027-01-04`, both days included. Raises ValueError."""
    found = _BLACKOUT.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no blackout; write it as `2026-12-20/2027-01-04` (both days included)")
    first, last = date.fromisoformat(found[1]), date.fromisoformat(found[2])
    if last < first:
        raise ValueError(f"{text!r} ends before it begins")
    return first, last


def verdict(
    rules: WindowRules | None, until: str | None, now: datetime, need: timedelta, nodes: Sequence[str] = ()
) -> Verdict:
    """May a node that takes `need`, or all of `nodes` together, be begun now? The end is the window's, the next
    blackout's or --until's."""
    ends: list[tuple[datetime, str]] = []
    if until is not None:
        ends.append((datetime.fromisoformat(until), "--until"))
    if rules is not None:
        zone = ZoneInfo(rules.timezone)
        blackout = _blackout(rules, zone, now)
        if blackout is not None and blackout[0] <= now:
            return Verdict("window", False, f"blackout until {_both(blackout[1], zone)}")
        if blackout is not None:
            ends.append((blackout[0], "the next blackout"))
        if rules.open:
            closing = closes(rules, now)
            if closing is None:
                opening = opens(rules, now)
                when = _both(opening, zone) if opening else "never"
                return Verdict("window", False, f"the window is closed; it opens {when}")
            ends.append((closing, "the window's end"))
    for end, what in sorted(ends):
        left = end - now
        if left < need:
            who = f"{', '.join(nodes)} take" if len(nodes) > 1 else "a node takes"
            reason = f"{_when(what, left)} ({end.astimezone(UTC):%H:%M} UTC), {who} {_long(ceil(need.total_seconds()))}"
            fewer = f", or with fewer nodes: --nodes {','.join(nodes[:-1])}" if len(nodes) > 1 else ""
            return Verdict("window", False, reason, remedy=f"begin in the next window{fewer}")
    return Verdict("window", True, "no window is set" if not ends else "a node fits before " + min(ends)[1])


def _when(what: str, left: timedelta) -> str:
    return f"{what} is in {_long(floor(left.total_seconds()))}" if left > timedelta() else f"{what} is past"


def _long(seconds: int) -> str:
    """To the second: of two times, one of which is too short for the other, the numbers must show it."""
    minutes, rest = divmod(seconds, 60)
    if seconds < 90:
        return f"{seconds} s"
    return f"{minutes} min" if not rest else f"{minutes} min {rest} s"


def closes(rules: WindowRules, now: datetime) -> datetime | None:
    """When the opening that holds `now` ends (adjoining openings are one); None where none holds it."""
    spans = sorted(_spans(rules, now))
    end: datetime | None = None
    for start, stop in spans:
        if end is None and start <= now < stop:
            end = stop
        elif end is not None and start <= end:
            end = max(end, stop)
    return end


def opens(rules: WindowRules, now: datetime) -> datetime | None:
    """When the next opening begins; one that begins in a blackout, and goes on after it, begins then."""
    zone = ZoneInfo(rules.timezone)
    begin = min((start for start, _ in _spans(rules, now) if start > now), default=None)
    for _ in rules.blackouts:  # each is in the way once at most
        blackout = None if begin is None else _blackout(rules, zone, begin)
        if begin is None or blackout is None or begin < blackout[0]:
            break
        over = blackout[1]
        begin = min((max(start, over) for start, stop in _spans(rules, over) if stop > over), default=None)
    return begin


def _spans(rules: WindowRules, now: datetime) -> list[tuple[datetime, datetime]]:
    """The openings around `now`, as instants."""
    zone = ZoneInfo(rules.timezone)
    today = now.astimezone(zone).date()
    spans = []
    for entry in rules.open:
        opening = parse_opening(entry)
        for offset in range(-8, 9):
            day = today + timedelta(days=offset)
            if day.weekday() != opening.weekday:
                continue
            last = day + timedelta(days=1) if opening.next_day else day
            start = _instant(day, opening.start, zone)
            stop = _instant(last, opening.length_until, zone)
            if start < stop:
                spans.append((start, stop))
    return spans


def _instant(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """A local time as an instant. One that comes twice is its first; one that is jumped over is the jump itself."""
    later = datetime.combine(day, clock, zone).astimezone(UTC)
    if later.astimezone(zone).replace(tzinfo=None) == datetime.combine(day, clock):
        return later
    earlier = datetime.combine(day, clock.replace(fold=1), zone).astimezone(UTC)
    offset = later.astimezone(zone).utcoffset()
    while later - earlier > _MINUTE:  # halves: the jump lies between the two
        middle = earlier + (later - earlier) / 2
        middle = middle.replace(second=0, microsecond=0)
        earlier, later = (earlier, middle) if middle.astimezone(zone).utcoffset() == offset else (middle, later)
    return later


def _blackout(rules: WindowRules, zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime] | None:
    """The blackout that holds `now` or comes next, as instants."""
    coming = []
    for entry in rules.blackouts:
        first, last = parse_blackout(entry)
        start = _instant(first, time(), zone)
        end = _instant(last + timedelta(days=1), time(), zone)
        if end > now:
            coming.append((start, end))
    return min(coming, default=None)


def _both(moment: datetime, zone: ZoneInfo) -> str:
    local = moment.astimezone(zone)
    return f"{local:%a %Y-%m-%d %H:%M} {zone.key} ({moment.astimezone(UTC):%H:%M} UTC)"
