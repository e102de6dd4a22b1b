"""One line to HAProxy's runtime socket, one whole answer back, over TCP, a Unix socket or SSH.

Source: doc/management.txt of HAProxy, section 9.3: without `prompt` a connection carries one line; HAProxy answers and
closes. Each answer ends with an empty line, an empty one too: that is how a cut answer is told from a short one.
"""

import math
import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import SplitResult, urlsplit

from rollsafe.drivers.balancers.deadline import Deadline, SocketLike, dial_tcp, dial_unix
from rollsafe.errors import BalancerError, Effect, InvalidInput, ShellError
from rollsafe.model.settings import EndpointSettings, SshSettings
from rollsafe.model.wording import ended

if TYPE_CHECKING:
    from rollsafe.drivers.balancers import Completed, Ssh, SshFor

ANSWER_LIMIT = 4 * 1024 * 1024  # bytes; a backend of 10,000 servers needs less

_NO_PROGRAM = 127
# what socat and nc say of a connect(2) that failed; their words for a line that broke later are others
_NOT_CONNECTED = re.compile(r"\bE connect\(|connect failed|Connection refused|Permission denied|No such file")

_MASTERS_OWN = b"show proc"  # a command of no worker; the master keeps a connection open after its answer

Open = Callable[[Deadline], SocketLike]


