"""Is this answer a good one? Pure: status, headers and body in, a judgement in words out.

Sources: RFC 7644 sections 3.4.2 (ListResponse) and 3.12 (Error, whose `status` is a string); Atlassian's meanings of
`/status`: Jira answers 200 while STARTING and FIRST_RUN, 503 in MAINTENANCE and 500 in ERROR, so the word in the body
decides, never the status alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollsafe.model.settings import Expectation
from rollsafe.probes.excerpt import STATE_CHARS, excerpt

BODY_LIMIT = 64 * 1024  # bytes of a body that are read; health and `count=0` lists are far smaller

SCIM_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
SCIM_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"

ON_ITS_WAY = frozenset({"STARTING", "MAINTENANCE"})  # MAINTENANCE: a start that is held up by a reindex
NOT_SCIM = "not SCIM"
REDIRECT_CODES = frozenset({301, 302, 303, 307, 308})

_NOTHING = object()  # a body that is no JSON at all; None would be the JSON `null`


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether an answer is good, the product's own word for it, and why in a sentence (empty where it is good)."""

    good: bool
    state: str
    progress: bool = False
    detail: str = ""


def judge(expect: Expectation, token_used: bool, status: int, headers: Mapping[str, str], body: bytes) -> Judgement:
    """Hold an answer against what is expected. `headers` are looked up by lower-case names."""
    if expect.scim:
        return _judge_scim(token_used, status, headers, body)
    found = _parse(body)
    state = _state_word(found)
    if expect.status is not None and status != expect.status:
        return _bad_status(expect.status, status, headers, state)
    if expect.json is not None:
        return _judge_json(expect.json, status, found, state)
    return Judgement(True, state or f"HTTP {status}")


def _bad_status(wanted: int, status: int, headers: Mapping[str, str], state: str) -> Judgement:
    if status in REDIRECT_CODES:
        return _redirect(status, headers)
    detail = f"answered {status}, expected {wanted}" + (f"; it says {state}" if state else "")
    return Judgement(False, state or f"HTTP {status}", state in ON_ITS_WAY, detail)


def _redirect(status: int, headers: Mapping[str, str]) -> Judgement:
    # The query is left out: it may carry a session or a login token.
    to = excerpt(headers.get("location", "").partition("?")[0], limit=100) or "nowhere"
    return Judgement(False, "redirect", detail=f"answered {status} to {to}: a redirect (a login page?) is no health")


def _judge_json(wanted: Mapping[str, Any], status: int, found: object, state: str) -> Judgement:
    if found is _NOTHING:
        return Judgement(False, "not JSON", detail=f"answered {status} with a body that is not JSON")
    if difference := _difference(wanted, found, ""):
        return Judgement(False, state or "unexpected", state in ON_ITS_WAY, difference)
    return Judgement(True, state or f"HTTP {status}")


def _difference(wanted: object, found: object, path: str) -> str:
    """Where `found` does not hold all of `wanted`, in words; empty where it does."""
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return f"{path or 'the body'} is {_show(found)}, expected an object"
        for key, value in wanted.items():
            deeper = f"{path}.{key}" if path else str(key)
            if key not in found:
                return f"{deeper} is missing, expected {_show(value)}"
            if difference := _difference(value, found[key], deeper):
                return difference
        return ""
    if isinstance(wanted, list | tuple) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return next((d for i, (w, f) in pairs if (d := _difference(w, f, f"{path}[{i}]"))), "")
    # Python takes True for 1; JSON does not
    same = wanted == found and isinstance(wanted, bool) == isinstance(found, bool)
    return "" if same else f"{path or 'the body'} is {_show(found)}, expected {_show(wanted)}"


def _judge_scim(token_used: bool, status: int, headers: Mapping[str, str], body: bytes) -> Judgement:
    if status in REDIRECT_CODES:
        return _redirect(status, headers)
    found = _parse(body)
    if status == 200:
        return _scim_list(found, headers, body)
    if not _is_scim_error(found, status):
        detail = f"answered {status} with {_kind(found, headers)}, not with a SCIM error: {_who_else(status)}"
        return Judgement(False, NOT_SCIM, detail=detail)
    if status != 401:
        hint = "; the tenant in the path is unknown, or its directory is not loaded yet" if status == 404 else ""
        return Judgement(False, f"SCIM {status}", detail=f"SCIM answered {status}{hint}")
    if token_used:
        detail = "SCIM answered 401 although the token was sent: it is wrong, expired, or another tenant's"
        return Judgement(False, "token refused", detail=detail)
    return Judgement(True, "SCIM")


def _scim_list(found: object, headers: Mapping[str, str], body: bytes) -> Judgement:
    if SCIM_LIST.lower() in _schemas(found):
        return Judgement(True, "SCIM")
    # A server that ignores count=0 sends a list longer than what is read of it: its head must do.
    if found is _NOTHING and len(body) >= BODY_LIMIT and body.lstrip().startswith(b"{") and SCIM_LIST.encode() in body:
        return Judgement(True, "SCIM")
    detail = (
        f"answered 200 with {_kind(found, headers)}, not with a SCIM ListResponse: something else sits on this port"
    )
    return Judgement(False, NOT_SCIM, detail=detail)


def _is_scim_error(found: object, status: int) -> bool:
    """A SCIM error names its own status: a string by RFC 7644, a number by some servers."""
    if not isinstance(found, Mapping) or SCIM_ERROR.lower() not in _schemas(found):
        return False
    said = found.get("status")
    return not isinstance(said, bool) and isinstance(said, str | int) and str(said).strip() == str(status)


def _schemas(found: object) -> frozenset[str]:
    schemas = found.get("schemas") if isinstance(found, Mapping) else None
    if not isinstance(schemas, list):
        return frozenset()
    return frozenset(name.lower() for name in schemas if isinstance(name, str))


def _who_else(status: int) -> str:
    if status in (401, 403, 407):
        return "a proxy or the web server before SCIM refused"
    if status == 404:
        return "the web server is up, SCIM is not (yet) on this path"
    if status in (502, 503, 504):
        return "a balancer or proxy has no server to ask"
    return "something before SCIM answered"


def _kind(found: object, headers: Mapping[str, str]) -> str:
    if found is not _NOTHING:
        return "other JSON"
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    return "HTML" if media == "text/html" else "no JSON"


def _state_word(found: object) -> str:
    word = found.get("state") if isinstance(found, Mapping) else None
    return excerpt(word, limit=STATE_CHARS) if isinstance(word, str) else ""


def _show(value: object) -> str:
    return excerpt(json.dumps(value, ensure_ascii=False, default=str), limit=STATE_CHARS)


def _parse(body: bytes) -> object:
    """The body as JSON, whatever its content type says; `_NOTHING` where it is none."""
    try:
        return json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return _NOTHING
