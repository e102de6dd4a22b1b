"""`rollsafe demo`: a whole cluster on this machine, a rolling restart of it, and what was seen from outside."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollsafe.cli.common import Output, OutputOption, as_typed
from rollsafe.cli.exits import ExitCode

if TYPE_CHECKING:
    from rollsafe.lab.cluster import Lab
    from rollsafe.lab.seen import Summary

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo(
    fault: Annotated[
        str | None,
        typer.Option(
            "--fault",
            metavar="NAME",
            show_default=False,
            help="Let something go wrong: node-never-up, scim-dead, flapping, restart-fails, drain-never-ends, "
            "peer-dies, balancer-dead, reload or sshd-dead.",
        ),
    ] = None,
    haproxy: Annotated[bool, typer.Option("--haproxy", help="Balance with the installed haproxy program.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the cluster up until Ctrl-C, to try commands on.")
    ] = False,
    nodes: Annotated[int, typer.Option("--nodes", metavar="N", help="How many nodes, 2 to 9.")] = 3,
    output: OutputOption = Output.TEXT,
) -> int:
    """Build a complete cluster on this machine, and restart its nodes one at a time under load.

    Everything is on loopback, needs no rights, and is gone at the end. It takes about half a minute.

    \b
    Examples:
      rollsafe demo
      rollsafe demo --fault scim-dead
      rollsafe demo --keep
    """
    from rollsafe.lab.cluster import Lab

    folder = Path(tempfile.mkdtemp(prefix="rollsafe-demo-"))
    code = ExitCode.DEFECT
    try:
        with _signals_as_interrupt():
            lab = Lab(folder / "lab", nodes=nodes, fault=fault, haproxy=haproxy)
            story = Story(lab, as_json=output is Output.JSON)
            story.begin()
            with lab:
                code = story.roll()
                story.end(code, keep=keep)
                if keep:
                    story.keep_up()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return code


class Story:
    """What the demo tells. With JSON, stdout holds the run's events, and `demo.observed` before the last."""

    def __init__(self, lab: "Lab", *, as_json: bool) -> None:
        self._lab = lab
        self._json = as_json
        self._last: dict[str, Any] = {}

    def say(self, text: str = "") -> None:
        """A line for people; with JSON, on stderr."""
        typer.echo(text, err=self._json)

    def begin(self) -> None:
        """What is about to be built."""
        count = len(self._lab.node_names)
        balancers = "two HAProxy processes" if self._lab.haproxy else "two balancers that speak as HAProxy does"
        self.say(f"Building a Jira cluster on this machine: {count} nodes, an SSH server for each, {balancers}.")
        self.say(
            "An identity provider (SCIM) and people (web) use it all the while. It is on loopback, and goes at the end."
        )
        self.say(
            "These nodes start in seconds. The run can't know it, for it knows no earlier one: it expects more time."
        )
        if self._lab.fault:
            self.say(f"\nThe fault: {self._sentence(self._lab.fault.happens)}")

    def roll(self) -> ExitCode:
        """`rollsafe run` on the cluster, as an operator would. Returns its exit code."""
        line = ["run", "-i", str(self._lab.inventory), "--yes", "--reason", "rollsafe demo"]
        self.say(f"\n$ rollsafe {' '.join(line[:4])}")
        sys.stdout.flush()
        program = [sys.executable, "-m", "rollsafe", *line, *(["-o", "json"] if self._json else [])]
        leash = [sys.executable, "-m", "rollsafe.lab.leash", str(self._lab.leash_path)]
        # A session of its own, so that a Ctrl-C reaches the run once: handed on from here.
        pipe = subprocess.PIPE if self._json else None
        child = subprocess.Popen([*leash, *program], stdout=pipe, text=True, start_new_session=True)  # noqa: S603 - our own words only
        with child, _handing_on(child):
            for text in child.stdout or ():
                self._relay(text)
            status = child.wait()
        return ExitCode(status) if status in set(ExitCode) else ExitCode.UNKNOWN

    def _relay(self, text: str) -> None:
        """One event of the run; its last one is kept back until the demo has said what it saw."""
        try:
            event = json.loads(text)
        except ValueError:
            event = None
        if isinstance(event, dict) and event.get("type") == "run.finished":
            self._last = event
        else:
            sys.stdout.write(text)
            sys.stdout.flush()

    def end(self, code: ExitCode, *, keep: bool) -> None:
        """What was seen from outside, and what the exit code means."""
        if not keep:
            self._lab.stop_traffic()
        seen = self._lab.summary()
        if self._json:
            self._end_json(seen)
            return
        for line in table(seen):
            self.say(line)
        self.say()
        if self._lab.fault:
            self.say(f"The fault: {self._sentence(self._lab.fault.happens)}")
            self.say(f"What a careful tool does: {self._sentence(self._lab.fault.lesson)}")
        self.say(f"rollsafe ended with {int(code)} ({code.outcome}): {code.meaning}.")
        if code in (ExitCode.NODE_OUT, ExitCode.UNKNOWN) and not keep:
            self.say("This cluster goes now, and there is nothing to mend. With --keep it stays, and you can mend it.")

    def _end_json(self, seen: "Summary") -> None:
        from dataclasses import asdict

        last = self._last
        if last:
            observed = {
                "time": last.get("time"),
                "run": last.get("run"),
                "seq": last.get("seq"),
                "type": "demo.observed",
            }
            sys.stdout.write(json.dumps(observed | asdict(seen)) + "\n")
            if isinstance(last.get("seq"), int):
                last["seq"] += 1  # it follows the line above
            sys.stdout.write(json.dumps(last) + "\n")
            sys.stdout.flush()

    def keep_up(self) -> None:
        """Stay until Ctrl-C."""
        rollsafe = as_typed()
        second = self._lab.node_names[1]
        self.say("\nThe cluster stays up until you press Ctrl-C here. In another terminal:\n")
        self.say(f"  export ROLLSAFE_INVENTORY={self._lab.inventory}")
        for command in ("status --watch", "plan", f"drain {second}", f"ready {second}", "run"):
            self.say(f"  {rollsafe} {command}")
        if self._lab.fault and self._lab.fault.victim_file:
            victim = self._lab.scene.victim
            self.say(f"\nTo mend {victim.name}: rm {victim}/fault; {victim}/restart.sh; {rollsafe} recover")
        self.say(f"\nA shell on a node: ssh -F {self._lab.folder / 'ssh_config'} {second} 'cat node.id'")
        try:
            while True:
                signal.pause()
        except KeyboardInterrupt:
            self.say("\nTaking the cluster down.")

    def _sentence(self, text: str) -> str:
        scene = self._lab.scene
        return text.format(victim=scene.victim.name, peer=scene.peer.name)


