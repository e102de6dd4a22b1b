"""A value that never prints, and how a text that others wrote is kept from printing it."""

import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote

HIDDEN = "[hidden]"
_SHORT = 4  # so few letters are hidden as a word of their own only: else they would be cut out of other words
_LINE = 8  # a line of a key or of a known_hosts is as secret as the whole

_shapes: dict[str, None] = {}  # of the whole process; only added to, in one step, so that threads may


class Secret:
    """A secret behind its reference (`env:NAME`, `file:PATH` …). Only `reveal()` gives it, and only drivers call it.

    `reference` is safe to print; for a literal secret it is `literal`.
    """

    __slots__ = ("_read", "_value", "reference")

    def __init__(self, reference: str, read: Callable[[], str]) -> None:
        self.reference = reference
        self._read = read
        self._value: str | None = None

    def reveal(self) -> str:
        """The secret itself. Raises InvalidInput where the reference leads nowhere."""
        if self._value is None:
            value = self._read()
            keep_hidden(value)
            self._value = value
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is never pickled")


def keep_hidden(value: str) -> None:
    """From now on `hide` leaves this value out, too: a secret, or what was made of one to be sent."""
    _shapes.update(dict.fromkeys(_written(value)))


def hide(text: str) -> str:
    """The text without any secret that was revealed: for logs and tracebacks, whose words are a library's."""
    return _pattern(tuple(_shapes)).sub(HIDDEN, text) if _shapes else text


@lru_cache(maxsize=1)
def _pattern(shapes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(_whole(shape) for shape in sorted(shapes, key=len, reverse=True)))


def _written(value: str) -> frozenset[str]:
    """How a value may stand in a text: as it is, escaped as in a URL or by Python, and each of its lines."""
    lines = {line.strip() for line in value.splitlines() if len(line.strip()) >= _LINE}
    bare = {value, value.strip(), *lines}
    escaped = {repr(one)[1:-1] for one in bare} | {repr(one.encode())[2:-1] for one in bare}
    return frozenset(bare | escaped | {quote(one) for one in bare} | {quote(one, safe="") for one in bare}) - {""}


def _whole(shape: str) -> str:
    return re.escape(shape) if len(shape) >= _SHORT else rf"(?<!\w){re.escape(shape)}(?!\w)"
