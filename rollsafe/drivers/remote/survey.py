"""All that a look asks of one node, in one round trip: four questions apart cost three round trips and shells more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rollsafe.drivers.remote.claim_file import MAY_CLAIM, READ, SshClaimFile
from rollsafe.drivers.remote.restarter import SshRestarter
from rollsafe.drivers.remote.script import ask_all
from rollsafe.drivers.ssh.connection import SshConnection
from rollsafe.errors import ClaimError, PortError, ShellError
from rollsafe.model.claim import ClaimRecord
from rollsafe.model.reading import IdentityReading


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What a node said. A text is what is wrong; empty: nothing."""

    claim: ClaimRecord | ClaimError | None
    identity: str
    rights: str
    reading: IdentityReading | None = None  # None: the identity could not be read


class Survey:
    """The claim, the identity, and whether a restart and a claim would be allowed. Changes nothing."""

    def __init__(
        self, connection: SshConnection, place: Sequence[str], claim: SshClaimFile, restarter: SshRestarter
    ) -> None:
        self._connection, self._place = connection, place
        self._claim, self._restarter = claim, restarter

    def __call__(self, *, again_s: float = 0.0) -> Surveyed:
        """Ask; the identity twice, so long after each other. Raises ShellError where the node gave no answer to any of
        it."""
        restarter = self._restarter
        questions = [READ, MAY_CLAIM, restarter.may_restart_question(), restarter.identity_question(again_s)]
        read, may_claim, may_restart, identity = ask_all(self._connection, self._place, questions)
        claim: ClaimRecord | ClaimError | None
        try:
            claim = self._claim.read_from(read)
        except ClaimError as error:
            claim = error
        may = _problem(lambda: restarter.may_restart_from(may_restart))
        reading: IdentityReading | None = None
        problem = ""
        try:
            reading = restarter.identity_from(identity)
        except ShellError as error:
            problem = str(error)
        return Surveyed(
            claim=claim,
            identity=problem,
            rights=may or _problem(lambda: self._claim.may_claim_from(may_claim)),
            reading=reading,
        )


def _problem(understand: Callable[[], object]) -> str:
    try:
        understand()
    except PortError as error:
        return str(error)
    return ""
