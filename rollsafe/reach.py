"""The SSH side of a cluster, wired; and its nodes asked while the rest of rollsafe is still being loaded.

To load it takes a third of a second, and an sshd takes about as long to let us in and answer: side by side they cost
one of them. So this module imports nothing but what speaks SSH.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from rollsafe.drivers.remote.claim_file import SshClaimFile, place
from rollsafe.drivers.remote.restarter import SshRestarter
from rollsafe.drivers.remote.survey import Survey, Surveyed
from rollsafe.drivers.ssh.connection import SshConnection, SshPool
from rollsafe.model.cluster import Cluster

MOST_AHEAD = 64  # nodes that are asked before anybody wants to know: each is a thread


class NodeSurvey:
    """Survey of one node, which may have been asked ahead. Raises ShellError."""

    def __init__(self, connection: SshConnection, survey: Survey) -> None:
        self._connection, self._survey = connection, survey
        self._ahead: Future[Surveyed] | None = None

    def ahead(self) -> Callable[[], None]:
        """The job that connects and asks. It raises nothing: its answer, or what failed, is for the first who asks."""
        promised = self._ahead = Future()

        def ask() -> None:
            try:
                failed = self._connection.dial_ahead()
                if failed is None:
                    promised.set_result(self._survey())
                else:
                    promised.set_exception(failed)
            except BaseException as error:  # noqa: BLE001 - it belongs to the asker, who gets it from result()
                promised.set_exception(error)

        return ask

    def __call__(self, *, again_s: float = 0.0) -> Surveyed:
        """The answer: the one asked for ahead, once, else a new one. Both have their limits."""
        ahead, self._ahead = self._ahead, None
        return self._survey(again_s=again_s) if ahead is None else ahead.result()


@dataclass(frozen=True, slots=True)
class Reach:
    """Connections, and what is asked and told over them, node by node."""

    pool: SshPool
    claims: Mapping[str, SshClaimFile]
    elsewhere: Mapping[str, SshClaimFile]  # the claims that excluded nodes may carry
    restarters: Mapping[str, SshRestarter]
    surveys: Mapping[str, NodeSurvey]

    def ask_ahead(self) -> None:
        """Begin to ask every node."""
        _begin([survey.ahead() for survey in list(self.surveys.values())[:MOST_AHEAD]])

    def dial_ahead(self, cluster: Cluster) -> None:
        """Begin to connect to every node."""
        _begin([self.pool.get(node.ssh).dial_ahead for node in cluster.live_nodes[:MOST_AHEAD]])


def wire(cluster: Cluster) -> Reach:
    """Wire it. Nothing is connected to yet. Raises ShellError where ~/.ssh/config can't be read."""
    pool = SshPool()
    claims, restarters, surveys = {}, {}, {}
    for node in cluster.live_nodes:
        connection, names = pool.get(node.ssh), (cluster.claim_dir, cluster.name, node.name)
        claims[node.name] = claim = SshClaimFile(connection, *names)
        restarters[node.name] = restarter = SshRestarter(connection, *names, node.restart)
        surveys[node.name] = NodeSurvey(connection, Survey(connection, place(*names), claim, restarter))
    excluded = [node for node in cluster.nodes if node.excluded is not None]
    elsewhere = {n.name: SshClaimFile(pool.get(n.ssh), cluster.claim_dir, cluster.name, n.name) for n in excluded}
    return Reach(pool, claims, elsewhere, restarters, surveys)


def _begin(jobs: Sequence[Callable[[], object]]) -> None:
    """Each on a thread of its own; they are started on one, too, as the caller has better things to do."""

    def begin() -> None:
        for job in jobs:
            threading.Thread(target=job, name="ahead", daemon=True).start()

    threading.Thread(target=begin, name="ahead", daemon=True).start()
