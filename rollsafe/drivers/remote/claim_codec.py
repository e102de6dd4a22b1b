"""A claim as text: one JSON object whose first line is fixed, so that a POSIX shell can compare the token.

{"run":"…","epoch":1,"holder":"…","revision":3,
"version":1,
"cluster":"jira-prod",
…
"entries":{…}}
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from rollsafe.errors import ClaimError, Effect
from rollsafe.model.claim import ClaimRecord, FoundMember, Token, Who
from rollsafe.model.reading import AdminState, Found, Member

VERSION = 1
MOST_BYTES = 1 << 20
_WORD = re.compile(r"[A-Za-z0-9._-]{1,200}")
_MOST_NUMBER = 2**53  # what every JSON reader keeps exact


def first_line(token: Token) -> str:
    """The line that says whose claim it is. Raises ClaimError where a word holds what a shell could misread."""
    for name, word in (("run", token.run), ("holder", token.holder)):
        if _WORD.fullmatch(word) is None:
            raise ClaimError(f"the {name} {word!r} holds other letters than A-Z a-z 0-9 . _ -", effect=Effect.NONE)
    for name, number in (("epoch", token.epoch), ("revision", token.revision)):
        if not 0 <= number <= _MOST_NUMBER:
            raise ClaimError(f"the {name} {number} is no count", effect=Effect.NONE)
    return f'{{"run":"{token.run}","epoch":{token.epoch},"holder":"{token.holder}","revision":{token.revision},'


def encode(record: ClaimRecord) -> bytes:
    """The record as the file holds it. Raises ClaimError where it can't be one (effect NONE)."""
    parts: dict[str, Any] = {
        "version": record.version,
        "cluster": record.cluster,
        "beat": record.beat,
        "done": record.done,
        "released": record.released,
        "who": {name: getattr(record.who, name) for name in Who.__slots__},
        "node_in_hand": record.node_in_hand,
        "doing": record.doing,
        "nodes": list(record.nodes),
        "entries": {node: [_found_member(one) for one in found] for node, found in record.entries.items()},
    }
    lines = ",\n".join(f"{json.dumps(name)}:{_compact(value)}" for name, value in parts.items())
    data = f"{first_line(record.token)}\n{lines}}}\n".encode()
    if len(data) > MOST_BYTES:
        raise ClaimError(f"the claim would be {len(data)} bytes; at most {MOST_BYTES} are allowed", effect=Effect.NONE)
    return data


def decode(data: bytes) -> ClaimRecord:
    """The record in a file. Raises ClaimError (effect NONE) for everything that rollsafe did not write."""
    if len(data) > MOST_BYTES:
        _off(f"it is larger than {MOST_BYTES} bytes")
    if not data.strip():
        _off("it is empty")
    try:
        found = json.loads(data, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        _off(f"it is no JSON ({error})", error)
    if not isinstance(found, dict):
        _off("it is no JSON object")
    if found.get("version") != VERSION:
        _off(
            f"it has version {found.get('version')!r}, and this rollsafe knows {VERSION}: use the rollsafe that made it"
        )
    record = _record({"released": False, "nodes": []} | found)  # an older rollsafe did not write these
    if data.split(b"\n", 1)[0] != first_line(record.token).encode():
        _off("its first line is not the one of its token")
    return record


def _record(found: dict[str, Any]) -> ClaimRecord:
    names = ("run", "epoch", "holder", "revision", "version", "cluster", "beat", "done", "released", "who")
    _exact(found, (*names, "node_in_hand", "doing", "nodes", "entries"), "the claim")
    node_in_hand = found["node_in_hand"]
    return ClaimRecord(
        cluster=_text(found, "cluster"),
        token=Token(_text(found, "run"), _count(found, "epoch"), _text(found, "holder"), _count(found, "revision")),
        beat=_count(found, "beat"),
        who=_who(found["who"]),
        node_in_hand=None if node_in_hand is None else _text(found, "node_in_hand"),
        doing=_text(found, "doing"),
        done=_flag(found, "done"),
        released=_flag(found, "released"),
        entries={
            node: tuple(_read_member(one) for one in _list(members, f"the entry of {node}"))
            for node, members in _object(found["entries"], "entries").items()
        },
        nodes=_texts(found, "nodes"),
        version=VERSION,
    )


def _who(value: object) -> Who:
    found = _object(value, "who")
    _exact(found, ("who", "host", "pid", "since", "reason", "url"), "who")
    texts = {name: _text(found, name) for name in ("who", "host", "since", "reason", "url")}
    return Who(pid=_count(found, "pid"), **texts)


def _found_member(one: FoundMember) -> dict[str, Any]:
    return {
        "member": {name: getattr(one.member, name) for name in Member.__slots__},
        "found": {"admin": one.found.admin.value, "restore": dict(one.found.restore)},
        "wrote": list(one.wrote),
    }


def _read_member(value: object) -> FoundMember:
    one = _object(value, "a member")
    _exact(one, ("member", "found", "wrote"), "a member")
    member, found = _object(one["member"], "a member"), _object(one["found"], "found")
    _exact(member, tuple(Member.__slots__), "a member")
    _exact(found, ("admin", "restore"), "found")
    restore = _object(found["restore"], "restore")
    wrote = _texts(one, "wrote")
    try:
        admin = AdminState(found["admin"])
    except ValueError as error:
        _off(f"{found['admin']!r} is no admin state", error)
    return FoundMember(
        Member(**{name: _text(member, name) for name in Member.__slots__}),
        Found(admin, {name: _text(restore, name) for name in restore}),
        wrote,
    )


def _compact(value: object) -> str:
    # ascii: no letter that a shell, a terminal or a line reader takes for something else
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def _off(why: str, cause: BaseException | None = None) -> NoReturn:
    raise ClaimError(f"not a claim of rollsafe: {why}", effect=Effect.NONE) from cause


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands there twice")
    return made


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _exact(found: Mapping[str, Any], names: tuple[str, ...], what: str) -> None:
    if missing := [name for name in names if name not in found]:
        _off(f"{what} lacks {', '.join(missing)}")
    if unknown := [name for name in found if name not in names]:
        _off(f"{what} holds {', '.join(map(repr, unknown[:5]))}, which nobody knows")


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _off(f"{what} is no object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        _off(f"{what} is no list")
    return value


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found[name]
    if not isinstance(value, str):
        _off(f"{name} is no text")
    return value


def _texts(found: Mapping[str, Any], name: str) -> tuple[str, ...]:
    words = _list(found[name], name)
    if not all(isinstance(word, str) for word in words):
        _off(f"{name} holds something else than texts")
    return tuple(words)


def _flag(found: Mapping[str, Any], name: str) -> bool:
    value = found[name]
    if not isinstance(value, bool):
        _off(f"{name} is neither true nor false")
    return value


def _count(found: Mapping[str, Any], name: str) -> int:
    value = found[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_NUMBER:
        _off(f"{name} is no count")
    return value
