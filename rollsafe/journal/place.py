"""Where the journal lies: its file, the rights of file and folder, and whether the disk is a network's."""

import os
import re
import tempfile
from pathlib import Path

from rollsafe.errors import InvalidInput
from rollsafe.journal.trouble import emptied, trouble

# WAL shares memory between processes, which a network file system can't give: https://www.sqlite.org/wal.html
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "ocfs2", "gfs2", "9p", "glusterfs"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone"}
)


_ROOM = 256 * 1024  # bytes, of a new database with its WAL and the WAL's index, and of a run's first records
_HEADER = 100  # bytes, of every database: https://www.sqlite.org/fileformat2.html


def state_folder() -> Path:
    """The user's state folder; a relative $XDG_STATE_HOME does not count, as its specification says."""
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "state"
    return base / "rollsafe"


def store_path(url: str | None) -> Path:
    """The file that `state` names: None is the user's state folder, `sqlite:///relative`, `sqlite:////absolute`.

    Raises InvalidInput for anything else.
    """
    if url is None:
        return state_folder() / "rollsafe.db"
    if url.startswith(("postgresql:", "postgres:", "postgresql+")):
        raise InvalidInput(
            ["state: PostgreSQL is not part of this version; name a file: sqlite:////var/lib/rollsafe/rollsafe.db"]
        )
    scheme, found, rest = url.partition(":///")
    if scheme != "sqlite" or not found or not rest:
        shown = re.sub(r"//[^/@]*@", "//…@", url)
        raise InvalidInput(
            [f"state: {shown!r} is no address of a journal; allowed is sqlite:////var/lib/rollsafe/rollsafe.db"]
        )
    return Path(rest).expanduser()


def prepare(file: Path) -> None:
    """Make the folder (0700) and the empty file (0600) where they are missing. Raises JournalError, also where the file
    was cut to almost nothing: SQLite would take some such files for new ones."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            _sync_folder(file.parent)
        size = file.stat().st_size
    except OSError as error:
        raise trouble(error, file, "opening it") from error
    if 0 < size < _HEADER:
        raise emptied(file)


def nearest(file: Path) -> Path:
    """The folder of the file, or the one above it in which the missing ones would be made."""
    return next((place for place in file.parents if os.access(place, os.F_OK)), Path("/"))


def try_room(file: Path) -> None:
    """Is there room for the journal? Writes a file without a name, of which nothing stays. Raises JournalError."""
    try:
        with tempfile.TemporaryFile(dir=nearest(file), buffering=0) as trial:
            rest = bytes(_ROOM)
            while rest:  # a disk takes what fits, and says only then that it is full
                rest = rest[trial.write(rest) :]
            os.fsync(trial.fileno())  # some say it only here
    except OSError as error:
        raise trouble(error, file, "writing there") from error


def on_network(file: Path, mounts: str | None = None) -> bool:
    """Does the file lie on a network file system? `mounts` is the text of /proc/mounts; False where that is missing."""
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return False
    path = os.path.realpath(file)
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[1])  # \040 is a space
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two on one point the later one is seen
            best, kind = point, fields[2]
    return kind in NETWORK_FILE_SYSTEMS


def _sync_folder(folder: Path) -> None:
    """A new file is durable only when its folder's entry is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
