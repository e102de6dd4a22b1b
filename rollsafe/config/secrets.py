"""Secrets behind their references: `env:NAME`, `file:PATH`, `command:PROGRAM ARGS`, `keyring:SERVICE/USER`.

Nothing is read before `reveal()`. A text with none of these words in front is a literal secret.
"""

import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import which
from types import MappingProxyType

from rollsafe.errors import InvalidInput
from rollsafe.model.cluster import Cluster
from rollsafe.model.secret import Secret

COMMAND_LIMIT_S = 10.0
MAX_BYTES = 1 << 16
SCHEMES = ("env", "file", "command", "keyring")


def is_reference(text: str) -> bool:
    """Does the text name a place where a secret is kept?"""
    return text.partition(":")[0] in SCHEMES and ":" in text


def make_secret(text: str, base: Path) -> Secret:
    """The secret behind the text. A relative `file:` starts at `base`. Raises ValueError where that can't be."""
    if not is_reference(text):
        if not text:
            raise ValueError("is empty: name where the secret is kept, such as env:NAME")
        return Secret("literal", lambda: text)
    scheme, _, rest = text.partition(":")
    if not rest.strip():
        raise ValueError(f'"{text}" names nothing after the colon')
    if scheme == "env":
        return Secret(text, lambda: _from_environment(rest))
    if scheme == "file":
        path = base / Path(rest).expanduser()
        return Secret(f"file:{path}", lambda: _from_file(path))
    if scheme == "command":
        words = _words(rest)
        return Secret(f"command:{words[0]}", lambda: _from_command(words, base))
    service, slash, user = rest.rpartition("/")
    if not slash or not service or not user:
        raise ValueError(f'"{text}" is no keyring entry: write keyring:SERVICE/USER')
    return Secret(text, lambda: _from_keyring(service, user))


def secrets_of(cluster: Cluster) -> tuple[Secret, ...]:
    """Every secret that the cluster's settings can reach, each once."""
    found: dict[int, Secret] = {}
    for secret in _walk(cluster):
        found.setdefault(id(secret), secret)
    return tuple(found.values())


def check_secret_references(cluster: Cluster, named: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """One sentence for each reference that surely leads nowhere. Reads no secret and starts no command."""
    references = dict.fromkeys(secret.reference for secret in secrets_of(cluster))
    missing = [(named.get(reference), _missing(reference)) for reference in references]
    return [f"{where}: {problem}" if where else problem for where, problem in missing if problem]


def resolve_all(cluster: Cluster, named: Mapping[str, str] = MappingProxyType({})) -> None:
    """Read every secret. Raises InvalidInput with all that can't be read; `named` tells where they are named."""
    problems: dict[str, None] = {}
    failed: set[str] = set()
    for secret in secrets_of(cluster):
        if secret.reference in failed:
            continue  # a command that took its 10 s once is not started again for each node
        try:
            secret.reveal()
        except InvalidInput as error:
            failed.add(secret.reference)
            where = named.get(secret.reference)
            problems |= dict.fromkeys(f"{where}: {one}" if where else one for one in error.problems)
    if problems:
        raise InvalidInput(list(problems))


def _walk(value: object) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _walk(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _walk(getattr(value, field.name))


def _missing(reference: str) -> str | None:
    scheme, _, rest = reference.partition(":")
    if scheme == "env" and not os.environ.get(rest):
        return f"{reference}: the environment variable {rest} is not set: export it"
    if scheme == "file":
        if not Path(rest).is_file():
            return f"{reference}: there is no such file"
        if not os.access(rest, os.R_OK):
            return f"{reference}: the file may not be read by this user"
    if scheme == "command" and which(rest) is None:
        return f"{reference}: there is no such program"
    return None


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise InvalidInput([f"env:{name}: the environment variable {name} is not set: export it"])
    return _whole(f"env:{name}", value)


def _from_file(path: Path) -> str:
    reference = f"file:{path}"
    try:
        if not path.is_file():
            raise InvalidInput([f"{reference}: there is no such file"])
        with path.open("rb") as stream:
            return _decoded(reference, stream.read(MAX_BYTES + 1))
    except OSError as error:
        raise InvalidInput([f"{reference}: can't be read: {error.strerror or error}"]) from None


def _from_command(words: list[str], base: Path) -> str:
    """What the program prints. Its error text is not shown: password managers echo what they were asked for."""
    reference = f"command:{words[0]}"
    try:
        code, output = _run(words, base)
    except subprocess.TimeoutExpired:
        raise InvalidInput([f"{reference}: did not end within {COMMAND_LIMIT_S:g} s: does it ask something?"]) from None
    except OSError as error:
        raise InvalidInput([f"{reference}: can't be started: {error.strerror or error}"]) from None
    if code != 0:
        raise InvalidInput([f"{reference}: ended with {code}: run it by hand to see why"])
    return _decoded(reference, output)


def _run(words: list[str], base: Path) -> tuple[int, bytes]:
    """The exit code and stdout. Past the limit the whole process group ends: a child of it may hold the pipe open."""
    with subprocess.Popen(  # noqa: S603 - the operator's own inventory names it; no shell
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=base,
        start_new_session=True,
    ) as program:
        try:
            output, _ = program.communicate(timeout=COMMAND_LIMIT_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            raise
        return program.returncode, output


def _from_keyring(service: str, user: str) -> str:
    reference = f"keyring:{service}/{user}"
    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise InvalidInput([f"{reference}: needs the extra: pip install 'rollsafe[keyring]'"]) from None
    try:
        value = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise InvalidInput([f"{reference}: the keyring can't be read ({type(error).__name__})"]) from None
    if not value:
        raise InvalidInput([f"{reference}: the keyring has no such entry"])
    return _whole(reference, value)


def _words(rest: str) -> list[str]:
    try:
        words = shlex.split(rest)
    except ValueError:
        raise ValueError("the command has a quote that is not closed") from None
    return [str(Path(words[0]).expanduser()), *words[1:]]


def _decoded(reference: str, raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise InvalidInput([f"{reference}: holds more than {MAX_BYTES} bytes: is it the right one?"])
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput([f"{reference}: is not UTF-8 text"]) from None
    return _whole(reference, text)


def _whole(reference: str, text: str) -> str:
    """Without one trailing newline, which every editor and `echo` adds."""
    bare = text[:-2] if text.endswith("\r\n") else text[:-1] if text.endswith("\n") else text
    if not bare:
        raise InvalidInput([f"{reference}: is empty"])
    return bare
