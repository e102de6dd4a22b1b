"""Traces (extra `rollsafe[otel]`): one span for the run, one for each node, one for each step.

Where they go is what OpenTelemetry's own environment says (OTEL_EXPORTER_OTLP_ENDPOINT …).
"""

import contextlib
from datetime import datetime
from typing import Any

from rollsafe.errors import InvalidInput
from rollsafe.model.record import Record
from rollsafe.reporting.sentences import good
from rollsafe.reporting.words import clean, names, number, text

LAST_MS = 3000  # the longest that the end of a run waits for the collector


class Tracer:
    """A Listener that turns records into spans. Times are the records' own."""

    def __init__(self, provider: Any = None) -> None:
        """`provider`: a TracerProvider; None: one that exports over OTLP. Raises InvalidInput without the extra."""
        self._provider = provider if provider is not None else _otlp_provider()
        self._tracer = self._provider.get_tracer("rollsafe")
        self._run: Any = None
        self._nodes: dict[str, Any] = {}
        self._steps: dict[tuple[str, str, str], Any] = {}

    def hear(self, record: Record) -> None:
        """Begin or end a span."""
        with contextlib.suppress(Exception):
            self._hear(record)

    def close(self) -> None:
        """End what is open, and send it, within three seconds."""
        with contextlib.suppress(Exception):
            for span in [*self._steps.values(), *self._nodes.values(), *([self._run] if self._run else [])]:
                span.end()
            self._steps, self._nodes, self._run = {}, {}, None
            self._provider.force_flush(LAST_MS)

    def _hear(self, record: Record) -> None:
        data, node = record.data, record.node or ""
        step = (node, record.service or "", text(data, "step"))
        match record.type:
            case "run.started":
                self._run = self._begin(f"rollsafe {text(data, 'mode')}", None, record, cluster=text(data, "cluster"))
                self._run.set_attribute("rollsafe.nodes", list(names(data, "nodes")))
            case "node.started":
                self._nodes[node] = self._begin(f"node {node}", self._run, record)
            case "step.started" if step[2] != "maint":  # the second half of a drain, which ends both
                self._steps[step] = self._begin(step[2], self._nodes.get(node, self._run), record)
            case "restart.intent" if (node, "", "restart") not in self._steps:
                self._steps[node, "", "restart"] = self._begin("restart", self._nodes.get(node, self._run), record)
            case "restart.done" | "restart.failed":
                self._finish(self._steps.pop((node, "", "restart"), None), record)
                self._event(record)
            case "step.finished":
                self._finish(self._steps.pop(step, None), record)
            case "node.finished":
                for key in [key for key in self._steps if key[0] == node]:
                    self._finish(self._steps.pop(key), record)
                self._finish(self._nodes.pop(node, None), record)
            case "run.finished":
                self._finish(self._run, record)
                self._run = None
            case "step.started" | "probe.failed" | "probe.recovered" | "write.done" | "write.failed" | "signal":
                self._event(record)

    def _begin(self, name: str, parent: Any, record: Record, **more: str) -> Any:
        from opentelemetry.trace import set_span_in_context

        words = {"run": record.run, "node": record.node, "service": record.service, **more}
        attributes = {f"rollsafe.{key}": clean(value) for key, value in words.items() if value}
        context = set_span_in_context(parent) if parent is not None else None
        return self._tracer.start_span(clean(name), context=context, attributes=attributes, start_time=_nanos(record))

    def _finish(self, span: Any, record: Record) -> None:
        if span is None:
            return
        from opentelemetry.trace import Status, StatusCode

        span.set_attribute("rollsafe.outcome", text(record.data, "outcome"))
        if (out_s := number(record.data, "out_of_service_s")) is not None:
            span.set_attribute("rollsafe.out_of_service_s", out_s)
        span.set_status(Status(StatusCode.OK) if good(record) else Status(StatusCode.ERROR, clean(record.message)))
        span.end(end_time=_nanos(record))

    def _event(self, record: Record) -> None:
        span = self._nodes.get(record.node or "", self._run)
        if span is not None:
            words = {"service": record.service, "endpoint": record.endpoint, "message": record.message}
            attributes = {f"rollsafe.{key}": clean(value) for key, value in words.items() if value}
            span.add_event(record.type, attributes, timestamp=_nanos(record))


def _nanos(record: Record) -> int:
    return int(datetime.fromisoformat(record.time).timestamp() * 1_000_000_000)


def _otlp_provider() -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidInput(["traces: need OpenTelemetry; install it: pip install 'rollsafe[otel]'"]) from error
    # No exit hook: it could hold up the end of a run for as long as a dead collector is tried again.
    provider = TracerProvider(resource=Resource.create({"service.name": "rollsafe"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=2)))
    return provider
