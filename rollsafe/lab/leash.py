"""The leash: every process of the lab ends when the one that built it ends, however that one died.

The builder holds the write end of a FIFO and never writes. A process on the leash reads it: the end of the file means
that the builder is gone. `python -m rollsafe.lab.leash FIFO PROGRAM ARGS` keeps a foreign program on the leash.
"""

import errno
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path


class Leash:
    """The builder's end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path, 0o600)
        # Read and write, so that opening does not wait for a reader. The descriptor is not inherited by children.
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._fd: int | None = os.open(path, os.O_WRONLY)
        os.close(reader)

    def drop(self) -> None:
        """Let every process on the leash end."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def wait_for_end(path: Path) -> None:
    """Return when the builder is gone: at once, where it was gone before."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        while _held(fd):
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            poller.poll(60_000)
    finally:
        os.close(fd)


def _held(fd: int) -> bool:
    """Does anybody hold the write end? Nobody ever writes, so that a read is either the end or nothing yet."""
    try:
        return os.read(fd, 1) != b""
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
            return True
        raise


def end_with(path: Path, last_act: Callable[[], None] | None = None) -> None:
    """End this process when the builder ends, after `last_act`."""

    def watch() -> None:
        wait_for_end(path)
        if last_act is not None:
            last_act()
        os._exit(0)

    threading.Thread(target=watch, name="leash", daemon=True).start()


def main(arguments: list[str]) -> int:
    """Run a program, hand signals on to it, and end it with the builder. Returns the status that a shell would."""
    path, program = Path(arguments[0]), arguments[1:]
    with subprocess.Popen(program, stdin=subprocess.DEVNULL) as child:
        end_with(path, child.kill)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: child.send_signal(number))
        status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
