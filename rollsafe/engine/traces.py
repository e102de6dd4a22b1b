"""What stands on the cluster and not in the journal: claims, met or made. An ending without time to ask needs it."""

from dataclasses import dataclass, field

from rollsafe.engine.claim import ClaimKeeper
from rollsafe.model.claim import ClaimRecord
from rollsafe.planner.readings import Readings, Watch


@dataclass(slots=True)
class Traces:
    """Written by the engine's thread, and read by another one while the engine hangs in a call."""

    reading: bool = False  # recover or resume does not know yet what the claims on the nodes say
    met: ClaimRecord | None = None  # the claim that stood in the way, or was taken over, as it was last read
    alive: bool | None = None  # does its run live? None: nobody has watched its beat for long enough
    before: Readings | None = None  # what the balancers showed when the command began
    watch: Watch = field(default_factory=Watch)  # of the loop's last look
    keeper: ClaimKeeper | None = None
    lock_until_s: float | None = None  # until when another's claim is waited for, on the run's clock

    def claims(self) -> tuple[str, ...]:
        """The nodes on which this run's own claim stands: those that owe an answer to its last change, else all."""
        if self.keeper is None:
            return ()
        tokens = dict(self.keeper.tokens)
        late = [node for node, token in tokens.items() if token.revision < self.keeper.record.token.revision]
        return tuple(sorted(late or tokens))
