"""Events as JSON Lines: one object a line, each line whole, whatever happens."""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from rollsafe.errors import InvalidInput
from rollsafe.model.record import Record
from rollsafe.reporting.opening import open_to_write
from rollsafe.reporting.outlet import Outlet
from rollsafe.reporting.words import hide

_DEEPEST = 12  # levels of nesting; a record of ours has five


class JsonLines:
    """A Listener that writes each record as one line of section 4 of the contract."""

    def __init__(self, stream: IO[str], *, own: bool = False) -> None:
        """`own`: close() closes the stream, too."""
        self._stream = stream
        self._own = own
        self._outlet = Outlet(stream)

    @classmethod
    def to_file(cls, path: str | Path) -> "JsonLines":
        """Append to a file (`--events FILE`). Raises InvalidInput where it can't be opened."""
        try:
            stream = os.fdopen(open_to_write(Path(path)), "a", encoding="utf-8")
        except OSError as error:
            raise InvalidInput([f"--events {path}: can't be written: {error.strerror or error}"]) from error
        return cls(stream, own=True)

    @property
    def dropped(self) -> int:
        """How many lines nobody took."""
        return self._outlet.dropped

    def hear(self, record: Record) -> None:
        """Write one record."""
        with contextlib.suppress(Exception):
            self._outlet.line(as_json(record))

    def close(self) -> None:
        """Write what a stalled reader has not taken yet, and close the file if it is ours."""
        self._outlet.close()
        if self._own:
            with contextlib.suppress(OSError, ValueError):
                self._stream.close()


def as_json(record: Record) -> str:
    """The record as one line of JSON. Pure ASCII, so that no terminal, log or locale can break it."""
    return json.dumps(as_object(record), ensure_ascii=True, allow_nan=False, separators=(", ", ": "))


def as_object(record: Record) -> dict[str, Any]:
    """The record as a flat map: its own fields first, then those of its data. None is left out."""
    known = {
        "time": record.time,
        "run": record.run,
        "seq": record.seq,
        "type": record.type,
        "node": record.node,
        "service": record.service,
        "balancer": record.balancer,
        "endpoint": record.endpoint,
        "message": record.message or None,
    }
    flat = {key: plain(value) for key, value in known.items() if value is not None}
    for key, value in record.data.items():
        flat.setdefault(str(key), plain(value))
    return flat


def plain(value: object, depth: int = 0) -> Any:
    """A value that JSON can hold: no NaN, no foreign types, no credentials, not endlessly deep."""
    if value is None or isinstance(value, bool | int | float):
        return None if isinstance(value, float) and not math.isfinite(value) else value
    if isinstance(value, str) or depth >= _DEEPEST:
        return hide(str(value)) if isinstance(value, str) else "…"
    if isinstance(value, Mapping):
        return {str(key): plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one, depth + 1) for one in value]
    return hide(str(value))
