"""A file that the operator names, opened for writing at once or not at all: the kernel would let a pipe without a
reader hold up the run, and its ending, too."""

import errno
import os
import re
from pathlib import Path

from rollsafe.reporting.outlet import PIPE_CHUNK, STALL_MS, writable

_OWN = re.compile(r"/dev/(?:fd/(?P<fd>\d+)|(?P<stdout>stdout)|(?P<stderr>stderr))|/proc/self/fd/(?P<proc>\d+)")
_AT_ONCE = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_SQLITE = b"SQLite format 3\0"
DATABASE = "it is a database, as the journal is"

_held: dict[Path, int] = {}  # pipes that were opened before the run, for what is written at its end


def open_to_write(path: Path, rights: int = 0o666) -> int:
    """A descriptor that appends; what is missing is made. Raises OSError, also for a pipe without a reader."""
    if is_database(path):
        raise OSError(errno.EEXIST, DATABASE)
    own = own_descriptor(path)
    if own is not None:
        return os.dup(own)  # opened anew, `/dev/stdout > file` would be written over from its beginning
    try:
        descriptor = os.open(path, _AT_ONCE | os.O_CREAT, rights)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "nobody reads this pipe (start its reader first)") from error
        raise
    os.set_blocking(descriptor, True)
    return descriptor


def own_descriptor(path: Path) -> int | None:
    """The number of the descriptor that `/dev/stdout` and its like name; None for any other path."""
    found = _OWN.fullmatch(str(path))
    if found is None:
        return None
    return 1 if found["stdout"] else 2 if found["stderr"] else int(found["fd"] or found["proc"])


def is_database(path: Path) -> bool:
    """Is it SQLite's, as the journal is? Whatever is written into it spoils it."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def is_stream(path: Path) -> bool:
    """Is it a device, a pipe or an end of this process: written to as it is, and never replaced?"""
    return own_descriptor(path) is not None or (path.exists() and not path.is_file())


def hold(path: Path) -> None:
    """Open a pipe now, and keep it open for `write_into`. Raises OSError where nobody reads it, or may write to it.

    To open it just for a look and close it again would tell its reader that this was all.
    """
    own = own_descriptor(path)
    if own is not None:
        os.fstat(own)
    elif path not in _held and path.is_fifo():
        _held[path] = open_to_write(path)
    elif not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def write_into(path: Path, text: str) -> None:
    """Write into a stream. Raises OSError, also where a reader takes nothing for two seconds."""
    held = _held.pop(path, None)
    descriptor = held if held is not None else open_to_write(path)
    try:
        rest = text.encode("utf-8", "backslashreplace")
        while rest:
            if not writable(descriptor, STALL_MS):
                raise OSError(errno.EAGAIN, f"its reader took nothing for {STALL_MS / 1000:g} s")
            rest = rest[os.write(descriptor, rest[:PIPE_CHUNK]) :]
    finally:
        os.close(descriptor)
