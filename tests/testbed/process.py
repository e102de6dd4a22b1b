"""Child processes of the testbed: each is ended by its own pid, and none outlives its bed."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def program(name: str) -> str:
    """Where a program of the distribution is. Raises FileNotFoundError."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found


@contextmanager
def hearing_a_hangup() -> Iterator[None]:
    """What is started within hears SIGHUP, though `nohup` may have started the tests. A handler is not inherited, and
    keeps a hang-up that comes meanwhile from ending them. On another thread than the main one nothing can be set."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def wait_until(question: Callable[[], object], timeout_s: float, what: str) -> None:
    """Ask until the answer is yes. Raises TimeoutError that names `what`."""
    deadline = time.monotonic() + timeout_s
    while not question():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {timeout_s} s")
        time.sleep(0.03)


class Daemon:
    """One child process with its log file."""

    def __init__(self, name: str, command: Sequence[str], log: Path, **more: object) -> None:
        self.name, self.command, self.log, self._more = name, list(command), log, more
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._more
            )

    def send(self, number: signal.Signals) -> None:
        if self.runs:
            os.kill(self.pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 5) -> None:
        """End it, with force after the time-out. A stopped process is woken first, so that it can end."""
        if not self.runs:
            return
        assert self._process is not None
        self.send(signal.SIGCONT)
        self.send(number)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout_s)

    def wait_for(self, ready: Callable[[], object], timeout_s: float = 10) -> None:
        """Wait until it does its work. Raises RuntimeError with the end of its log when it ended or takes too long."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.runs or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not work:\n{self.tail()}")
            time.sleep(0.03)

    def tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


def children_of(pid: int) -> list[int]:
    """All descendants of a process, youngest first."""
    found: list[int] = []
    try:
        direct = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return found
    for child in direct:
        found += [*children_of(child), child]
    return found


def kill_quietly(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
