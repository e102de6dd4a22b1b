"""A claim as text: what goes in comes out, and nothing else comes in."""

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollsafe.drivers.remote.claim_codec import MOST_BYTES, decode, encode, first_line
from rollsafe.errors import ClaimError, Effect
from rollsafe.model.claim import ClaimRecord, FoundMember, Token, Who
from rollsafe.model.reading import AdminState, Found, Member

TEXT = st.text(max_size=30)
WORDS = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True)
COUNTS = st.integers(0, 2**50)
MEMBERS = st.builds(
    FoundMember,
    st.builds(Member, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT),
    st.builds(Found, st.sampled_from(AdminState), st.dictionaries(TEXT, TEXT, max_size=3)),
    st.lists(TEXT, max_size=3).map(tuple),
)
RECORDS = st.builds(
    ClaimRecord,
    cluster=TEXT,
    token=st.builds(Token, WORDS, COUNTS, WORDS, COUNTS),
    beat=COUNTS,
    who=st.builds(Who, TEXT, TEXT, COUNTS, TEXT, TEXT, TEXT),
    node_in_hand=st.none() | TEXT,
    doing=TEXT,
    done=st.booleans(),
    released=st.booleans(),
    entries=st.dictionaries(TEXT, st.lists(MEMBERS, max_size=2).map(tuple), max_size=3),
)
RECORD = ClaimRecord("jira-prod", Token("r1", 1, "h1", 3), 7, Who("ana", "laptop", 42, "2026-11-23T02:00:00Z"))


@given(RECORDS)
def test_what_is_written_is_read(record: ClaimRecord) -> None:
    data = encode(record)
    assert decode(data) == record
    assert data.split(b"\n")[0].decode() == first_line(record.token)
    assert json.loads(data)["run"] == record.token.run
    assert data.isascii()


def test_no_field_of_a_claim_is_forgotten() -> None:
    with_defaults = encode(RECORD)
    assert {field.name for field in fields(ClaimRecord)} - {"token"} <= set(json.loads(with_defaults))
    assert decode(changed(released=...)) == RECORD, "an older rollsafe did not write it"


def changed(**keys: object) -> bytes:
    """RECORD's text with other values; its first line stays."""
    head, rest = encode(RECORD).decode().split("\n", 1)
    body = json.loads("{" + rest)
    body.update(keys)
    body = {name: value for name, value in body.items() if value is not ...}
    return (head + "\n" + json.dumps(body)[1:]).encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"hello", "no JSON"),
        (b"[1]", "no JSON object"),
        (encode(RECORD)[:-20], "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b" " * (MOST_BYTES + 1), "larger than"),
        (changed(version=2), "version 2, and this rollsafe knows 1"),
        (changed(beat=...), "lacks beat"),
        (changed(extra=1), "'extra', which nobody knows"),
        (changed(beat="7"), "beat is no count"),
        (changed(beat=True), "beat is no count"),
        (changed(beat=-1), "beat is no count"),
        (changed(done=0), "done is neither"),
        (changed(released=None), "released is neither"),
        (changed(who=[]), "who is no object"),
        (changed(entries={"a": [{"member": {}, "found": {}, "wrote": []}]}), "lacks"),
        (changed(run="r2"), "twice|first line"),
        (encode(RECORD).replace(b'"epoch":1', b'"epoch": 1'), "first line"),
        (encode(RECORD).replace(b'"beat":7', b'"beat":7,"beat":8'), "twice"),
        (encode(RECORD).replace(b'"beat":7', b'"beat":NaN'), "NaN"),
        (b"\xff\xfe\x00", "no JSON"),
    ],
)
def test_anything_off_is_refused_with_its_reason(data: bytes, why: str) -> None:
    with pytest.raises(ClaimError, match=f"not a claim of rollsafe: .*({why})") as caught:
        decode(data)
    assert caught.value.effect is Effect.NONE


@pytest.mark.parametrize("word", ["", "a b", "a\nb", '"', "å", "a/b", "$(id)"])
def test_words_that_a_shell_could_misread_are_refused(word: str) -> None:
    with pytest.raises(ClaimError, match="other letters"):
        first_line(Token(word, 1, "h", 1))
