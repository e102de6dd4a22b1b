"""How things are said: times, places, and texts that other programs wrote."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rollsafe.model.record import Record

LONGEST_TEXT = 600

# Not strftime's, which speak the language of the machine.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# The second line of defence: drivers put no secret into a record, but a product's own error text may quote one.
_IN_URL = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s:@]*:[^/\s@]+@")
_IN_HEADER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_IN_PAIR = re.compile(r"\b(password|passwd|token|secret|api[_-]?key)=[^&\s\"',;]+", re.IGNORECASE)


def hide(text: str) -> str:
    """The text without credentials in URLs, Authorization headers and `password=…` pairs."""
    if "://" in text:
        text = _IN_URL.sub(r"\1***@", text)
    if "=" in text:
        text = _IN_PAIR.sub(r"\1=***", text)
    return _IN_HEADER.sub(r"\1 ***", text)


def clean(text: object, longest: int = LONGEST_TEXT) -> str:
    """One line that is safe to show: no control characters (a terminal would obey them), no credentials, bounded."""
    line = hide(_CONTROL.sub(" ", _SURROGATE.sub("?", str(text)))).strip()
    return line if len(line) <= longest else line[: longest - 1] + "…"


def whole(text: object, longest: int = 4000) -> str:
    """A sentence of a run, safe to show: where it is too long its middle goes, for its end says what to type."""
    line = clean(text, 100 * longest)
    half = longest // 2
    return line if len(line) <= longest else f"{line[: half - 2]} … {line[-half + 1 :]}"


def number(data: Mapping[str, Any], key: str) -> float | None:
    """The finite number under `key`, or None."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def text(data: Mapping[str, Any], key: str) -> str:
    """The text under `key`, clean; empty where there is none."""
    value = data.get(key)
    return "" if value is None else clean(value)


def names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The names under `key`: a list, or the keys of a map."""
    value = data.get(key)
    if isinstance(value, Mapping | list | tuple):
        return tuple(clean(one.get("name", one) if isinstance(one, Mapping) else one) for one in value)
    return ()


def took(seconds: float | None) -> str:
    """A length of time for people: `0.4 s`, `41 s`, `1m 30s`, `2h 05m`."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def clock_face(seconds: float) -> str:
    """A moment of the run: `4:07`, `1:04:07`."""
    whole = int(max(0.0, seconds)) if math.isfinite(seconds) else 0
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def moment(time: str) -> str:
    """A moment on the wall, for people: `Sat 7 Mar 2026, 01:00:00 UTC`; a text that is no RFC 3339 as it is."""
    try:
        when = datetime.fromisoformat(time).astimezone(UTC)
    except ValueError:
        return time
    return f"{_DAYS[when.weekday()]} {when.day} {_MONTHS[when.month - 1]} {when.year}, {when:%H:%M:%S} UTC"


def place(record: Record) -> str:
    """Where it happened: `jira1 scim`, `jira1`, `scim`, or nothing."""
    return " ".join(clean(part, 80) for part in (record.node, record.service) if part)


def seat(record: Record) -> str:
    """Which member: `jira/jira1 on tcp://lb1:9999`."""
    member = "/".join(part for part in (text(record.data, "pool"), text(record.data, "seat")) if part)
    endpoint = clean(record.endpoint or record.balancer or "")
    return " on ".join(part for part in (member, endpoint) if part)


def state(value: object) -> str:
    """An admin state, which a record holds as a word or as `{admin, restore}`."""
    if isinstance(value, Mapping):
        value = value.get("admin", "?")
    return "?" if value is None else clean(value, 40)


def reading(data: Mapping[str, Any]) -> str:
    """The last reading of a wait, in words: `3 active`, `STARTING`."""
    seen = data.get("reading")
    if not isinstance(seen, Mapping):
        return clean(seen, 120) if seen not in (None, "") else ""
    # The product's own words of each member are in the events; a line has the sum of them.
    told = {key: value for key, value in seen.items() if not (key == "members" and "active" in seen)}
    return ", ".join(_one_reading(str(key), value) for key, value in told.items() if value not in (None, ""))


def _one_reading(key: str, value: object) -> str:
    if key == "active":
        return f"{clean(value, 20)} active"
    if key in ("state", "detail"):
        return clean(value, 120)
    if isinstance(value, bool):
        return clean(key if value else f"not {key}", 60)
    if isinstance(value, Mapping):
        return f"{clean(key, 40)} {reading({'reading': value})}"
    if isinstance(value, float):
        return f"{clean(key, 40)} {value:g}"
    return f"{clean(key, 100)} {clean(value, 120)}"
