"""Listeners that tell other systems: notifications as the inventory says, metrics and traces as the environment does.

None of them can disturb a run: one that can't be had is a warning at the start, and what goes wrong with one later is a
warning at the end.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
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
TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT"
HIGHEST_PORT = 65535

Told = tuple[Listener, Callable[[], None]]  # and how it is closed


def outside_listeners(cluster: Cluster) -> Iterator[Told]:
    """Those that are asked for. One that can't be had (an extra, an address, a port) is a warning: it may keep no node
    waiting for its recovery."""
    for make in _wanted(cluster):
        try:
            yield make()
        except InvalidInput as error:
            _warn(str(error))


def outside_problems(cluster: Cluster) -> Iterator[str]:
    """What a run would warn of at its start, for `doctor`. Nothing is sent, and no port is taken."""
    for check in (partial(_unusable, cluster), _port_of_metrics, _no_traces):
        try:
            yield from check()
        except InvalidInput as error:
            yield str(error)


def _wanted(cluster: Cluster) -> Iterator[Callable[[], Told]]:
    if cluster.notify:
        yield partial(_notifier, cluster)
    if os.environ.get(FILE) or os.environ.get(PORT):
        yield _metrics
    if os.environ.get(TRACES):
        yield _tracer


def _warn(problem: str) -> None:
    tell(f"warning: {problem}. This command goes on without it")


def _unusable(cluster: Cluster) -> list[str]:
    from rollsafe.reporting.notify import unusable  # an optional extra

    return unusable([address.reveal() for address in cluster.notify]) if cluster.notify else []


def _port_of_metrics() -> list[str]:
    if port := os.environ.get(PORT):
        _port(port)
    return []


def _no_traces() -> list[str]:
    if os.environ.get(TRACES):
        from rollsafe.reporting.otel import Tracer  # an optional extra

        Tracer().close()
    return []


def _tracer() -> Told:
    from rollsafe.reporting.otel import Tracer  # an optional extra

    tracer = Tracer()
    return tracer, tracer.close


def _notifier(cluster: Cluster) -> Told:
    from rollsafe.reporting.notify import Notifier  # an optional extra

    for problem in _unusable(cluster):
        _warn(problem)
    notifier = Notifier.to([address.reveal() for address in cluster.notify])
    return notifier, lambda: _close_notifier(notifier)


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
