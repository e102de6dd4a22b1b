"""Where a connection really goes: the inventory's settings first, then ~/.ssh/config and /etc/ssh/ssh_config."""

import contextlib
import getpass
import glob
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import paramiko

from rollsafe.drivers.ssh.known_hosts import DEFAULT_PORT, Source, read_source
from rollsafe.errors import Effect, ShellError
from rollsafe.model.settings import Hop, SshSettings

HIGHEST_PORT = 65535
MOST_HOPS = 8  # a chain that is longer is a ring in ~/.ssh/config
MOST_INCLUDES = 16  # OpenSSH's own limit on nested Include lines
PROGRAM_S = 10.0  # what a program of a `Match exec` line may take
DEFAULT_IDENTITIES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")


@dataclass(frozen=True, slots=True)
class Target:
    """One machine of a chain, ready to dial."""

    address: str
    port: int
    user: str
    host_key_name: str
    known_hosts: tuple[Source, ...]
    identities: tuple[str, ...]  # files of ~/.ssh/config, or OpenSSH's defaults
    certificates: tuple[str, ...]
    identities_only: bool
    agent: str | None  # the agent's socket

    @property
    def label(self) -> str:
        """How people and errors name it."""
        return f"{self.user}@{self.address}:{self.port}"


class ClientConfig:
    """What OpenSSH's client configuration says, read once."""

    def __init__(self, paths: tuple[str, ...] = ("~/.ssh/config", "/etc/ssh/ssh_config")) -> None:
        # "Host *" between the files ends the last block of the one before
        text = "\nHost *\n".join(_expand(at_home(path), 0) for path in paths)
        try:
            self._config = paramiko.SSHConfig.from_text(text)
        except (paramiko.SSHException, ValueError) as error:
            raise ShellError(f"~/.ssh/config can't be understood: {error}", effect=Effect.NONE) from error

    def chain(self, settings: SshSettings) -> tuple[Target, ...]:
        """Every machine on the way, the destination last. Raises ShellError for what can't be honoured."""
        destination = Hop(settings.host, settings.port, settings.user)
        return (*self._before(destination, settings, 0), self._target(destination, settings))

    def _before(self, hop: Hop, settings: SshSettings, depth: int) -> tuple[Target, ...]:
        if depth > MOST_HOPS:
            raise ShellError(f"{hop.host}: the chain of jump hosts never ends: look for a ring of ProxyJump lines in "
                             f"~/.ssh/config", effect=Effect.NONE)  # fmt: skip
        said = settings.jump if depth == 0 else None
        hops = self._proxy_jump(hop.host) if said is None else said
        if not hops:
            return ()
        first = self._before(hops[0], settings, depth + 1)
        return (*first, *(self._target(one, settings) for one in hops))

    def _proxy_jump(self, host: str) -> tuple[Hop, ...]:
        found = self._lookup(host)
        jump = found.get("proxyjump", "")
        if jump and jump.lower() != "none":
            return tuple(_hop(word.strip()) for word in jump.split(","))
        if found.get("proxycommand", "none").lower() != "none" and not jump:
            raise ShellError(
                f"{host}: ~/.ssh/config gives it a ProxyCommand, which rollsafe does not run. Set `ssh.jump: "
                f"[USER@HOST]` in the inventory, or a ProxyJump line in ~/.ssh/config.",
                effect=Effect.NONE,
            )
        return ()

    def _target(self, hop: Hop, settings: SshSettings) -> Target:
        found = self._lookup(hop.host)
        address = found.get("hostname", hop.host)
        return Target(
            address=address,
            port=hop.port or _port(f"the Port of {hop.host}", found.get("port", str(DEFAULT_PORT))),
            user=hop.user or found.get("user") or _own_name(hop.host),
            host_key_name=found.get("hostkeyalias", address),
            known_hosts=_known_hosts(settings, found),
            identities=tuple(_paths(found.get("identityfile")) or DEFAULT_IDENTITIES),
            certificates=tuple(_paths(found.get("certificatefile"))),
            identities_only=found.get("identitiesonly", "no").lower() == "yes",
            agent=_agent(found.get("identityagent")),
        )

    def _lookup(self, host: str) -> paramiko.SSHConfigDict:
        try:
            return self._config.lookup(host)
        except (paramiko.SSHException, ImportError, ValueError, LookupError) as error:
            raise ShellError(f"{host}: ~/.ssh/config can't be understood: {error}", effect=Effect.NONE) from error


