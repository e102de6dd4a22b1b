"""The inventory of plan and status, read and found good before anything is loaded to look with; and `--until`."""

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rollsafe.cli.clashes import refuse_journal
from rollsafe.config.load import Loaded, find_inventory, load_inventory
from rollsafe.config.secrets import check_secret_references, resolve_all
from rollsafe.errors import InvalidInput
from rollsafe.model.cluster import Cluster

if TYPE_CHECKING:
    from rollsafe.reach import Reach


class Asked:
    """An inventory that holds, with its secrets. Raises InvalidInput where it does not."""

    def __init__(self, inventory: list[Path] | None) -> None:
        self.loaded: Loaded = load_inventory(find_inventory(inventory), check_secret_references)
        refuse_journal(self.loaded.cluster.state)
        resolve_all(self.loaded.cluster, self.loaded.named)
        self.reach: Reach | None = None

    @property
    def cluster(self) -> Cluster:
        """The whole of it."""
        return self.loaded.cluster

    def call(self, cluster: Cluster, *, survey: bool) -> None:
        """Begin to connect to these nodes, or to survey them: only once everything that was typed was found good."""
        from rollsafe.reach import wire

        self.reach = wire(cluster)
        if survey:
            self.reach.ask_ahead()
        else:
            self.reach.dial_ahead(cluster)


def parse_until(told: str, now: datetime) -> str:
    """`--until`: `05:00` (the next one, local time), or a moment as RFC 3339. Raises InvalidInput."""
    allowed = "write 05:00 (local time), or 2026-12-01T05:00:00+01:00"
    if not told.strip():  # a variable that is not set may not become a run without an end
        raise InvalidInput([f"--until was given, and names no time (a variable that is not set?): {allowed}"])
    try:
        if len(told) == len("05:00") and told[2] == ":":
            moment = _next(time(int(told[:2]), int(told[3:])), now)
        else:
            moment = datetime.fromisoformat(told)
            if moment.tzinfo is None:
                moment = moment.astimezone()
    except ValueError as error:
        raise InvalidInput([f"--until {told}: {allowed}"]) from error
    if moment <= now:
        raise InvalidInput([f"--until {told} is in the past"])
    return moment.astimezone(UTC).isoformat()


def _next(told: time, now: datetime) -> datetime:
    """The next moment at which the clocks here show it; when they are set back, they may show it twice."""
    today = now.astimezone().date()
    days = (today, today + timedelta(days=1))
    shown = [datetime.combine(day, told.replace(fold=fold)).astimezone() for day in days for fold in (0, 1)]
    return next(moment for moment in shown if moment > now)