def table(seen: "Summary") -> Iterator[str]:
    """What was seen, in columns."""
    yield ""
    yield "Seen from outside, by the clients and by the nodes themselves:"
    yield ""
    yield f"  {'service':<10}{'requests':>9}{'failed':>8}{'cut':>6}{'longest outage':>16}{'slowest answer':>16}"
    for name, facts in seen.services.items():
        outage, slowest = f"{facts.longest_outage_s:.1f} s", f"{facts.slowest_s:.1f} s"
        yield f"  {name:<10}{facts.requests:>9}{facts.failed:>8}{facts.cut:>6}{outage:>16}{slowest:>16}"
    yield ""
    yield f"  {'node':<10}{'restarts':>9}   {'stopped until SCIM answered again'}"
    for name, node in seen.nodes.items():
        down = f"{node.down_s:.1f} s" if node.down_s is not None else "not yet" if node.restarts else "-"
        yield f"  {name:<10}{node.restarts:>9}   {down}"


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP take the cluster down as Ctrl-C does."""

    def interrupted(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # the way down is not interrupted by the same signal again
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupted) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _handing_on(child: "subprocess.Popen[str]") -> Iterator[None]:
    """Signals to the demo go to the run, which knows what to do at every point."""

    def hand_on(number: int, _: object) -> None:
        if child.poll() is None:
            os.kill(child.pid, number)

    before = {number: signal.signal(number, hand_on) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
