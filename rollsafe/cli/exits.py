"""The exit codes: the state of the cluster, not of the program."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a pipeline branches on. Where several hold: 30, then 40, then 20."""

    DONE = 0  # every selected node was restarted, is healthy, and is as it was found
    DEFECT = 1  # a defect of rollsafe before its first write
    INVALID = 2  # wrong usage, inventory or playbook; nothing was touched
    REFUSED = 10  # nothing was touched: a gate, a live run's claim, the window, a plan that no longer fits
    STOPPED = 20  # stopped early; every node that the run touched is as it was found
    NODE_OUT = 30  # a node is out of service by this run, or by a dead one that it met
    UNKNOWN = 40  # a balancer or a node could not be read at the end

    @property
    def outcome(self) -> str:
        """The word for it in events: done, defect, invalid, refused, stopped, node-out, unknown."""
        return self.name.lower().replace("_", "-")