def at_home(path: str) -> Path:
    """The path with its `~` or `~user` replaced; as it stands, and so leading nowhere, where nobody knows that home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


class _Programs:
    """What paramiko asks of invoke for `Match exec`, without its threads that read our stdin."""

    ok = False

    def run(self, command: str, **_: object) -> "_Programs":
        """Run it as ssh does, by the shell; `ok` says whether it exited 0."""
        answer = _Programs()
        with contextlib.suppress(subprocess.TimeoutExpired):
            quiet = subprocess.DEVNULL
            # ssh_config(5): it is a command of the user's own, for the user's own shell
            done = subprocess.run(  # noqa: S602 - as above
                command, shell=True, stdin=quiet, stdout=quiet, stderr=quiet, timeout=PROGRAM_S, check=False
            )
            answer.ok = done.returncode == 0
        return answer


class _Names:
    """What paramiko asks of getpass: of each host, whether or not its name is needed."""

    @staticmethod
    def getuser() -> str:
        """The name of who runs this; in a container that gives out numbers only, the number."""
        return _name_here() or str(os.getuid())


paramiko.config.invoke = _Programs()  # type: ignore[attr-defined]  # not in the stubs
paramiko.config.getpass = _Names()  # type: ignore[attr-defined]  # not in the stubs


def _name_here() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no variable, no line in passwd: KeyError, from Python 3.13 on OSError
        return None


def _own_name(host: str) -> str:
    name = _name_here()
    if name is None:
        raise ShellError(
            f"{host}: no user is set for it, and this process (uid {os.getuid()}) has no name on this machine: set "
            f"`ssh.user` in the inventory, or a User line in ~/.ssh/config",
            effect=Effect.NONE,
        )
    return name


def _port(what: str, word: str) -> int:
    if not (word.isascii() and word.isdigit() and 0 < int(word) <= HIGHEST_PORT):
        raise ShellError(
            f"~/.ssh/config: {what} is {word!r}, which is no port: write a number from 1 to {HIGHEST_PORT}",
            effect=Effect.NONE,
        )
    return int(word)


def _hop(word: str) -> Hop:
    text = word.removeprefix("ssh://")
    user, _, rest = text.rpartition("@")
    host, port = rest, ""
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    elif rest.count(":") == 1:
        host, _, port = rest.partition(":")
    if not host:
        raise ShellError(f"~/.ssh/config: ProxyJump {word!r} is not [USER@]HOST[:PORT]", effect=Effect.NONE)
    return Hop(host, _port(f"the port in ProxyJump {word!r}", port) if port else None, user or None)


def _known_hosts(settings: SshSettings, found: paramiko.SSHConfigDict) -> tuple[Source, ...]:
    if settings.known_hosts_data is not None:
        secret = settings.known_hosts_data
        return (Source(secret.reference, secret.reveal(), is_file=False),)
    if settings.known_hosts is not None:
        # a file that is not there yet knows nobody, and is where the line to type goes
        return (read_source(settings.known_hosts) or Source(settings.known_hosts, ""),)
    user = found.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2").split()
    shared = found.get("globalknownhostsfile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2").split()
    paths = [str(at_home(path.strip('"'))) for path in (*user, *shared) if path.lower() != "none"]
    sources = [source for path in paths if (source := read_source(path))]
    return tuple(sources) or tuple(Source(path, "") for path in paths[:1])


def _paths(value: object) -> list[str]:
    if value is None:
        return []
    words = value if isinstance(value, list) else [value]
    return [str(word).strip('"') for word in words if str(word).lower() != "none"]


def _agent(word: str | None) -> str | None:
    if word is None or word == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK") or None
    if word.lower() == "none":
        return None
    return os.environ.get(word[1:]) if word.startswith("$") else str(at_home(word))


def _expand(path: Path, depth: int) -> str:
    """The file's text with its Include lines replaced by what they name (paramiko reads over them in silence)."""
    if depth > MOST_INCLUDES:
        raise ShellError(f"{path}: Include lines nested deeper than {MOST_INCLUDES}", effect=Effect.NONE)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ShellError(f"{path} can't be read: {error.strerror}", effect=Effect.NONE) from error
    block, made = "Host *", []
    for line in lines:
        keyword, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if keyword.lower() in ("host", "match"):
            block = line
        if keyword.lower() == "include":
            # what follows belongs to the block around the Include again
            made += [_expand(found, depth + 1) for found in _included(path, rest)] + [block]
        else:
            made.append(line)
    return "\n".join(made)


def _included(path: Path, rest: str) -> list[Path]:
    home = at_home("~/.ssh")
    base = path.parent if path.is_relative_to("/etc/ssh") else home
    patterns = [str(base / at_home(word.strip('"'))) for word in rest.split()]
    return [Path(found) for pattern in patterns for found in sorted(glob.glob(pattern))]  # noqa: PTH207 - absolute patterns
