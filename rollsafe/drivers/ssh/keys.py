"""What this user can show at the door: key files, key data, certificates and the agent's keys."""

import base64
import hashlib
import io
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives import serialization
from paramiko.agent import AgentKey, AgentSSH

from rollsafe.drivers.ssh.client_config import Target, at_home
from rollsafe.drivers.ssh.known_hosts import fingerprint
from rollsafe.errors import Effect, ShellError
from rollsafe.model.settings import SshSettings

_OPENSSH_MAGIC = b"openssh-key-v1\0"  # OpenSSH's PROTOCOL.key
_CLASSES: dict[str, type[paramiko.PKey]] = {
    "ssh-ed25519": paramiko.Ed25519Key,
    "ssh-rsa": paramiko.RSAKey,
    "ecdsa-sha2-nistp256": paramiko.ECDSAKey,
    "ecdsa-sha2-nistp384": paramiko.ECDSAKey,
    "ecdsa-sha2-nistp521": paramiko.ECDSAKey,
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One key to try, and how people know it."""

    label: str
    key: paramiko.PKey


@dataclass(slots=True)
class Offer:
    """The keys to try in order, what could not be used and why, and how to let go of the agent."""

    candidates: list[Candidate] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None


class NeedsPassphrase(Exception):
    """The key is encrypted, and no passphrase was given."""


class KeyRing:
    """Loads keys, each file once: decrypting a key costs up to a second by design (bcrypt)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[bytes, paramiko.PKey] = {}

    def offer(self, settings: SshSettings, target: Target, *, timeout_s: float) -> Offer:
        """What to try for `target`. The inventory's key alone where it names one; else the agent, else key files.

        Raises ShellError (effect NONE) where the inventory's own key can't be used.
        """
        agent, agent_keys = _agent_keys(target.agent, timeout_s)
        try:
            return self._offer(settings, target, agent_keys, Offer(close=agent.let_go))
        except BaseException:
            agent.let_go()
            raise

    def _offer(self, settings: SshSettings, target: Target, agent_keys: list[AgentKey], offer: Offer) -> Offer:
        if settings.private_key_data is not None or settings.private_key is not None:
            offer.candidates.append(self._own(settings, agent_keys))
            return offer
        files = [self._from_config(path, target, settings, offer) for path in target.identities]
        wanted = [public for path in target.identities if (public := _public_part(at_home(path)))]
        preferred = [key for key in agent_keys if key.asbytes() in wanted or key.blob in wanted]
        others = [] if target.identities_only else [key for key in agent_keys if key not in preferred]
        offer.candidates = [_from_agent(key) for key in (*preferred, *others)]
        in_agent = {key.asbytes() for key in (*preferred, *others)}
        offer.candidates += [
            one for one in files if one and (one.key.asbytes() not in in_agent or getattr(one.key, "public_blob", None))
        ]
        return offer

    def _own(self, settings: SshSettings, agent_keys: list[AgentKey]) -> Candidate:
        if settings.private_key_data is not None:
            name, text = settings.private_key_data.reference, settings.private_key_data.reveal()
        else:
            name = str(settings.private_key)
            text = _read(name)
        passphrase = settings.passphrase.reveal() if settings.passphrase else None
        try:
            key = self._load(name, text, passphrase)
        except NeedsPassphrase:
            public = public_blob(text)
            held = next((key for key in agent_keys if public and key.asbytes() == public), None)
            if held is None:
                raise ShellError(
                    f"the private key {name} is encrypted. Give `ssh.passphrase` (env:NAME, keyring:…), or put the key "
                    f"into the agent: ssh-add {name}",
                    effect=Effect.NONE,
                ) from None
            key = held
        return self._certified(name, key, settings.certificate)

    def _certified(self, name: str, key: paramiko.PKey, certificate: str | None) -> Candidate:
        beside = f"{name}-cert.pub"
        if certificate is None and "/" in name and Path(beside).is_file():
            certificate = beside  # as OpenSSH does
        if certificate is None:
            return Candidate(f"{name} ({fingerprint(key.asbytes())})", key)
        text = _read(certificate)
        try:
            key = _copy(key)
            key.load_certificate(text)
            if _certified_key(text) != key.asbytes():
                raise ValueError("it is for another key")  # noqa: TRY301 - one sentence for all that can be off
        except (paramiko.SSHException, ValueError, LookupError) as error:
            raise ShellError(
                f"the certificate {certificate} does not fit the private key {name}: {error}", effect=Effect.NONE
            ) from error
        return Candidate(f"{name} with {certificate}", key)

    def _from_config(self, path: str, target: Target, settings: SshSettings, offer: Offer) -> Candidate | None:
        file = at_home(path)
        if not file.is_file():
            return None
        passphrase = settings.passphrase.reveal() if settings.passphrase else None
        certificate = settings.certificate or next(iter(target.certificates), None)
        try:
            key = self._load(str(file), _read(str(file)), passphrase)
            return self._certified(str(file), key, str(at_home(certificate)) if certificate else None)
        except NeedsPassphrase:
            offer.unusable.append(f"{file} is encrypted (ssh-add it, or give `ssh.passphrase`)")
        except ShellError as error:
            offer.unusable.append(str(error))
        return None

    def _load(self, name: str, text: str, passphrase: str | None) -> paramiko.PKey:
        seal = hashlib.sha256(f"{len(text)}:{text}{passphrase}".encode()).digest()
        with self._lock:
            if seal not in self._loaded:
                self._loaded[seal] = load_private_key(name, text, passphrase)
            return self._loaded[seal]


def load_private_key(name: str, text: str, passphrase: str | None) -> paramiko.PKey:
    """A private key from its text: OpenSSH's own format, PEM, or PKCS#8. Raises ShellError or NeedsPassphrase."""
    if not text.endswith("\n"):
        text += "\n"  # a secret drops its last newline, and the formats want it
    try:
        if re.search(r"-----BEGIN (ENCRYPTED )?PRIVATE KEY-----", text):
            text, passphrase = _pkcs8_as_openssh(text, passphrase), None
        return _class_of(text).from_private_key(io.StringIO(text), password=passphrase)
    except paramiko.PasswordRequiredException:
        raise NeedsPassphrase from None
    except TypeError as error:
        raise NeedsPassphrase from error  # cryptography's word for it
    except (paramiko.SSHException, ValueError, IndexError, struct.error) as error:
        why = "the passphrase does not open it" if passphrase else "it is no private key that rollsafe can read"
        raise ShellError(f"the private key {name} can't be used: {why}", effect=Effect.NONE) from error


def public_blob(text: str) -> bytes | None:
    """The public part of a private key in OpenSSH's format: it is in clear there, even when the rest is encrypted."""
    if "BEGIN OPENSSH PRIVATE KEY" not in text:
        return None
    body = "".join(line for line in text.splitlines() if not line.startswith("-----"))
    data = base64.b64decode(body)
    if not data.startswith(_OPENSSH_MAGIC):
        return None
    message = paramiko.Message(data[len(_OPENSSH_MAGIC) :])
    for _ in range(3):  # cipher, kdf, kdf options
        message.get_binary()
    message.get_int()  # number of keys: always 1
    return message.get_binary()


def _class_of(text: str) -> type[paramiko.PKey]:
    public = public_blob(text)
    if public is not None:
        name = paramiko.Message(public).get_text()
        if name not in _CLASSES:
            raise ValueError(f"a key of type {name}")
        return _CLASSES[name]
    return paramiko.ECDSAKey if "BEGIN EC PRIVATE KEY" in text else paramiko.RSAKey


def _pkcs8_as_openssh(text: str, passphrase: str | None) -> str:
    key = serialization.load_pem_private_key(text.encode(), passphrase.encode() if passphrase else None)
    made = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return made.decode()


def _certified_key(text: str) -> bytes:
    """The public key that a certificate speaks of, in its plain form."""
    kind, data = text.split()[:2]
    certified = _CLASSES[kind.removesuffix("-cert-v01@openssh.com")]
    return certified(data=base64.b64decode(data)).asbytes()  # type: ignore[arg-type]  # the stubs say str: it is bytes


def _copy(key: paramiko.PKey) -> paramiko.PKey:
    # load_certificate changes the key: one that is shared keeps no certificate
    copied = key.__class__.__new__(key.__class__)
    copied.__dict__.update(key.__dict__)
    return copied


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ShellError(
            f"{path} can't be read: {error.strerror}. It is named as the SSH key or certificate.", effect=Effect.NONE
        ) from error


def _public_part(file: Path) -> bytes | None:
    try:
        fields = Path(f"{file}.pub").read_text(encoding="utf-8").split()
        return base64.b64decode(fields[1])
    except (OSError, IndexError, ValueError):
        pass  # no .pub file beside it: the private key's own text says it, too
    try:
        return public_blob(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


class _Agent(AgentSSH):
    """An ssh-agent on a socket that has a limit: an agent that hangs must not hang a run."""

    def __init__(self, path: str | None, timeout_s: float) -> None:
        super().__init__()
        if path is None:
            return
        conn = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        conn.settimeout(timeout_s)
        try:
            conn.connect(path)
            self._connect(conn)  # type: ignore[attr-defined]  # the stubs leave it out
        except (OSError, paramiko.SSHException):
            conn.close()  # an agent that is gone is the same as none

    def let_go(self) -> None:
        """Close the socket."""
        self._close()  # type: ignore[attr-defined]  # the stubs leave it out


def _agent_keys(path: str | None, timeout_s: float) -> tuple[_Agent, list[AgentKey]]:
    agent = _Agent(path, timeout_s)
    return agent, list(agent.get_keys())


def _from_agent(key: AgentKey) -> Candidate:
    return Candidate(f"the agent's {key.comment or 'key'} ({fingerprint(key.asbytes())})", key)
