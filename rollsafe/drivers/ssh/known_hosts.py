"""known_hosts as OpenSSH reads it: sshd(8), section SSH_KNOWN_HOSTS FILE FORMAT.

Own code, since paramiko's keeps no line numbers, knows no patterns, negations or markers, and rewrites what it reads.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rollsafe.errors import Effect, ShellError

DEFAULT_PORT = 22


@dataclass(frozen=True, slots=True)
class Source:
    """One known_hosts text: a file's path, or the reference of the secret that holds it."""

    name: str
    text: str
    is_file: bool = True


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One line that speaks of the host in question."""

    source: str
    line: int
    marker: str  # "", "@revoked" or "@cert-authority"
    type: str
    blob: bytes

    @property
    def place(self) -> str:
        """FILE:LINE."""
        return f"{self.source}:{self.line}"


def fingerprint(blob: bytes) -> str:
    """The SHA256 fingerprint as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def read_source(path: str) -> Source | None:
    """The file's text, or None where there is no such file. Raises ShellError where it can't be read."""
    try:
        return Source(path, Path(path).read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ShellError(
            f"known_hosts {path} can't be read: {error.strerror}. Give this user the right to read it.",
            effect=Effect.NONE,
        ) from error


class KnownHosts:
    """Every known_hosts text that counts for one destination, in order."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def keys_for(self, host: str, port: int) -> list[KnownKey]:
        """The lines that speak of host and port. Where none names the port, the lines of the bare host (as OpenSSH)."""
        named = self._lines(_name(host, port))
        return named or (self._lines(host.lower()) if port != DEFAULT_PORT else named)

    def types_for(self, host: str, port: int) -> list[str]:
        """The key types that are known for the host, so that the server is asked for one of them."""
        return list(dict.fromkeys(key.type for key in self.keys_for(host, port) if not key.marker))

    def check(self, host: str, port: int, key_type: str, blob: bytes, *, reached_through: str = "") -> None:
        """Return only if the host is known by this very key. Raises ShellError (effect NONE) otherwise."""
        lines = self.keys_for(host, port)
        shown = f"{key_type} {fingerprint(blob)}"
        for known in lines:
            if known.marker == "@revoked" and known.blob == blob:
                raise ShellError(
                    f"the host key of {_name(host, port)} ({shown}) is revoked at {known.place}. Don't connect: find "
                    f"out who answers there.",
                    effect=Effect.NONE,
                )
        plain = [known for known in lines if not known.marker]
        if any(known.blob == blob and known.type == key_type for known in plain):
            return
        if plain:
            raise ShellError(_changed(host, port, shown, plain, key_type), effect=Effect.NONE)
        authority = next((known for known in lines if known.marker == "@cert-authority"), None)
        note = (
            f" ({authority.place} names an authority, but rollsafe checks plain host keys only.)" if authority else ""
        )
        where = f", typed on {reached_through}" if reached_through else ""
        raise ShellError(
            f"the host key of {_name(host, port)} is not known: {shown}.{note} Compare the fingerprint with what "
            f"`ssh-keygen -lf` shows on its own console, then type{where}: {self._scan(host, port, key_type)}",
            effect=Effect.NONE,
        )

    def _scan(self, host: str, port: int, key_type: str) -> str:
        scan = f"ssh-keyscan -t {_scan_type(key_type)} -p {port} {host}"
        target = next(iter(self._sources), None)
        if target is None:
            return f"{scan} >> ~/.ssh/known_hosts"
        return f"{scan} >> {target.name}" if target.is_file else f"{scan}, and add the line to {target.name}"

    def _lines(self, name: str) -> list[KnownKey]:
        return [key for source in self._sources for key in _matching(source, name)]


def _name(host: str, port: int) -> str:
    return host.lower() if port == DEFAULT_PORT else f"[{host.lower()}]:{port}"


def _scan_type(key_type: str) -> str:
    return {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}.get(key_type, "ecdsa")


def _changed(host: str, port: int, shown: str, plain: list[KnownKey], key_type: str) -> str:
    known = next((key for key in plain if key.type == key_type), plain[0])
    name = _name(host, port)
    return (
        f"THE HOST KEY OF {name} CHANGED: it shows {shown}, but {known.place} says {known.type} "
        f"{fingerprint(known.blob)}. Somebody may be in between, or the machine was set up anew. Ask who did; then "
        f"remove that line (ssh-keygen -R '{name}' -f {known.source}) and add the new key."
    )


def _matching(source: Source, name: str) -> Iterable[KnownKey]:
    for number, line in enumerate(source.text.splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        marker = fields.pop(0) if fields[0].startswith("@") else ""
        if len(fields) < 3 or not _hosts_match(fields[0], name):
            continue
        try:
            blob = base64.b64decode(fields[2], validate=True)
        except (binascii.Error, ValueError):
            continue  # OpenSSH, too, passes over a line that it can't read
        yield KnownKey(source.name, number, marker, fields[1], blob)


def _hosts_match(patterns: str, name: str) -> bool:
    matched = False
    for pattern in patterns.split(","):
        if pattern.startswith("!"):
            if _glob(pattern[1:], name):
                return False
        elif pattern.startswith("|1|"):
            matched = matched or _hashed(pattern, name)
        elif _glob(pattern, name):
            matched = True
    return matched


def _glob(pattern: str, name: str) -> bool:
    if "*" not in pattern and "?" not in pattern:
        return pattern.lower() == name
    regex = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern.lower())
    return re.fullmatch(regex, name) is not None


def _hashed(pattern: str, name: str) -> bool:
    try:
        _, _, salt, digest = pattern.split("|")
        wanted = base64.b64decode(digest, validate=True)
        # HMAC-SHA1 is the file format's choice (HashKnownHosts): it hides names, it protects nothing
        made = hmac.new(base64.b64decode(salt, validate=True), name.encode(), "sha1").digest()
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(made, wanted)
