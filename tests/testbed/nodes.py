"""The nodes of the bed, as the operator of the bed handles them: start, faults, kill, what they report."""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.process import children_of, kill_quietly, wait_until

NODE_PROGRAM = Path(__file__).with_name("node.py")

# What an administrator would write. The node is started in a session of its own, with no terminal and no inherited
# descriptors, so that it outlives the SSH session that restarted it.
RESTART_SCRIPT = """#!/bin/sh
cd {folder} || exit 9
date +%s.%N >> restarts
if [ -e restart-hangs ]; then echo $$ > hanging; sleep 600; fi
if [ -e restart-fails ]; then echo "jira: cannot create PID file" >&2; exit 7; fi
pid=$(cat pid 2>/dev/null)
if [ -n "$pid" ] && kill "$pid" 2>/dev/null; then
  n=0
  while kill -0 "$pid" 2>/dev/null && [ $n -lt 200 ]; do sleep 0.05; n=$((n+1)); done
fi
if [ -e restart-lies ]; then exit 0; fi
setsid {python} {program} {folder} </dev/null >>node.log 2>&1 9>&- &
sleep 0.05
if [ -e restart-never-ends ]; then echo $$ > hanging; sleep 600; fi
exit 0
"""


@dataclass
class TestNode:
    """One node: its folder is its machine."""

    __test__ = False

    name: str
    host: str
    folder: Path
    web: int = 8080
    scim: int = 5501
    killed: bool = False  # by the test, while the observer watches: no restart of rollsafe

    @property
    def restart_command(self) -> str:
        return str(self.folder / "restart.sh")

    @property
    def identity_command(self) -> str:
        return f"cat {self.folder / 'identity'}"

    def prepare(self, tenant: str, token: str, start_s: float) -> None:
        """Lay out the machine, without starting anything."""
        self.folder.mkdir(parents=True)
        settings = {"name": self.name, "host": self.host, "web": self.web, "scim": self.scim}
        settings |= {"tenant": tenant, "token": token, "start_s": start_s}
        (self.folder / "settings.json").write_text(json.dumps(settings))
        script = self.folder / "restart.sh"
        script.write_text(RESTART_SCRIPT.format(folder=self.folder, python=sys.executable, program=NODE_PROGRAM))
        script.chmod(0o755)

    def start(self) -> None:
        """Start it as a person would, at once RUNNING."""
        started = len(self.report("started"))
        with (self.folder / "node.log").open("ab") as log:
            command = ["setsid", "--fork", sys.executable, str(NODE_PROGRAM), str(self.folder)]
            pid = os.posix_spawnp(
                command[0],
                command,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, log.fileno(), 1), (os.POSIX_SPAWN_DUP2, log.fileno(), 2)],
            )
            os.waitpid(pid, 0)
        wait_until(lambda: len(self.report("started")) > started, 10, f"start of {self.name}")

    def faults(self, **faults: object) -> None:
        """Set the node's faults, from now on; none given: none."""
        fresh = self.folder / "faults.new"
        fresh.write_text(json.dumps(faults))
        fresh.replace(self.folder / "faults.json")

    def next_faults(self, **faults: object) -> None:
        """Faults that come with the next start."""
        (self.folder / "next.json").write_text(json.dumps(faults))

    def mark(self, name: str, present: bool = True) -> None:
        """Faults of the restart script: restart-fails, restart-hangs, restart-lies, restart-never-ends."""
        (self.folder / name).touch() if present else (self.folder / name).unlink(missing_ok=True)

    @property
    def pid(self) -> int | None:
        """The pid of the running process; None where there is none."""
        try:
            pid = int((self.folder / "pid").read_text())
            return pid if str(self.folder) in command_line(pid) else None
        except (OSError, ValueError):
            return None

    @property
    def identity(self) -> str | None:
        return (self.folder / "identity").read_text().strip() if self.pid else None

    def end(self) -> None:
        """The end of the bed: nothing of the machine goes on, not even a restart that hangs."""
        self.end_restart()
        self.kill()

    def end_restart(self) -> None:
        """A person ends a restart command that hangs."""
        hanging = self.folder / "hanging"
        if hanging.exists() and str(self.folder) in command_line(pid := int(hanging.read_text())):
            for one in [*children_of(pid), pid]:
                kill_quietly(one)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """The node dies by itself."""
        self.killed = True
        if (pid := self.pid) is not None:
            kill_quietly(pid, number)
            wait_until(lambda: self.pid is None, 5, f"death of {self.name}")

    def report(self, event: str | None = None) -> list[dict]:
        """What the node's incarnations said, all or those of one kind."""
        path = self.folder / "report.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if event in (None, line["event"])]

    @property
    def restarts(self) -> int:
        """How often its restart script was called."""
        path = self.folder / "restarts"
        return len(path.read_text().splitlines()) if path.exists() else 0

    @property
    def cut(self) -> list[str]:
        """The requests that its stops broke off."""
        return [request for line in self.report("stopped") for request in line["cut"]]


def command_line(pid: int) -> str:
    """The words of a process; empty when it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
