"""A way out for lines that can neither fail nor stall the run.

A pipe's reader may be gone, a disk may be full, and a terminal may be stopped with Ctrl-S. None of these may raise
into the engine, and none may hold it up while a node is out of service.
"""

import contextlib
import io
import os
import select
import stat
import threading
from collections import deque
from typing import IO

STALL_MS = 2000  # the longest a reader that takes nothing is waited for, once
BACKLOG = 16 * 1024 * 1024  # bytes kept for such a reader; then whole lines are dropped, and counted
PIPE_BYTES = 1 << 20  # the most that a user may ask for without rights
PIPE_CHUNK = 4096  # PIPE_BUF of Linux: a pipe that polls writable takes this much without blocking


class Outlet:
    """Writes whole lines to one stream, in order, from any thread and from a signal handler. Never raises.

    Each line is one write() where the kernel takes it whole. `dropped` counts lines that nobody took.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._fd = _descriptor(stream)
        # A stand-in for stdout (it may remember lines) is written through; only its readiness is asked below it.
        self._plain = isinstance(stream, io.TextIOWrapper)
        self._regular = self._plain and _is_regular(self._fd)
        _widen(self._fd)
        self._lock = threading.RLock()  # a signal handler may write in the middle of a write of its own thread
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._busy = False
        self._stalled = False
        self._dead = False
        self.dropped = 0

    def line(self, line: str) -> None:
        """Write one line (without its line end)."""
        with contextlib.suppress(Exception), self._lock:
            self._accept((line + "\n").encode("utf-8", "replace"))
            self._drain(0 if self._stalled else STALL_MS)

    def close(self) -> None:
        """Give a stalled reader one last chance. The stream stays open: it belongs to whoever opened it."""
        with contextlib.suppress(Exception), self._lock:
            self._drain(STALL_MS)

    def _accept(self, line: bytes) -> None:
        if self._dead or self._queued + len(line) > BACKLOG:
            self.dropped += 1
            return
        self._queue.append(line)
        self._queued += len(line)

    def _drain(self, patience_ms: int) -> None:
        if self._busy:  # we are inside a signal handler: the write that was interrupted goes on, and takes ours too
            return
        self._busy = True
        try:
            while self._queue and not self._dead:
                line = self._queue.popleft()
                rest = self._write(line, patience_ms)
                self._queued -= len(line) - len(rest)
                if rest:
                    self._queue.appendleft(rest)
                    break
        finally:
            self._busy = False

    def _write(self, line: bytes, patience_ms: int) -> bytes:
        """Write as much as is taken; the rest."""
        try:
            if self._fd is None:
                self._stream.write(line.decode("utf-8"))
                self._stream.flush()
                return b""
            if self._regular:
                return self._write_file(self._fd, line)
            return self._write_pipe(self._fd, line, patience_ms)
        except (OSError, ValueError):  # the reader is gone, the disk is full, or the stream is closed
            self._lose(line)
            return b""

    def _write_pipe(self, descriptor: int, line: bytes, patience_ms: int) -> bytes:
        while line:
            if not writable(descriptor, patience_ms):
                self._stalled = True
                return line
            line = line[self._put(descriptor, line[:PIPE_CHUNK]) :]
        self._stalled = False
        return b""

    def _put(self, descriptor: int, chunk: bytes) -> int:
        if self._plain:
            return os.write(descriptor, chunk)
        whole = chunk.decode("utf-8", "ignore")  # a chunk may end in the middle of a letter: that part comes next time
        self._stream.write(whole)
        self._stream.flush()
        return len(whole.encode("utf-8"))

    def _write_file(self, descriptor: int, line: bytes) -> bytes:
        written = 0
        try:
            while written < len(line):
                written += os.write(descriptor, line[written:])
        except OSError:
            if written:  # half a line would make the file unreadable for machines
                _take_back(descriptor, written)
            raise
        return b""

    def _lose(self, line: bytes) -> None:
        """A regular file may have room again later; a pipe or terminal that is gone never comes back."""
        self.dropped += 1
        if self._regular:
            return
        self._dead = True
        self.dropped += len(self._queue)
        self._queue.clear()
        self._queued = len(line)


def _widen(descriptor: int | None) -> None:
    """Let a pipe hold a whole run's lines (64 KiB else), so that whoever reads it only at the end gets the last one."""
    with contextlib.suppress(Exception):  # Linux only, and only as far as this user may
        import fcntl

        if descriptor is not None and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _descriptor(stream: IO[str]) -> int | None:
    """The stream's descriptor, or None for one that lives in memory."""
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
        return None


def _is_regular(descriptor: int | None) -> bool:
    try:
        return descriptor is not None and stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _take_back(descriptor: int, written: int) -> None:
    """Cut off the half line that was just written, unless somebody else wrote behind it."""
    with contextlib.suppress(OSError):
        end = os.fstat(descriptor).st_size
        if os.lseek(descriptor, 0, os.SEEK_CUR) == end:
            os.ftruncate(descriptor, end - written)
            os.lseek(descriptor, end - written, os.SEEK_SET)


def writable(descriptor: int, patience_ms: int) -> bool:
    """Will it take something within this time (or say at once that it never will)?"""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(patience_ms))
