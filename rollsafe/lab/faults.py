"""What can go wrong in the lab. Each fault happens on the wire or on a node; rollsafe has no part in it."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.05


@dataclass(frozen=True)
class Fault:
    """One fault. `victim` is the second node, `peer` another one that is not being restarted."""

    name: str
    happens: str  # what the lab does, for people; {victim} and {peer} are names
    lesson: str  # what a careful tool does about it
    victim_file: str = ""  # written into the victim's `fault` file before the run
    at_stop: str = ""  # done at the moment when the victim is stopped: kill-peer, admin-dead, reload
    holds: bool = False  # SCIM requests that never end
    start_timeout: str = "25s"
    own_balancer: bool = False  # can't be shown with a foreign program


FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "node-never-up",
            "{victim} will answer STARTING for ever after its restart.",
            "It waits start_timeout, leaves {victim} out, touches no other node, and says so (30).",
            victim_file="node-never-up",
            start_timeout="8s",
        ),
        Fault(
            "scim-dead",
            "{victim} will come back with its web RUNNING and its SCIM port dead.",
            "RUNNING is not enough: {victim} stays out, no other node is touched (30).",
            victim_file="scim-dead",
            start_timeout="8s",
        ),
        Fault(
            "flapping",
            "{victim} will change between RUNNING and STARTING after its restart, and never settle.",
            "Health must be unbroken for healthy_for: {victim} stays out, no other node is touched (30).",
            victim_file="flapping",
            start_timeout="8s",
        ),
        Fault(
            "restart-fails",
            "The restart command of {victim} will fail, and the node will run on.",
            "An unchanged identity proves that nothing was restarted: {victim} is put back, and the run stops.",
            victim_file="restart-fails",
        ),
        Fault(
            "drain-never-ends",
            "SCIM requests that never end are in flight to the nodes.",
            "No SCIM request is ever cut: the node is put back when the drain's time is up, and the run stops (20).",
            holds=True,
        ),
        Fault(
            "peer-dies",
            "{peer} will be killed at the moment when {victim} is stopped for its restart.",
            "It hurries {victim} back into service, touches no other node, and names {peer}.",
            at_stop="kill-peer",
        ),
        Fault(
            "balancer-dead",
            "The SCIM balancer's admin port will close while {victim} is stopped, and stay closed.",
            "{victim} is put back wherever that is possible; the run stops, and names what could not be written.",
            at_stop="admin-dead",
            own_balancer=True,
        ),
        Fault(
            "reload",
            "The SCIM balancer will be reloaded while {victim} is stopped, and forget that it was taken out.",
            "The mark that the reload wiped is seen to be gone, and is written again; the run goes on (0).",
            at_stop="reload",
            own_balancer=True,
        ),
        Fault(
            "sshd-dead",
            "The SSH server of {victim} lets nobody in.",
            "A node that can't be reached can't be restarted, so nothing is touched at all (10).",
            victim_file="sshd-dead",
        ),
    )
}


@dataclass(frozen=True)
class Scene:
    """Where a fault strikes: folders of the lab."""

    victim: Path
    peer: Path
    balancer: Path


class Trigger:
    """Waits for the victim to be stopped, and then lets the fault happen, once."""

    def __init__(self, fault: Fault, scene: Scene) -> None:
        acts: dict[str, Callable[[Scene], None]] = {
            "kill-peer": _kill_peer,
            "admin-dead": lambda scene: _write(scene.balancer / "fault", "admin-dead"),
            "reload": _reload,
        }
        self._act = acts[fault.at_stop]
        self._scene = scene
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fault", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching, where it was begun."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        life = self._scene.victim / "life.jsonl"
        while not self._over.wait(POLL_S):
            if '"event": "stopped"' in life.read_text():
                self._act(self._scene)
                return


def prepare(fault: Fault, scene: Scene) -> None:
    """What must be in place before the run."""
    if fault.victim_file:
        _write(scene.victim / "fault", fault.victim_file)


def _kill_peer(scene: Scene) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((scene.peer / "node.pid").read_text()), signal.SIGKILL)


def _reload(scene: Scene) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((scene.balancer / "pid").read_text()), signal.SIGUSR2)


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n")
