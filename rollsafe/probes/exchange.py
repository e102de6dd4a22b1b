"""One HTTP exchange with a limit on everything: time, bytes, redirects, cookies. Never raises."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

from rollsafe import __version__
from rollsafe.errors import RollsafeError
from rollsafe.probes.deadline import Deadline
from rollsafe.probes.excerpt import excerpt
from rollsafe.probes.expect import BODY_LIMIT
from rollsafe.probes.failure import failure

_HEADERS = {
    "User-Agent": f"rollsafe/{__version__}",
    "Accept": "application/scim+json, application/json;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",  # a small answer is not worth unpacking, and a bomb can't hide in it
    "Connection": "close",  # each question on a connection of its own, as an identity provider's is
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Without a status nothing did: `failed` is then the word for it, and `detail` the sentence."""

    latency_s: float
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""  # at most BODY_LIMIT
    failed: str = ""
    detail: str = ""


class Exchange:
    """Asks one URL. `transport` brings TLS, tunnel and proxy.

    It is asked itself, without a client before it: redirects are not followed, cookies are forgotten, and what a client
    does besides would cost a fifth of the exchange, up to ten times a second.
    """

    def __init__(
        self,
        transport: httpx.BaseTransport,
        url: str,
        headers: Mapping[str, str],
        timeout_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._url = url
        named = {name.lower() for name in headers}
        self._headers = {name: value for name, value in _HEADERS.items() if name.lower() not in named} | dict(headers)
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._made: httpx.Request | None = None

    def ask(self, authorization: str | None = None, secrets: tuple[str, ...] = ()) -> Answer:
        """Ask now, on a new connection. Ends within the time-out, even where the answer comes a byte at a time.

        No text of the answer's `detail` holds one of the `secrets`.
        """
        begun = self._monotonic()
        with Deadline(self._timeout_s, self._monotonic) as deadline:
            try:
                status, headers, body = self._exchange(authorization, deadline)
            except Exception as error:  # noqa: BLE001 - whatever breaks in TLS, tunnel or proxy: no answer is an answer
                latency = self._monotonic() - begun
                if deadline.over:
                    return Answer(latency, failed="timed out", detail=f"no whole answer within {self._timeout_s:g} s")
                word, detail = failure(error)
                # our own errors (a secret that can't be read, a tunnel) are sentences already, and longer
                limit = 600 if isinstance(error, RollsafeError) else 200
                return Answer(latency, failed=word, detail=excerpt(detail, secrets, limit))
        return Answer(self._monotonic() - begun, status, headers, body)

    def _exchange(self, authorization: str | None, deadline: Deadline) -> tuple[int, dict[str, str], bytes]:
        response = self._transport.handle_request(self._request(authorization, deadline))
        try:
            raw = _read(response, deadline)
        finally:
            response.close()
        found = {name.lower(): value for name, value in response.headers.items()}
        return response.status_code, found, _unpacked(raw, found.get("content-encoding", ""))

    def _request(self, authorization: str | None, deadline: Deadline) -> httpx.Request:
        """What is the same each time (address, headers, limits) is made once: a probe asks up to ten times a second."""
        if self._made is None:
            limits = {"timeout": httpx.Timeout(self._timeout_s).as_dict()}
            self._made = httpx.Request("GET", self._url, headers=self._headers, extensions=limits)
        made = self._made
        told = {**made.extensions, "trace": deadline.traced}
        request = httpx.Request("GET", made.url, headers=made.headers, extensions=told)
        if authorization is not None:
            authorization.encode("ascii")  # another character is an error, as in every header; httpx would send it
            request.headers["Authorization"] = authorization
        return request


def _read(response: httpx.Response, deadline: Deadline) -> bytes:
    body = bytearray()
    assert isinstance(response.stream, httpx.SyncByteStream)
    for chunk in response.stream:
        deadline.check()
        body += chunk
        if len(body) >= BODY_LIMIT:
            break
    deadline.check()
    return bytes(body[:BODY_LIMIT])


def _unpacked(raw: bytes, encoding: str) -> bytes:
    """Some servers compress although they were asked not to. Never more than BODY_LIMIT comes out."""
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return raw
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(raw, BODY_LIMIT)
    except zlib.error:
        return raw