class Wire:
    """The way to one runtime socket. `ask` opens a connection for each line, as HAProxy wants it."""

    def __init__(self, endpoint: EndpointSettings, ssh_for: "SshFor") -> None:
        self._endpoint = endpoint
        self._ssh_for = ssh_for
        self._parts = _checked(endpoint)
        self._by_command = False  # the SSH server forwards no Unix sockets: a program there carries the line

    def deadline(self, within_s: float = math.inf) -> Deadline:
        """The time that one call of the port may take, in all its questions."""
        return Deadline(min(self._endpoint.timeout_s, within_s))

    def ask(self, line: str, deadline: Deadline) -> str:
        """The whole answer to one line. Raises BalancerError."""
        if self._by_command:
            return self._checked_text(self._ask_by_command(line, deadline))
        try:
            sock = self._open(deadline)
        except ShellError as error:
            if self._parts.scheme != "ssh" or not hasattr(error, "forbidden"):  # the host itself was not reached
                raise BalancerError(f"{self._where()}: {error}", effect=Effect.NONE) from error
            return self._checked_text(self._ask_after_refusal(line, deadline, error))
        except OSError as error:
            self._unreachable(error)
        try:
            return self._checked_text(self._exchange(sock, line, deadline))
        finally:
            sock.close()

    def _open(self, deadline: Deadline) -> SocketLike:
        parts, endpoint = self._parts, self._endpoint
        if parts.scheme == "ssh":
            return self._host().dial_unix(parts.path, timeout_s=deadline.left())
        if endpoint.via is not None:
            host = self._ssh_for(endpoint.via)
            if parts.scheme == "unix":
                return host.dial_unix(parts.path, timeout_s=deadline.left())
            return host.dial_tcp(parts.hostname or "", parts.port or 0, timeout_s=deadline.left())
        if parts.scheme == "unix":
            return dial_unix(parts.path, deadline.left())
        return dial_tcp(parts.hostname or "", parts.port or 0, deadline.left())

    def _exchange(self, sock: SocketLike, line: str, deadline: Deadline) -> bytes:
        answer = bytearray()
        try:
            sock.settimeout(deadline.left())
        except TimeoutError as error:  # an SSH connection is made outside of our limit
            self._unreachable(error)
        try:
            sock.sendall(line.encode() + b"\n")
            while chunk := _receive(sock, deadline):
                answer += chunk
                if len(answer) > ANSWER_LIMIT:
                    raise BalancerError(f"{self._where()} answered more than {ANSWER_LIMIT} bytes: is it HAProxy?")
        except TimeoutError as error:
            self._no_whole_answer(bytes(answer), deadline, error)
        except (OSError, EOFError) as error:
            raise BalancerError(f"{self._where()} broke off in the middle of an answer: {error}") from error
        return bytes(answer)

    def _no_whole_answer(self, begun: bytes, deadline: Deadline, error: TimeoutError) -> NoReturn:
        if begun.startswith(b"Unknown command") and _MASTERS_OWN in begun:
            raise BalancerError(
                f"{self._where()} is the socket of its master process (`-S`), which knows no servers: name the "
                "`stats socket` of its workers (`level admin`).",
                effect=Effect.NONE,
            ) from error
        raise BalancerError(
            f"{self._where()} accepted the connection but gave no whole answer within {deadline.seconds:g} s. "
            "The process may hang or be overloaded: look at it on the balancer's host."
        ) from error

    def _checked_text(self, answer: bytes) -> str:
        text = answer.decode("utf-8", errors="replace")
        if text != "\n" and not text.endswith("\n\n"):
            what = f"it ends {text[-60:]!r}" if text else "it said nothing at all"
            raise BalancerError(f"{self._where()} was cut off in the middle of its answer ({what}).")
        return text

    def _ask_after_refusal(self, line: str, deadline: Deadline, refusal: ShellError) -> bytes:
        """The SSH server would not forward the socket: try a program there; a dead host fails in the same words."""
        try:
            answer = self._ask_by_command(line, deadline)
        except BalancerError as error:
            if error.effect is Effect.UNKNOWN:
                raise
            raise BalancerError(f"{self._where()}: {refusal} ({error})", effect=Effect.NONE) from refusal
        self._by_command = True
        return answer

    def _ask_by_command(self, line: str, deadline: Deadline) -> bytes:
        path = shlex.quote(self._parts.path)
        seconds = max(1, int(deadline.seconds))
        command = (
            f"if command -v socat >/dev/null 2>&1; then exec socat -t{seconds} - UNIX-CONNECT:{path}; "
            f"elif command -v nc >/dev/null 2>&1; then exec nc -U {path}; "
            "else echo 'neither socat nor nc is installed here' >&2; exit 127; fi"
        )
        try:
            done = self._host().run(
                command, stdin=line.encode() + b"\n", timeout_s=deadline.left(), output_limit=ANSWER_LIMIT
            )
        except ShellError as error:
            raise BalancerError(f"{self._where()}: {error}", effect=error.effect) from error
        except TimeoutError as error:
            self._unreachable(error)
        if done.exit_status != 0:
            self._failed_there(done)
        return done.stdout

    def _failed_there(self, done: "Completed") -> NoReturn:
        """Only where no program was started, or its connect failed, is it sure that HAProxy got nothing."""
        text = done.stderr.decode("utf-8", errors="replace").strip()[-300:]
        if not done.stdout and (done.exit_status == _NO_PROGRAM or _NOT_CONNECTED.search(text)):
            raise BalancerError(f"the host of {self._where()} could not reach the socket: {text}", effect=Effect.NONE)
        raise BalancerError(
            f"{self._where()}: the program that carries the line on its host failed with {done.exit_status}, and the "
            f"line may have got through: {text or 'it said nothing'}"
        )

    def _host(self) -> "Ssh":
        settings: SshSettings | None = self._endpoint.ssh
        assert settings is not None, "_checked has seen to it"
        return self._ssh_for(settings)

    def _where(self) -> str:
        return f"HAProxy at {self._endpoint.url}"

    def _unreachable(self, error: OSError) -> NoReturn:
        if isinstance(error, PermissionError):
            fix = "This user may not open the socket: give its group the right (`mode 660 group …` on `stats socket`)."
        elif isinstance(error, FileNotFoundError):
            fix = "There is no such socket: compare with `stats socket` in the configuration."
        else:
            fix = "Is HAProxy running, with a `stats socket` on this address?"
        raise BalancerError(
            f"{self._where()} can't be reached: {ended(str(error))} {fix}", effect=Effect.NONE
        ) from error


def _receive(sock: SocketLike, deadline: Deadline) -> bytes:
    sock.settimeout(deadline.left())
    return sock.recv(65536)


def _checked(endpoint: EndpointSettings) -> SplitResult:
    """The endpoint's parts. Raises InvalidInput for an address that this driver can't use."""
    parts = urlsplit(endpoint.url)
    if parts.scheme not in ("tcp", "unix", "ssh"):
        problem = "the haproxy driver takes tcp://HOST:PORT, unix:///PATH or ssh://HOST/PATH"
    elif parts.scheme == "tcp" and not (parts.hostname and _port(parts)):
        problem = "tcp:// needs a host and a port, such as tcp://10.0.0.5:9999"
    elif parts.scheme != "tcp" and not parts.path.startswith("/"):
        problem = "the path of the socket is missing"
    elif any(sign in parts.path for sign in "\r\n\0"):
        problem = "the path of the socket holds a control character"
    elif parts.scheme == "ssh" and endpoint.ssh is None:
        problem = "ssh:// needs the settings of the balancer's host"
    else:
        return parts
    raise InvalidInput([f"balancers: {endpoint.url}: {problem}"])


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:  # not a number, or too large
        return None
