"""What health checks and probes share: send the token, ask, judge the answer, keep the evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from rollsafe.errors import RollsafeError
from rollsafe.model.reading import Evidence
from rollsafe.model.secret import Secret
from rollsafe.model.settings import Expectation
from rollsafe.ports import Clock
from rollsafe.probes.excerpt import STATE_CHARS, excerpt
from rollsafe.probes.exchange import Exchange
from rollsafe.probes.expect import judge

DETAIL_CHARS = 400


class Settings(Protocol):
    """What CheckSettings and ProbeSettings have in common."""

    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def expect(self) -> Expectation: ...
    @property
    def token(self) -> Secret | None: ...
    @property
    def timeout_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A judged answer, fit to be shown: none of its texts holds the token."""

    good: bool
    state: str
    progress: bool
    evidence: Evidence
    headers: Mapping[str, str] = field(default_factory=dict)


class Question:
    """One request and what a good answer to it is."""

    def __init__(self, settings: Settings, url: str, transport: httpx.BaseTransport, clock: Clock) -> None:
        self._settings = settings
        self._exchange = Exchange(transport, url, settings.headers, settings.timeout_s, clock.monotonic)

    def ask(self) -> Reply:
        """Ask now. Never raises."""
        try:
            authorization, secrets = self._credentials()
        except RollsafeError as error:
            return Reply(False, "not asked", False, Evidence(detail=str(error)))
        answer = self._exchange.ask(authorization, secrets)
        if answer.status is None:
            evidence = Evidence(latency_s=answer.latency_s, detail=answer.detail)
            return Reply(False, answer.failed, False, evidence)
        verdict = judge(self._settings.expect, bool(secrets), answer.status, answer.headers, answer.body)
        evidence = Evidence(
            status=answer.status,
            excerpt=excerpt(answer.body, secrets),
            latency_s=answer.latency_s,
            detail=excerpt(verdict.detail, secrets, DETAIL_CHARS),
        )
        headers = {name: excerpt(value, secrets) for name, value in answer.headers.items()}
        return Reply(verdict.good, excerpt(verdict.state, secrets, STATE_CHARS), verdict.progress, evidence, headers)

    def _credentials(self) -> tuple[str | None, tuple[str, ...]]:
        """(Authorization header to add, secrets that no text may show). Raises what the secret's reading raises."""
        said = next((v for k, v in self._settings.headers.items() if k.lower() == "authorization"), None)
        if said is not None:
            return None, (said.partition(" ")[2].strip() or said,)
        token = self._settings.token.reveal() if self._settings.token else ""
        return (f"Bearer {token}", (token,)) if token else (None, ())
