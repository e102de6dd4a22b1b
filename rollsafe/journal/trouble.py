"""What went wrong with the database, in words: the file, the cause, and what to do now."""

import sqlite3
from pathlib import Path

from rollsafe.errors import JournalError

RECOVER = "`rollsafe recover` needs no journal: it works from the claims on the nodes."

_CAUSES = {
    "SQLITE_FULL": ("the disk is full", "Free some space there"),
    "SQLITE_READONLY": ("it may not be written to", "Check the rights of the file and of its folder"),
    "SQLITE_PERM": ("it may not be read", "Check the rights of the file and of its folder"),
    "SQLITE_AUTH": ("it may not be read", "Check the rights of the file and of its folder"),
    "SQLITE_CANTOPEN": ("it can't be opened", "Check that its folder exists and is yours"),
    "SQLITE_BUSY": ("another process has held it for 5 s", "See who uses it, and try again"),
    "SQLITE_LOCKED": ("another process has held it for 5 s", "See who uses it, and try again"),
    "SQLITE_IOERR": ("the disk reports an I/O error", "Look at the disk, or name another file with `state:`"),
    "SQLITE_CORRUPT": ("it is damaged", "Move the file away and keep it; a new one is made by the next run"),
    "SQLITE_NOTADB": ("it is damaged, or no database", "Move the file away and keep it; a new one is made"),
    "SQLITE_TOOBIG": ("a record is too big", "This is a defect"),
    "SQLITE_CONSTRAINT": ("it refuses the record", "This is a defect"),
    "SQLITE_NOMEM": ("there is no memory left", "Free some memory"),
}


class Damaged(JournalError):
    """What is stored is not what was written."""


def trouble(error: Exception, file: Path, doing: str) -> JournalError:
    """The error to raise in place of `error`."""
    cause, remedy = _why(error)
    return JournalError(f"the journal {file}: {doing} failed: {cause}. {remedy}. {RECOVER}")


def damaged(file: Path, run: str, what: str) -> Damaged:
    """The error for content that can't be what was written."""
    return Damaged(
        f"the journal {file} is damaged: run {run}: {what}. Nothing of this run is read from it. "
        f"Move the file away and keep it. {RECOVER}"
    )


def emptied(file: Path) -> Damaged:
    """The error for a file that is not even as long as a database's header."""
    return Damaged(
        f"the journal {file} is damaged: it is empty, and whatever it held is gone (or a run died at the moment in "
        f"which it made the file). Move it away; a new one is made by the next run. {RECOVER}"
    )


def _why(error: Exception) -> tuple[str, str]:
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", None) or ""
        for known, words in _CAUSES.items():
            if name == known or name.startswith(known + "_"):
                return words
        # Python's own: a column that holds no text, a connection that is closed
        return f"it can't be used ({error})", "It may be damaged: move the file away and keep it"
    if isinstance(error, OSError):
        return error.strerror or str(error), "Check the path, its rights, and the space on its disk"
    return str(error), "It may be damaged: move the file away and keep it"
