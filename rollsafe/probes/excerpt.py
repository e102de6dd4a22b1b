"""What may be shown of an answer: short, on one line, without control characters, and never a secret."""

import re
from collections.abc import Iterable
from urllib.parse import quote

EXCERPT_CHARS = 200
STATE_CHARS = 40

# C0 and C1 (terminal escapes begin there), marks that turn the direction of writing, lone surrogates
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def excerpt(text: bytes | str, secrets: Iterable[str] = (), limit: int = EXCERPT_CHARS) -> str:
    """The first `limit` characters of `text`, for people. Secrets are hidden before anything is cut off."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    words = " ".join(words.split())
    words = redact(_UNPRINTABLE.sub("", words), secrets)
    return words if len(words) <= limit else words[: limit - 1] + "…"


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` with every secret hidden, also where it is escaped as in a URL."""
    for secret in secrets:
        for shape in {secret, quote(secret, safe=""), quote(secret)} - {""}:
            text = text.replace(shape, "[hidden]")
    return text
