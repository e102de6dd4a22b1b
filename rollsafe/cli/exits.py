"""The exit codes: the state of the cluster, not of the program."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a pipeline branches on. Where several hold: 30, then 40, then 20."""

    DONE = 0
    DEFECT = 1
    INVALID = 2
    REFUSED = 10
    STOPPED = 20
    NODE_OUT = 30
    UNKNOWN = 40

    @property
    def outcome(self) -> str:
        """The word for it in events: done, defect, invalid, refused, stopped, node-out, unknown."""
        return self.name.lower().replace("_", "-")

    @property
    def meaning(self) -> str:
        """What it says of the cluster, as README and reference have it."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.DONE: "every selected node was restarted, is healthy, and is as it was found",
    ExitCode.DEFECT: "a defect of rollsafe before its first write",
    ExitCode.INVALID: "wrong usage, inventory or playbook; nothing was touched",
    ExitCode.REFUSED: "nothing was touched: a gate, a live run's claim, the window, or a plan that no longer fits",
    ExitCode.STOPPED: "stopped early; every node that this run touched is as it was found",
    ExitCode.NODE_OUT: "a node is out of service by this run, or by a dead one that it met; "
    "the last line names it and the mend",
    ExitCode.UNKNOWN: "a balancer or a node could not be read at the end; the last line says which",
}
