"""The hash chain: each record's hash covers the one before it, back to the run's first line. Pure.

Whoever changes, drops or moves a record breaks every hash that follows. What the chain alone can't show is that its
last records were cut off; for that the store keeps each run's length and last hash beside it.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from rollsafe.errors import JournalError
from rollsafe.model.record import Record


def canonical(value: Any) -> str:
    """The one way to write a JSON value: sorted keys, no spaces, ASCII. Raises JournalError for what is no JSON."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise JournalError(f"a record holds what JSON can't hold ({error}): a defect, nothing was written") from error


def seal(previous: str, body: str) -> str:
    """The hash of a body that follows the one with the hash `previous` (empty for the first). SHA-256, in hex."""
    return hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()


def record_body(record: Record) -> str:
    """A record as canonical JSON."""
    return canonical({name: _plain(getattr(record, name)) for name in Record.__dataclass_fields__})


def read_record(body: str) -> Record:
    """The record of a body. Raises ValueError where it makes no sense."""
    fields = json.loads(body)
    if not isinstance(fields, dict) or not {"run", "seq", "type", "time", "at_s"} <= fields.keys():
        raise ValueError("not a record")
    # A newer rollsafe may have written more than we know; what we know keeps its meaning.
    return Record(**{name: fields[name] for name in Record.__dataclass_fields__ if name in fields})


def verify_lines(lines: list[str]) -> str:
    """Check an exported chain (see Store.export) without a database: the reason why it is broken, empty if it holds."""
    previous = ""
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            body, claimed = canonical(entry["body"]), entry["hash"]
        except (ValueError, KeyError, TypeError):
            return f"line {number} is no line of a chain"
        if seal(previous, body) != claimed:
            return f"line {number} was changed, or a line before it is missing"
        previous = claimed
    return "" if lines else "there are no lines"


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
