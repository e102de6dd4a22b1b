"""Health checks: one question to the node itself, never through the balancer. They never raise."""

import socket
from collections.abc import Callable
from typing import Any

import httpx

from rollsafe.model.reading import Evidence, HealthReading
from rollsafe.model.settings import CheckSettings
from rollsafe.ports import Clock, HealthCheck
from rollsafe.probes.excerpt import excerpt
from rollsafe.probes.failure import failure
from rollsafe.probes.question import Question

Dial = Callable[[str, int, float], Any]  # (host, port, timeout in seconds) -> a connected socket, or an SSH channel


def dial_directly(host: str, port: int, timeout_s: float) -> socket.socket:
    """A plain TCP connection. Raises OSError."""
    return socket.create_connection((host, port), timeout_s)


def make_check(settings: CheckSettings, transport: httpx.BaseTransport | None, dial: Dial, clock: Clock) -> HealthCheck:
    """The check that the settings ask for: HTTP where there is a path (it needs a transport), else a TCP connect."""
    if settings.path is None:
        return TcpCheck(settings, dial, clock)
    assert transport is not None, "an HTTP check needs a transport"
    return HttpCheck(settings, transport, clock)


class HttpCheck:
    """Asks a path of the node and holds the answer against what is expected."""

    def __init__(self, settings: CheckSettings, transport: httpx.BaseTransport, clock: Clock) -> None:
        self._settings = settings
        self._question = Question(settings, _url(settings), transport, clock)

    def check(self) -> HealthReading:
        """Ask now."""
        reply = self._question.ask()
        return HealthReading(
            node=self._settings.node,
            service=self._settings.service,
            healthy=reply.good,
            state=reply.state,
            progress=reply.progress,
            evidence=reply.evidence,
        )


class TcpCheck:
    """Connects, and hangs up again."""

    def __init__(self, settings: CheckSettings, dial: Dial, clock: Clock) -> None:
        self._settings = settings
        self._dial = dial
        self._clock = clock

    def check(self) -> HealthReading:
        """Connect now."""
        settings = self._settings
        begun = self._clock.monotonic()
        try:
            self._dial(settings.host, settings.port, settings.timeout_s).close()
        except Exception as error:  # noqa: BLE001 - whatever breaks in a tunnel: no connection is a reading
            word, detail = failure(error)
            evidence = Evidence(latency_s=self._clock.monotonic() - begun, detail=excerpt(detail, limit=600))
            return HealthReading(settings.node, settings.service, False, word, evidence=evidence)
        evidence = Evidence(latency_s=self._clock.monotonic() - begun, detail="accepts connections")
        return HealthReading(settings.node, settings.service, True, "open", evidence=evidence)


def _url(settings: CheckSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    path = settings.path or "/"
    return f"{settings.scheme}://{host}:{settings.port}{path if path.startswith('/') else '/' + path}"


_http_conforms: type[HealthCheck] = HttpCheck
_tcp_conforms: type[HealthCheck] = TcpCheck
