"""A value that never prints."""

from collections.abc import Callable


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
            self._value = self._read()
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is never pickled")
