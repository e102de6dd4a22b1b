"""A probe: one request through the balancer, on a new connection, as the identity provider sends it. Never raises."""

from dataclasses import replace

import httpx

from rollsafe.model.reading import ProbeSample
from rollsafe.model.settings import ProbeSettings
from rollsafe.ports import Clock, Probe
from rollsafe.probes.excerpt import STATE_CHARS, excerpt
from rollsafe.probes.question import Question


class HttpProbe:
    """Asks the service's public address. `transport` brings TLS, `connect_to`, tunnel and proxy."""

    def __init__(self, settings: ProbeSettings, transport: httpx.BaseTransport, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._question = Question(settings, settings.url, transport, clock)

    def ask(self) -> ProbeSample:
        """Ask now; `at_s` is the moment of asking (a watch puts in when it was due)."""
        settings = self._settings
        started_s = self._clock.monotonic()
        reply = self._question.ask()
        named = reply.headers.get(settings.node_header.lower(), "") if settings.node_header else ""
        evidence = reply.evidence
        if not reply.good:
            evidence = replace(evidence, detail=f"{reply.state}: {evidence.detail}")
        return ProbeSample(
            service=settings.service,
            name=settings.name,
            at_s=started_s,
            started_s=started_s,
            good=reply.good,
            latency_s=self._clock.monotonic() - started_s,
            evidence=evidence,
            node=excerpt(named, limit=STATE_CHARS) or None,
        )


_conforms: type[Probe] = HttpProbe
