"""What is a good answer, by status, JSON and SCIM."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollsafe.model.settings import Expectation
from rollsafe.probes.expect import BODY_LIMIT, SCIM_ERROR, SCIM_LIST, judge

SCIM = Expectation(status=None, scim=True)
RUNNING = Expectation(status=200, json={"state": "RUNNING"})
HTML = b"<html><body><h1>HTTP Status 404</h1></body></html>"


def scim_error(status: object) -> bytes:
    return json.dumps({"schemas": [SCIM_ERROR], "status": status, "detail": "Not authorized"}).encode()


LIST = json.dumps({"schemas": [SCIM_LIST], "totalResults": 7}).encode()

SCIM_ROWS = [
    ("a SCIM 401 with the status as text", 401, scim_error("401"), False, True, "SCIM"),
    ("a SCIM 401 with the status as number", 401, scim_error(401), False, True, "SCIM"),
    ("a ListResponse without a token (auth: none)", 200, LIST, False, True, "SCIM"),
    ("a ListResponse with the token", 200, LIST, True, True, "SCIM"),
    ("a ListResponse with a byte order mark", 200, b"\xef\xbb\xbf" + LIST, True, True, "SCIM"),
    ("a SCIM 401 although the token was sent", 401, scim_error("401"), True, False, "token refused"),
    ("a SCIM 401 that says 403", 401, scim_error("403"), False, False, "not SCIM"),
    ("a SCIM 401 that says true", 401, scim_error(True), False, False, "not SCIM"),
    ("Tomcat's HTML 404", 404, HTML, False, False, "not SCIM"),
    ("a proxy's HTML 401", 401, HTML, False, False, "not SCIM"),
    ("a proxy's JSON 401", 401, b'{"error": "unauthorized"}', False, False, "not SCIM"),
    ("another API's 401 with schemas of its own", 401, b'{"schemas": "x", "status": "401"}', False, False, "not SCIM"),
    ("a SCIM 404", 404, scim_error("404"), False, False, "SCIM 404"),
    ("a SCIM 500", 500, scim_error("500"), False, False, "SCIM 500"),
    ("an HTML 200", 200, HTML, False, False, "not SCIM"),
    ("a user's resource", 200, b'{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}', True, False, "not SCIM"),
    ("an empty 200", 200, b"", False, False, "not SCIM"),
    ("HAProxy's 503", 503, b"<html>No server is available</html>", False, False, "not SCIM"),
    ("a login page", 302, b"", False, False, "redirect"),
    ("nested so deep that a parser gives up", 200, b"[" * 60000, False, False, "not SCIM"),
]


@pytest.mark.parametrize(
    ("status", "body", "token", "good", "state"), [r[1:] for r in SCIM_ROWS], ids=[r[0] for r in SCIM_ROWS]
)
def test_scim(status: int, body: bytes, token: bool, good: bool, state: str) -> None:
    judgement = judge(SCIM, token, status, {"content-type": "text/html"}, body)
    assert (judgement.good, judgement.state) == (good, state)
    assert bool(judgement.detail) is not good, "a bad answer says why, a good one needs no words"


def test_a_list_that_is_longer_than_what_is_read_is_known_by_its_head() -> None:
    users = ",".join('{"userName": "somebody"}' for _ in range(5000))
    body = f'{{"schemas": ["{SCIM_LIST}"], "Resources": [{users}]}}'.encode()[:BODY_LIMIT]
    assert judge(SCIM, True, 200, {}, body).good
    assert not judge(SCIM, True, 200, {}, (b"<html>" + SCIM_LIST.encode() + b"x" * BODY_LIMIT)[:BODY_LIMIT]).good


STATUS_ROWS = [
    ("Jira runs", 200, b'{"state":"RUNNING"}', True, "RUNNING", False),
    ("Jira starts, and says 200", 200, b'{"state":"STARTING"}', False, "STARTING", True),
    ("Jira is held up by a reindex", 503, b'{"state":"MAINTENANCE"}', False, "MAINTENANCE", True),
    ("Confluence starts with 503", 503, b'{"state":"STARTING"}', False, "STARTING", True),
    ("nobody set it up", 200, b'{"state":"FIRST_RUN"}', False, "FIRST_RUN", False),
    ("it could not start", 500, b'{"state":"ERROR"}', False, "ERROR", False),
    ("it stops", 200, b'{"state":"STOPPING"}', False, "STOPPING", False),
    ("the right word with the wrong status", 503, b'{"state":"RUNNING"}', False, "RUNNING", False),
    ("Tomcat without the application", 404, HTML, False, "HTTP 404", False),
    ("a page with 200", 200, HTML, False, "not JSON", False),
    ("JSON of another kind", 200, b"[1, 2]", False, "unexpected", False),
    ("no state", 200, b"{}", False, "unexpected", False),
    ("a login page", 302, b"", False, "redirect", False),
]


@pytest.mark.parametrize(
    ("status", "body", "good", "state", "progress"), [r[1:] for r in STATUS_ROWS], ids=[r[0] for r in STATUS_ROWS]
)
def test_status_pages(status: int, body: bytes, good: bool, state: str, progress: bool) -> None:
    judgement = judge(RUNNING, False, status, {}, body)
    assert (judgement.good, judgement.state, judgement.progress) == (good, state, progress)
    assert bool(judgement.detail) is not good


def test_a_redirect_names_its_target_without_the_query() -> None:
    judgement = judge(RUNNING, False, 302, {"location": "https://sso.example.com/login?token=canary"}, b"")
    assert "https://sso.example.com/login" in judgement.detail
    assert "canary" not in judgement.detail


def test_a_difference_is_named_by_its_path() -> None:
    expect = Expectation(json={"db": {"ok": True, "lag": [1, 2]}})
    assert judge(expect, False, 200, {}, b'{"db": {"ok": true, "lag": [1, 2]}, "x": 1}').good
    assert "db.ok is 1" in judge(expect, False, 200, {}, b'{"db": {"ok": 1, "lag": [1, 2]}}').detail
    assert "db.lag[1] is 3" in judge(expect, False, 200, {}, b'{"db": {"ok": true, "lag": [1, 3]}}').detail
    assert "db.lag is missing" in judge(expect, False, 200, {}, b'{"db": {"ok": true}}').detail


def test_without_json_the_status_is_enough() -> None:
    assert judge(Expectation(status=204), False, 204, {}, b"").state == "HTTP 204"
    assert judge(Expectation(status=None), False, 500, {}, b"").good


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), _values, max_size=4), st.dictionaries(st.text(max_size=3), _values))
def test_whatever_is_added_a_superset_is_good(wanted: dict[str, object], more: dict[str, object]) -> None:
    body = json.dumps({**more, **wanted}).encode()
    assert judge(Expectation(json=wanted), False, 200, {}, body).good


@given(st.binary(max_size=300), st.integers(100, 599), st.booleans())
def test_garbage_never_raises_and_is_never_scim(body: bytes, status: int, token: bool) -> None:
    judgement = judge(SCIM, token, status, {}, body)
    assert not judgement.good
    assert judgement.state
