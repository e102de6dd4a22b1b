"""Listeners that tell other systems: notifications as the inventory says, metrics and traces as the environment does.

None of them can disturb a run: what goes wrong with one while it runs is a warning at the end.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rollsafe.cli.common import tell
from rollsafe.errors import InvalidInput
from rollsafe.model.cluster import Cluster
from rollsafe.ports import Listener

if TYPE_CHECKING:
    from rollsafe.reporting.metrics import Metrics
    from rollsafe.reporting.notify import Notifier

FILE, PORT = "ROLLSAFE_METRICS_FILE", "ROLLSAFE_METRICS_PORT"
HIGHEST_PORT = 65535

Told = tuple[Listener, Callable[[], None]]  # and how it is closed


def outside_listeners(cluster: Cluster) -> Iterator[Told]:
    """Those that are asked for. Raises InvalidInput where an address, a port or an extra makes no sense."""
    if cluster.notify:
        from rollsafe.reporting.notify import Notifier  # an optional extra

        notifier = Notifier.to([address.reveal() for address in cluster.notify])
        yield notifier, lambda: _close_notifier(notifier)
    if os.environ.get(FILE) or os.environ.get(PORT):
        yield _metrics()
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from rollsafe.reporting.otel import Tracer  # an optional extra

        tracer = Tracer()
        yield tracer, tracer.close


def _close_notifier(notifier: "Notifier") -> None:
    notifier.close()
    for problem in notifier.problems():
        tell(f"warning: {problem} The run was not disturbed by it")


def _metrics() -> Told:
    from rollsafe.reporting.metrics import Metrics

    file, port = os.environ.get(FILE), os.environ.get(PORT)
    number = _port(port) if port else None
    metrics = Metrics(Path(file) if file else None)
    stop = _serve(metrics, number) if number is not None else None

    def close() -> None:
        metrics.close()
        if stop is not None:
            stop()
        if metrics.problem:
            tell(f"warning: {metrics.problem}; the run was not disturbed by it")

    return metrics, close


def _port(told: str) -> int:
    if not (told.isascii() and told.isdigit() and 0 < int(told) <= HIGHEST_PORT):
        raise InvalidInput([f"{PORT}={told}: is no port; write a number from 1 to {HIGHEST_PORT}, or unset it"])
    return int(told)


def _serve(metrics: "Metrics", port: int) -> Callable[[], None] | None:
    """How to stop serving. A port that somebody else has is no reason to keep a cluster waiting for its recovery."""
    from rollsafe.reporting.metrics import MetricsPort

    try:
        return MetricsPort(metrics, port).close
    except InvalidInput as error:
        tell(f"warning: {error}; this run has no metrics there")
        return None
