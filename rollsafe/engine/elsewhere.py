"""Copies of a dead run's claim on nodes that are excluded, or not in the inventory any more.

`recover` ends the claim on the nodes of the inventory. A copy elsewhere would be met when its node is in the inventory
again, weeks later perhaps, and tell of members that are a person's by then.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from rollsafe.engine.claim import ClaimKeeper
from rollsafe.errors import ClaimError
from rollsafe.model.claim import ClaimRecord
from rollsafe.planner.outcome import Ending

if TYPE_CHECKING:
    from rollsafe.engine.session import Session
    from rollsafe.ports import ClaimFile

WITHIN_S = 8.0  # to connect and to swap; such a machine is often off


def swept(session: "Session", keeper: ClaimKeeper, ending: Ending) -> Ending:
    """After the claim was ended: end the copies on excluded nodes, too, and name those that are there still."""
    record, world = keeper.record, session.world
    gone = [n for n in record.nodes if n not in world.claims and n not in session.forget]
    if keeper.tokens or not gone:
        return ending
    jobs = {("elsewhere", n): _ender(world.elsewhere[n], record) for n in gone if n in world.elsewhere}
    answers = world.gather(jobs, WITHIN_S) if jobs else {}
    left = [n for n in gone if not answers.get(("elsewhere", n), False)]
    return replace(ending, message=f"{ending.message} {_told(left)}") if left else ending


def _ender(file: "ClaimFile", record: ClaimRecord) -> Callable[[], bool]:
    def end() -> bool:
        """Is there no copy of that run any more?"""
        try:
            there = file.read()
            if there is None or there.token.run != record.token.run or there.token.epoch > record.token.epoch:
                return True
            return file.swap(there.token, None)
        except ClaimError:
            return False

    return end


def _told(left: list[str]) -> str:
    return (
        f"{', '.join(left)}: not in this inventory, or excluded and silent, and may carry a copy of that claim still: "
        f"run recover as soon as it is in the inventory again."
    )
