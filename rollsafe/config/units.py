"""The small texts of an inventory: durations, min_ready, names, host:port, jump hosts."""

import re
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from rollsafe.model.cluster import MinReady
from rollsafe.model.settings import Hop

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
_IPV6 = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9]+)?"
_LABELS = r"(?![.-])[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*(?<!-)"
HOST = re.compile(rf"^(?=.{{1,254}}\Z)(?:{_LABELS}|{_IPV6})\Z")
DURATION = r"^(?=[0-9])(?:[0-9]+h)?(?:[0-9]+m)?(?:[0-9]+s)?(?:[0-9]+ms)?$"

_PARTS = re.compile(r"^(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?$")
_LONGEST_S = 7 * 24 * 3600.0


def seconds(text: object) -> float:
    """`500ms`, `90s`, `5m`, `1h30m` in seconds. Raises ValueError; a bare number names no unit."""
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        # pydantic turns a ValueError into a problem, and lets a TypeError through.
        raise ValueError(  # noqa: TRY004 - every problem here is a ValueError
            'is no duration: write "500ms", "90s", "5m" or "1h30m"'
        )
    bare = str(text).strip()
    if re.fullmatch(r"\d+(\.\d+)?", bare):
        raise ValueError(f'{bare} names no unit: write "{bare}s", "{bare}m" or "{bare}ms"')
    match = _PARTS.match(bare)
    if match is None or not bare:
        raise ValueError(f'"{_short(bare)}" is no duration: write "500ms", "90s", "5m" or "1h30m"')
    if len(bare) > 20:
        raise ValueError(f'"{_short(bare)}" is longer than a week')
    hours, minutes, whole, thousandths = (int(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + whole + thousandths / 1000
    if total > _LONGEST_S:
        raise ValueError(f'"{bare}" is longer than a week')
    return total


def positive_seconds(text: object) -> float:
    """A duration that is not 0. Raises ValueError."""
    total = seconds(text)
    if total <= 0:
        raise ValueError(f'"{text}" is no time at all: it must be more than 0')
    return total


def written(total: float) -> str:
    """Seconds as a person writes them: `1h30m`, `90s`, `500ms`."""
    thousandths = round(total * 1000)
    if thousandths % 1000:
        return f"{thousandths}ms"
    whole = thousandths // 1000
    if whole % 60 or not whole or whole < 120:
        return f"{whole}s"
    hours, minutes = divmod(whole // 60, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")


def min_ready(value: object) -> MinReady:
    """`all-others`, 3 or `80%`. Raises ValueError."""
    allowed = 'write "all-others", a number such as 3, or a percentage such as "80%"'
    if value == "all-others":
        return MinReady()
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return MinReady(count=value)
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)\s*%", value)):
        percent = float(match.group(1))
        if percent <= 100:
            return MinReady(percent=percent)
    raise ValueError(f'"{_short(str(value))}" is not known: {allowed}')


def name(text: str) -> str:
    """A name that is safe in file names and in a claim. Raises ValueError."""
    if not NAME.match(text):
        raise ValueError(
            f'the name "{_short(text)}" must begin with a letter or digit and hold only A-Z a-z 0-9 . _ - (63 at most):'
            " it becomes part of file names"
        )
    return text


def host(text: str) -> str:
    """A host name or an IP address (IPv6 without brackets). Raises ValueError."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not HOST.match(bare) or (":" in bare and not _is_ipv6(bare)):
        allowed = "write a name or an IP address, without a scheme, port, path or empty part"
        raise ValueError(f'"{_short(text)}" is no host: {allowed}')
    return bare


def _is_ipv6(text: str) -> bool:
    """Is it one, and no IPv4 address with a port?"""
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def is_host_of_url(text: str) -> bool:
    """Can it be the host of an address? Letters that DNS does not have are sent as xn--, and a last dot is fine."""
    try:
        host(text.encode("idna").decode("ascii").removesuffix("."))
    except ValueError:  # UnicodeError, of an empty label or one of more than 63 signs, is one
        return False
    return True


def host_port(text: str) -> str:
    """`host:port` (IPv6 in brackets). Raises ValueError."""
    try:
        parts = urlsplit(f"//{text}")
        if parts.hostname and parts.port and not parts.username and not parts.path:
            host(parts.hostname)
            return text
    except ValueError:
        pass
    raise ValueError(f'"{_short(text)}" is no host:port, such as 10.0.1.100:443')


def hop(text: str) -> Hop:
    """`[user@]host[:port]`. Raises ValueError."""
    bare = text.removeprefix("ssh://")
    allowed = f'"{_short(text)}" is no jump host: write [user@]host[:port]'
    try:
        parts = urlsplit(f"//{bare}")
        port = parts.port
    except ValueError:
        raise ValueError(allowed) from None
    if not parts.hostname or parts.path or parts.query or parts.password is not None or "\\" in bare:
        raise ValueError(allowed)
    if not HOST.match(parts.hostname):
        raise ValueError(allowed)
    return Hop(parts.hostname, port, parts.username or None)


def _short(text: str) -> str:
    """For an error's sentence: not too long, and without a password that stands before an @."""
    shown = re.sub(r":[^@/]*@", ":…@", text)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"
