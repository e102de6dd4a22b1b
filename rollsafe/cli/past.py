"""The history that plan and run estimate from."""

from rollsafe.cli.common import tell
from rollsafe.errors import JournalError
from rollsafe.model.cluster import Cluster


def past_of(cluster: Cluster) -> dict[str, tuple[float, ...]]:
    """What each node's last turns took; nothing where this machine has no journal. Makes no file.

    A journal that can't be read costs the estimate, and never the run: that is told. Raises InvalidInput where `state`
    makes no sense.
    """
    from rollsafe.journal.history import past_turns
    from rollsafe.journal.store import open_store

    with open_store(cluster.state) as store:
        try:
            nodes = [node.name for node in cluster.live_nodes]
            return past_turns(store, cluster.name, nodes) if store.file.exists() else {}
        except (JournalError, OSError) as error:
            tell(f"warning: no history to estimate from: {error}")
            return {}
