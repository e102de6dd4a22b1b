"""Metrics for Prometheus: a text file for node exporter's textfile collector, and a port where one is wanted.

Text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/. The textfile collector reads `*.prom`
and needs each file to be replaced whole.
"""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rollsafe.errors import InvalidInput
from rollsafe.model.record import Record
from rollsafe.reporting.account import PHASES
from rollsafe.reporting.fold import Fold
from rollsafe.reporting.reports import replace_file
from rollsafe.reporting.words import number

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WRITE_EVERY_S = 15.0  # scrapes are not more frequent; the end of a node and of the run are written at once
_AT_ONCE = frozenset({"run.started", "node.finished", "run.finished", "probe.failed", "probe.recovered"})
_OUTCOMES = ("done", "invalid", "refused", "stopped", "node-out", "unknown", "defect")


class Metrics:
    """A Listener that keeps numbers, and writes them to a file where one is named."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._fold = Fold()
        self._failures: dict[tuple[str, str], int] = {}
        self._waits_told_s = 0.0
        self._lock = threading.RLock()  # a scrape reads in a thread of its own; a signal handler may write in ours
        self.problem = ""  # why the file could not be written last

    def hear(self, record: Record) -> None:
        """Take in one record."""
        with contextlib.suppress(Exception), self._lock:
            self._fold.add(record)
            if record.type == "probe.failed":
                key = (record.service or "", str(record.data.get("probe", "")))
                self._failures[key] = self._failures.get(key, 0) + 1
            if record.type in _AT_ONCE or record.at_s - self._waits_told_s >= WRITE_EVERY_S:
                self._waits_told_s = record.at_s
                self._write()

    def text(self) -> str:
        """The numbers as Prometheus reads them."""
        with self._lock:
            return "".join(_families(self._fold, self._failures))

    def close(self) -> None:
        """Write for the last time."""
        with contextlib.suppress(Exception):
            self._write()

    def _write(self) -> None:
        if self._file is None:
            return
        try:
            replace_file(self._file, self.text())
            self.problem = ""
            if not self._file.name.endswith(".prom"):
                self.problem = f"metrics {self._file}: its name does not end in .prom, and node exporter reads no other"
        except OSError as error:
            self.problem = f"metrics {self._file}: {error.strerror or error}"


class MetricsPort:
    """Serves the numbers on a port, for this machine only unless an address is named."""

    def __init__(self, metrics: Metrics, port: int, address: str = "127.0.0.1") -> None:
        """Raises InvalidInput where the port can't be had."""
        handler = type("Handler", (_Handler,), {"metrics": metrics})
        try:
            self._server = ThreadingHTTPServer((address, port), handler)
        except OSError as error:
            raise InvalidInput([f"metrics port {address}:{port}: can't be had: {error.strerror or error}"]) from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2.0)


class _Handler(BaseHTTPRequestHandler):
    metrics: Metrics
    timeout = 5  # seconds; a client that says nothing holds only its own thread, and not for ever
    server_version = "rollsafe"
    sys_version = ""

    def do_GET(self) -> None:
        """`/metrics`, and nothing else."""
        found = self.path.split("?")[0] == "/metrics"
        body = (self.metrics.text() if found else "see /metrics\n").encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", CONTENT_TYPE if found else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's signature
        """Scrapes are not worth a line."""


def _families(fold: Fold, failures: dict[tuple[str, str], int]) -> list[str]:
    account = fold.account
    base = {"cluster": account.cluster}
    outcomes = [({**base, "outcome": one}, 1.0 if account.outcome == one else 0.0) for one in _OUTCOMES]
    nodes = [({**base, "node": node.name}, node) for node in account.nodes.values()]
    phases = [
        ({**labels, "phase": phase}, seconds)
        for labels, node in nodes
        for phase in PHASES
        if (seconds := node.phase_s(phase)) is not None
    ]
    seen = [({**base, "service": name}, one) for name, one in account.probes.items()]
    writes: dict[str, int] = {"done": 0, "failed": 0, "in doubt": 0}
    for write in account.writes:
        writes[write.outcome] = writes.get(write.outcome, 0) + 1
    out = {one.get("node", "") for one in account.left_out}
    return [
        _family("run_active", "1 while a run goes on.", [(base, 0.0 if account.finished else 1.0)]),
        _family("run_outcome", "1 for the outcome of the last run.", outcomes if account.finished else []),
        _family("run_exit_code", "The last run's exit code.", _one(base, account.exit_code)),
        _family("run_duration_seconds", "How long the run has taken.", [(base, max(account.duration_s, fold.now_s))]),
        _family("node_restarted", "1 for a node that the run restarted.", [(k, float(n.restarted)) for k, n in nodes]),
        _family("node_left_out", "1 for a node out of service.", [(k, float(n.name in out)) for k, n in nodes]),
        _family(
            "node_out_of_service_seconds",
            "How long a node was out of service.",
            [(k, n.out_of_service_s) for k, n in nodes if n.out_of_service_s is not None],
        ),
        _family("node_phase_seconds", "How long each phase took.", phases),
        _family("writes", "Writes to the balancers.", [({**base, "outcome": k}, float(v)) for k, v in writes.items()]),
        _family("probes", "Probes sent.", _numbers(seen, "probes")),
        _family("probes_failed", "Probes failed.", _numbers(seen, "failed")),
        _family("probes_missed", "Probes that were due and could not be sent.", _numbers(seen, "missed")),
        _family("probe_late_seconds", "The worst delay between due and sent.", _numbers(seen, "late_s")),
        _family("longest_outage_seconds", "The longest outage.", _numbers(seen, "longest_outage_s")),
        _family("availability_ratio", "Good probes out of all.", _numbers(seen, "availability")),
        _family(
            "probe_failures_so_far",
            "Failed probes of the present run.",
            [({**base, "service": s, "probe": p}, float(n)) for (s, p), n in failures.items()],
        ),
    ]


def _one(labels: dict[str, str], value: int | None) -> list[tuple[dict[str, str], float]]:
    return [] if value is None else [(labels, float(value))]


def _numbers(rows: list[tuple[dict[str, str], Any]], key: str) -> list[tuple[dict[str, str], float]]:
    return [(labels, value) for labels, one in rows if (value := number(one, key)) is not None]


def _family(name: str, words: str, samples: list[tuple[dict[str, str], float]]) -> str:
    """One metric with its help; nothing where it has no sample."""
    if not samples:
        return ""
    head = f"# HELP rollsafe_{name} {words}\n# TYPE rollsafe_{name} gauge\n"
    return head + "".join(f"rollsafe_{name}{{{_labels(labels)}}} {round(value, 6):.15g}\n" for labels, value in samples)


def _labels(labels: dict[str, str]) -> str:
    return ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
