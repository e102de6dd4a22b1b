"""Secrets behind their references: `env:NAME`, `file:PATH`, `command:PROGRAM ARGS`, `keyring:SERVICE/USER`.

Nothing is read before `reveal()`. A text with none of these words in front is a literal secret.
"""

import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import which
from types import MappingProxyType

from rollsafe.errors import InvalidInput
from rollsafe.model.cluster import Cluster
from rollsafe.model.secret import Secret

COMMAND_LIMIT_S = 10.0
KEYRING_LIMIT_S = 60.0  # a person may have to type what unlocks it
_DYING_S = 1.0
MAX_BYTES = 1 << 16
# Said by the look at the references, and by reading them: in the same words, so that they are told once.
_NO_PROGRAM = "{}: there is no such program"
_NO_RIGHT = "{}: the file may not be read by this user"
SCHEMES = ("env", "file", "command", "keyring")


def is_reference(text: str) -> bool:
    """Does the text name a place where a secret is kept?"""
    return text.partition(":")[0] in SCHEMES and ":" in text


def make_secret(text: str, base: Path) -> Secret:
    """The secret behind the text. A relative path starts at `base`. Raises ValueError where that can't be."""
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
        path = base / _at_home(rest)
        return Secret(f"file:{path}", lambda: _from_file(path))
    if scheme == "command":
        words = _words(rest, base)
        return Secret(f"command:{words[0]}", lambda: _from_command(words, base))
    service, slash, user = rest.rpartition("/")
    if not slash or not service or not user:
        raise ValueError(f'"{text}" is no keyring entry: write keyring:SERVICE/USER')
    return Secret(text, lambda: _from_keyring(service, user))


def make_token(secret: Secret) -> Secret:
    """The same secret, as a header can carry it: what is revealed of it can be sent. It is read only once."""
    return Secret(secret.reference, lambda: _sendable(secret))


def no_token(text: str) -> str:
    """Why no header can carry the text; empty where one can."""
    if text != text.strip():
        return "begins or ends with a blank, a tab or an empty line: keep the token alone there"
    if len(text.splitlines()) > 1:
        return "holds more than one line: keep the token alone there"
    if not (text.isascii() and text.isprintable()):
        return "holds a character that no HTTP header can carry: is it the right one?"
    return ""


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


def _sendable(secret: Secret) -> str:
    text = secret.reveal()
    if why := no_token(text):
        raise InvalidInput([f"{secret.reference}: the token {why}"])
    return text


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
            return _NO_RIGHT.format(reference)
    if scheme == "command" and which(rest) is None:
        return _NO_PROGRAM.format(reference)
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
    except PermissionError:
        raise InvalidInput([_NO_RIGHT.format(reference)]) from None
    except OSError as error:
        raise InvalidInput([f"{reference}: can't be read: {error.strerror or error}"]) from None


def _from_command(words: list[str], base: Path) -> str:
    """What the program prints. Its error text is not shown: password managers echo what they were asked for."""
    reference = f"command:{words[0]}"
    try:
        code, output = _run(words, base)
    except subprocess.TimeoutExpired:
        raise InvalidInput([f"{reference}: did not end within {COMMAND_LIMIT_S:g} s: does it ask something?"]) from None
    except FileNotFoundError:
        raise InvalidInput([_NO_PROGRAM.format(reference)]) from None
    except OSError as error:
        raise InvalidInput([f"{reference}: can't be started: {error.strerror or error}"]) from None
    if code != 0:
        raise InvalidInput([f"{reference}: ended with {code}: run it by hand to see why"])
    return _decoded(reference, output)


def _run(words: list[str], base: Path) -> tuple[int, bytes]:
    """The exit code and stdout, of which no more is read than a secret may hold.

    Past a limit the whole process group ends: a child of it may hold the pipe open.
    """
    program = subprocess.Popen(  # noqa: S603 - the operator's own inventory names it; no shell
        words,
        bufsize=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=base,
        start_new_session=True,
    )
    output = bytearray()
    reading = threading.Thread(target=_read_all, args=(program, output), name="secret", daemon=True)
    reading.start()
    reading.join(COMMAND_LIMIT_S)
    late = reading.is_alive()
    if late or len(output) > MAX_BYTES:
        _end(program)
    if late:
        raise subprocess.TimeoutExpired(words, COMMAND_LIMIT_S)
    return (0 if len(output) > MAX_BYTES else program.returncode), bytes(output)


def _read_all(program: "subprocess.Popen[bytes]", output: bytearray) -> None:
    """To the end of the program, or a little past what a secret may hold."""
    with program.stdout as stream:  # type: ignore[union-attr]  # it was asked for
        while len(output) <= MAX_BYTES:
            piece = stream.read(MAX_BYTES + 1 - len(output))
            if not piece:
                program.wait()
                return
            output += piece


def _end(program: "subprocess.Popen[bytes]") -> None:
    """Kill it with its children. One that is root's by sudo can't be, and is not waited for."""
    with contextlib.suppress(OSError):
        os.killpg(program.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(_DYING_S)


def _from_keyring(service: str, user: str) -> str:
    """A backend asks a daemon or a person, on a thread of its own, for it has no limit; it raises what it likes."""
    reference = f"keyring:{service}/{user}"
    try:
        import keyring
    except ImportError:
        raise InvalidInput([f"{reference}: needs the extra: pip install 'rollsafe[keyring]'"]) from None
    answers: list[str | Exception | None] = []

    def ask() -> None:
        try:
            answers.append(keyring.get_password(service, user))
        except Exception as error:  # noqa: BLE001 - whatever a backend of another package raises
            answers.append(error)

    asking = threading.Thread(target=ask, name="keyring", daemon=True)
    asking.start()
    asking.join(KEYRING_LIMIT_S)
    if not answers:
        raise InvalidInput([f"{reference}: the keyring gave no answer within {KEYRING_LIMIT_S:g} s: is it locked?"])
    value = answers[0]
    if isinstance(value, Exception):
        raise InvalidInput([f"{reference}: the keyring can't be read ({type(value).__name__})"])
    if not value:
        raise InvalidInput([f"{reference}: the keyring has no such entry"])
    return _whole(reference, value)


def _words(rest: str, base: Path) -> list[str]:
    """The program, whole where it is a path, and its arguments. One without a slash is looked for in PATH."""
    try:
        words = shlex.split(rest)
    except ValueError:
        raise ValueError("the command has a quote that is not closed") from None
    program = str(_at_home(words[0]))
    return [str((base / program).absolute()) if "/" in words[0] else program, *words[1:]]


def _at_home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f'"{path}" begins with ~ of a user that is not known here') from None


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
