"""The `rollsafe` command as an operator meets it: words in, exit code, two streams and events out."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed.process import hearing_a_hangup


@dataclass(frozen=True)
class Result:
    """What one command left."""

    command: tuple[str, ...]
    exit: int  # negative: the signal that killed it
    stdout: str
    stderr: str
    seconds: float
    cpu_s: float = 0.0
    peak_mib: float = 0.0

    @property
    def events(self) -> list[dict]:
        """stdout as JSON Lines; a line that is no JSON is an error, as it is to a pipeline."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def finished(self) -> dict:
        """The last line, which must be `run.finished`."""
        last = self.events[-1] if self.stdout.strip() else {}
        assert last.get("type") == "run.finished", f"the last line is no run.finished: {self.text}"
        return last

    @property
    def text(self) -> str:
        """All that there is, for the text of a failed assertion."""
        head = f"$ {' '.join(self.command)}\nexit {self.exit} after {self.seconds:.1f}s"
        return f"{head}\n{self.stdout[-9000:]}\n{self.stderr[-4000:]}"


@dataclass
class Running:
    """A command under way; its stdout is read as it comes."""

    command: tuple[str, ...]
    process: subprocess.Popen[str]
    began: float = field(default_factory=time.monotonic)
    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream, into: list[str]) -> None:
        with stream:
            into.extend(iter(stream.readline, ""))

    def wait_for(self, type_: str, timeout_s: float = 40, **wanted: object) -> dict:
        """The first event of that type whose fields (or those of its data) are as told. Raises AssertionError."""
        deadline, seen = time.monotonic() + timeout_s, 0
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            while seen < len(self.lines):
                event = json.loads(self.lines[seen])
                seen += 1
                if event["type"] == type_ and all(field_of(event, k) == v for k, v in wanted.items()):
                    return event
            if ended and seen == len(self.lines) and not any(r.is_alive() for r in self._readers):
                break
            time.sleep(0.01)
        raise AssertionError(f"no {type_} {wanted} within {timeout_s}s:\n{self._text()}")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def result(self, timeout_s: float = 90) -> Result:
        """Wait for its end. Raises AssertionError after the time-out, having killed it."""
        deadline = time.monotonic() + timeout_s
        while True:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                self.process.kill()
                self.process.wait(10)
                raise AssertionError(f"still running after {timeout_s}s:\n{self._text()}")
            time.sleep(0.01)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        for reader in self._readers:
            reader.join(10)
        cpu = usage.ru_utime + usage.ru_stime
        out, err = "".join(self.lines), "".join(self.errors)
        seconds = time.monotonic() - self.began
        return Result(self.command, self.process.returncode, out, err, seconds, cpu, usage.ru_maxrss / 1024)

    def stop(self) -> None:
        """For the end of a test that failed in the middle."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def _text(self) -> str:
        return f"$ {' '.join(self.command)}\n{''.join(self.lines[-40:])}\n{''.join(self.errors[-40:])}"


def field_of(event: dict, name: str) -> object:
    """A field of an event, or of its `data`."""
    return event[name] if name in event else (event.get("data") or {}).get(name)


def start(words: Sequence[str], folder: Path, environment: Mapping[str, str], *, job: bool = False) -> Running:
    """Start `rollsafe WORDS` in `folder`, with no terminal."""
    return start_python(["-m", "rollsafe", *words], folder, environment, job=job)


def start_python(words: Sequence[str], folder: Path, environment: Mapping[str, str], *, job: bool = False) -> Running:
    """Start `python WORDS` in `folder`, with no terminal. `job`: as a shell starts its jobs, in a session with others;
    alone in one, SIGTSTP would stop nothing."""
    command = [sys.executable, *words]
    with hearing_a_hangup():
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=not job,
            process_group=0 if job else None,
        )
    name = words[1:] if words[0] == "-m" else words
    return Running(tuple(name), process)
