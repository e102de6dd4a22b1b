"""Windows and blackouts: the spellings of people become the one that the planner reads."""

import re
from datetime import date
from functools import partial
from zoneinfo import ZoneInfo, available_timezones

from rollsafe.config.context import Context
from rollsafe.config.inventory import Window
from rollsafe.config.problems import did_you_mean
from rollsafe.model.cluster import WindowRules
from rollsafe.planner.window import DAYS, parse_blackout, parse_opening

_DAYS_AND_HOURS = re.compile(r"^([A-Za-z]+(?:\s*[-,]\s*[A-Za-z]+)*)\s+(\d{1,2}:\d{2})\s*-\s*(\d{1,2}:\d{2})$")


def window_rules(context: Context, written: Window | None) -> WindowRules | None:
    """The rules, each opening as `Sat 02:00-05:00` and each blackout as `DATE/DATE`."""
    if written is None:
        return None
    context.attempt(("window", "timezone"), lambda: _timezone(written.timezone))
    openings: list[str] = []
    for index, text in enumerate(written.open or ()):
        openings += context.attempt(("window", "open", index), partial(_openings, text)) or ()
    blackouts = [
        context.attempt(("window", "blackouts", index), partial(_blackout, text))
        for index, text in enumerate(written.blackouts or ())
    ]
    return WindowRules(written.timezone, tuple(openings), tuple(text for text in blackouts if text))


def _timezone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        guess = did_you_mean(name, available_timezones())
        raise ValueError(f'"{name}" is no time zone: write an IANA name such as Europe/Oslo{guess}') from None


def _openings(text: str) -> list[str]:
    """`Mon-Fri 22:00-02:00`, `Sat,Sun 2:00-5:00` and `daily 01:00-03:00`, one entry for each day."""
    match = _DAYS_AND_HOURS.match(text.strip())
    if match is None:
        raise ValueError(f'"{text}" is no window: write "Sat 02:00-05:00" or "Mon-Fri 22:00-02:00"')
    days, start, end = match.groups()
    entries = [f"{day} {start.zfill(5)}-{end.zfill(5)}" for part in days.split(",") for day in _days(part, text)]
    for entry in entries:
        parse_opening(entry)
    return entries


def _days(part: str, text: str) -> list[str]:
    if part.strip().lower() in ("daily", "everyday"):
        return list(DAYS)
    names = [name.strip().capitalize()[:3] for name in part.split("-")]
    unknown = [name for name in names if name not in DAYS]
    if unknown or len(names) > 2:
        raise ValueError(f'"{text}" names no day of the week: write {", ".join(DAYS)}, or daily')
    first, last = DAYS.index(names[0]), DAYS.index(names[-1])
    return [DAYS[number % 7] for number in range(first, last + 1 if last >= first else last + 8)]


def _blackout(text: str) -> str:
    """Also one day alone."""
    both = text if "/" in text else f"{text}/{text}"
    try:
        first, last = parse_blackout(both)
    except ValueError:
        allowed = 'write "2026-12-20/2027-01-04", the earlier day first (both are included)'
        raise ValueError(f'"{text}" is no blackout: {allowed}') from None
    return f"{_day(first)}/{_day(last)}"


def _day(day: date) -> str:
    return day.isoformat()
