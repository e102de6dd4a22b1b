"""One SSH destination: commands, and connections that its host makes for us. Raises ShellError only."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import paramiko

from rollsafe.drivers.ssh.client_config import ClientConfig
from rollsafe.drivers.ssh.deadline import Deadline
from rollsafe.drivers.ssh.dialer import Line, dial, refused
from rollsafe.drivers.ssh.keys import KeyRing
from rollsafe.drivers.ssh.standing import START, ShellGone, StandingShell
from rollsafe.drivers.ssh.transport import ADMINISTRATIVELY_PROHIBITED, ChannelRefused, ChannelTimeout, SshTransport
from rollsafe.errors import Effect, ShellError
from rollsafe.model.settings import SshSettings

MOST_COMMANDS = 8  # at once over one connection: sshd's MaxSessions is 10 unless told otherwise
_LOOK_S = 0.2  # how often a command that prints nothing on stdout is looked at on stderr
_PIECE = 32768
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended by itself."""

    exit_status: int
    stdout: bytes
    stderr: bytes

    @property
    def complaint(self) -> str:
        """What it said on stderr, bounded, for an error's text."""
        return self.stderr.decode(errors="replace").strip()[-500:]


class DialRefused(ShellError):
    """The host refused to connect us further. `forbidden`: its sshd said that it allows no forwarding.

    For a UNIX socket OpenSSH says the same whether nobody listens there, this user has no right, or it is forbidden.
    """

    def __init__(self, message: str, *, forbidden: bool) -> None:
        super().__init__(message, effect=Effect.NONE)
        self.forbidden = forbidden


class SshConnection:
    """One destination, connected when first used and again when the connection died. Threads may share it.

    A command is sent at most once: after a break in the middle the caller hears ShellError with effect UNKNOWN.
    """

    def __init__(
        self, settings: SshSettings, *, keys: KeyRing | None = None, config: ClientConfig | None = None
    ) -> None:
        self.settings = settings
        self._keys = keys or KeyRing()
        self._config = config
        self._dialling = threading.Lock()
        self._line: Line | None = None
        self._failed_ahead: ShellError | None = None
        self._commands = threading.BoundedSemaphore(MOST_COMMANDS)
        self._idle: list[tuple[Line, StandingShell]] = []

    @property
    def host(self) -> str:
        """The host as the inventory names it."""
        return self.settings.host

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float, output_limit: int = 65536) -> Completed:
        """Run `command` by the user's login shell and await its end, at most `timeout_s` (connecting not counted).

        Any exit status is an answer. Raises ShellError: effect NONE where the command was surely not sent, UNKNOWN
        where it was and did not end in time, the connection broke, or more than `output_limit` bytes came.
        """
        if not self._commands.acquire(timeout=timeout_s):
            raise refused(f"{self.host}: {MOST_COMMANDS} commands have been running there for {timeout_s:g} s")
        try:
            line, channel = self._opened(timeout_s, lambda last, limit: last.open_command(deadline=limit))
            try:
                return _Command(self.host, line.last, channel, Deadline(timeout_s), output_limit).run(command, stdin)
            except (ChannelTimeout, TimeoutError) as error:
                raise ShellError(
                    f"{self.host}: no end of the command within {timeout_s:g} s; it may go on there: {_short(command)}"
                ) from error
            finally:
                channel.close()
        finally:
            self._commands.release()

    def run_standing(
        self, command: str, *, stdin: bytes = b"", timeout_s: float, output_limit: int = 65536
    ) -> Completed:
        """Run `command` as `run` does, in a POSIX sh that stands by there, so that no login shell is started for it.

        `stdin` is text that ends with a newline. Raises ShellError as `run` does.
        """
        if not self._commands.acquire(timeout=timeout_s):
            raise refused(f"{self.host}: {MOST_COMMANDS} commands have been running there for {timeout_s:g} s")
        try:
            line, shell = self._shell(timeout_s)
            try:
                done = Completed(*shell.run(command, stdin, Deadline(timeout_s), output_limit))
            except (TimeoutError, ShellGone, ShellError) as error:
                shell.close()
                raise self._broken(error, timeout_s, new=not shell.answered) from error
            self._idle.append((line, shell))
            return done
        finally:
            self._commands.release()

    def _shell(self, timeout_s: float) -> tuple[Line, StandingShell]:
        """A shell that surely answers: one that stands by, or a new one. Nothing of the caller's was sent yet."""
        limit = min(timeout_s, self.settings.connect_timeout_s)
        while True:
            try:
                line, shell = self._idle.pop()
            except IndexError:
                break
            if self._still_answers(line, shell, Deadline(limit)):
                return line, shell
            shell.close()
        line, channel = self._opened(timeout_s, lambda last, within: last.open_command(deadline=within))
        try:
            accepted = line.last.send_command(channel, START, deadline=Deadline(limit))
        except (ChannelTimeout, EOFError, OSError, paramiko.SSHException) as error:
            channel.close()
            raise refused(f"{self.host}: the connection broke as a shell was started") from error
        if not accepted:
            raise refused(f"{self.host}: sshd refuses to run commands for this user")
        return line, StandingShell(self.host, channel)

    def _still_answers(self, line: Line, shell: StandingShell, deadline: Deadline) -> bool:
        """A shell that died alone takes no other command of its connection with it; a silent peer has lost them all."""
        if line.alive():
            try:
                return shell.answers(deadline)
            except TimeoutError:
                pass  # a peer that vanished without a word
        self._drop(line)
        return False

    def _broken(self, error: Exception, timeout_s: float, *, new: bool) -> ShellError:
        if isinstance(error, ShellError):
            return error
        if isinstance(error, TimeoutError):
            return ShellError(
                f"{self.host}: no answer over SSH within {timeout_s:g} s; what was asked for may go on there"
            )
        said = error.last_words if isinstance(error, ShellGone) else ""
        told = f" It said: {said!r}." if said else ""
        hint = " Is the login shell there sh, bash, zsh or fish, without a forced command?" if new else ""
        return ShellError(f"{self.host}: the connection broke before an answer came.{told}{hint}")

    def dial_tcp(self, host: str, port: int, *, timeout_s: float) -> paramiko.Channel:
        """A TCP connection from the destination to host:port, as an object that works like a socket."""
        return self._dial(f"{host}:{port}", timeout_s, lambda line, limit: line.open_tcp(host, port, deadline=limit))

    def dial_unix(self, path: str, *, timeout_s: float) -> paramiko.Channel:
        """A connection to a UNIX socket on the destination, as an object that works like a socket."""
        return self._dial(path, timeout_s, lambda line, limit: line.open_unix(path, deadline=limit))

    def check(self) -> None:
        """Connect, if it isn't. Raises ShellError."""
        self._alive()

    def dial_ahead(self) -> ShellError | None:
        """Connect. A failure is kept for who connects next, too: nobody waits for a dead host twice."""
        try:
            self._alive(ahead=True)
        except ShellError as error:
            return error
        return None

    def close(self) -> None:
        """Close the connection. A later call makes a new one."""
        self._idle.clear()
        with self._dialling:
            line, self._line = self._line, None
        if line is not None:
            line.close()

    def _dial(
        self, where: str, timeout_s: float, open_it: Callable[[SshTransport, Deadline], paramiko.Channel]
    ) -> paramiko.Channel:
        _, channel = self._opened(timeout_s, open_it, where)
        channel.settimeout(timeout_s)
        return channel

    def _opened(
        self,
        timeout_s: float,
        open_it: Callable[[SshTransport, Deadline], paramiko.Channel],
        where: str = "",
    ) -> tuple[Line, paramiko.Channel]:
        """A fresh channel. A connection that turns out to be dead is made anew, once: nothing was sent over it yet."""
        for last_try in (False, True):
            line = self._alive()
            # a peer that vanished without a word is found out here: leave time for a new connection
            limit = timeout_s if last_try else min(timeout_s, self.settings.connect_timeout_s)
            try:
                return line, open_it(line.last, Deadline(limit))
            except ChannelRefused as error:
                raise self._refusal(where, error) from error
            except (ChannelTimeout, EOFError, OSError, paramiko.SSHException) as error:
                self._drop(line)
                if last_try:
                    raise refused(
                        f"{self.host}: connected twice, but no channel{_to(where)} was opened within {timeout_s:g} s"
                    ) from error
        raise AssertionError("unreachable: the second try returns or raises")

    def _refusal(self, where: str, error: ChannelRefused) -> ShellError:
        if not where:
            return refused(f"{self.host}: sshd refuses to run another command ({error}): look at its MaxSessions")
        forbidden = error.reason == ADMINISTRATIVELY_PROHIBITED
        rights = "AllowStreamLocalForwarding" if where.startswith("/") else "AllowTcpForwarding, PermitOpen"
        remedy = (
            f"its sshd forbids it: look at {rights} in its sshd_config"
            if forbidden
            else f"does somebody listen there, may this user connect, and does sshd_config allow it ({rights})?"
        )
        return DialRefused(f"{self.host}: no connection{_to(where)}: {error}; {remedy}", forbidden=forbidden)

    def _alive(self, *, ahead: bool = False) -> Line:
        if not self._dialling.acquire(timeout=self.settings.connect_timeout_s + 1):
            raise refused(f"{self.host}: another thread has been connecting for {self.settings.connect_timeout_s:g} s")
        try:
            if self._failed_ahead is not None:
                failed, self._failed_ahead = self._failed_ahead, None
                raise failed
            if self._line is not None and not self._line.alive():
                self._line.close()
                self._line = None
            if self._line is None:
                self._config = self._config or ClientConfig()
                self._line = dial(self.settings, self._keys, self._config)
            return self._line
        except ShellError as error:
            if ahead:
                self._failed_ahead = error
            raise
        finally:
            self._dialling.release()

    def _drop(self, line: Line) -> None:
        with self._dialling:
            if self._line is line:
                self._line = None
        line.close()


class SshPool:
    """One connection for each distinct destination, shared by all who go there; keys and ~/.ssh/config read once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys = KeyRing()
        self._config: ClientConfig | None = None
        self._connections: dict[SshSettings, SshConnection] = {}

    def get(self, settings: SshSettings) -> SshConnection:
        """The connection for `settings`; it is dialled when it is first used. Raises ShellError (~/.ssh/config)."""
        with self._lock:
            if settings not in self._connections:
                self._config = self._config or ClientConfig()
                self._connections[settings] = SshConnection(settings, keys=self._keys, config=self._config)
            return self._connections[settings]

    def close(self) -> None:
        """Close them all. The pool may be used again."""
        with self._lock:
            connections, self._connections = list(self._connections.values()), {}
        for connection in connections:
            connection.close()


class _Command:
    """One command on its own channel."""

    def __init__(
        self, host: str, transport: SshTransport, channel: paramiko.Channel, deadline: Deadline, limit: int
    ) -> None:
        self._host, self._transport, self._channel = host, transport, channel
        self._deadline, self._limit = deadline, limit
        self._out, self._err = bytearray(), bytearray()

    def run(self, command: str, stdin: bytes) -> Completed:
        try:
            accepted = self._transport.send_command(self._channel, command, deadline=self._deadline)
        except (EOFError, OSError, paramiko.SSHException) as error:
            raise ShellError(
                f"{self._host}: the connection broke just as the command was sent: {_short(command)}"
            ) from error
        if not accepted:
            raise refused(f"{self._host}: sshd refuses to run commands for this user")
        self._feed(stdin)
        self._collect()
        if not self._channel.status_event.wait(self._deadline.left()):
            raise TimeoutError
        status = self._channel.exit_status
        if status < 0:
            raise ShellError(self._no_status(command))
        return Completed(status, bytes(self._out), bytes(self._err))

    def _feed(self, stdin: bytes) -> None:
        view = memoryview(stdin)
        try:
            while view:
                self._channel.settimeout(max(self._deadline.left(), 0.001))
                sent = self._channel.send(view[:_PIECE].tobytes())
                if sent == 0:
                    return
                view = view[sent:]
            self._channel.shutdown_write()
        except TimeoutError:
            raise
        except (OSError, EOFError):
            return  # the command ended without reading it all: its exit status tells

    def _collect(self) -> None:
        while True:
            self._read_stderr()
            if self._deadline.passed:
                raise TimeoutError
            self._channel.settimeout(min(_LOOK_S, max(self._deadline.left(), 0.001)))
            try:
                piece = self._channel.recv(_PIECE)
            except TimeoutError:
                continue
            if not piece:
                break
            self._keep(self._out, piece)
        self._channel.settimeout(max(self._deadline.left(), 0.001))
        while piece := self._channel.recv_stderr(_PIECE):
            self._keep(self._err, piece)

    def _read_stderr(self) -> None:
        while self._channel.recv_stderr_ready():
            self._keep(self._err, self._channel.recv_stderr(_PIECE))

    def _keep(self, kept: bytearray, piece: bytes) -> None:
        kept += piece
        if len(kept) > self._limit:
            raise ShellError(
                f"{self._host}: the command printed more than {self._limit} bytes; it was left to itself. Its output "
                f"begins: {bytes(kept[:200]).decode(errors='replace')!r}"
            )

    def _no_status(self, command: str) -> str:
        said = bytes(self._err).decode(errors="replace").strip()[-300:]
        after = f" It said: {said}" if said else ""
        if self._transport.is_active():
            return f"{self._host}: the command was killed by a signal: {_short(command)}.{after}"
        return f"{self._host}: the connection broke while the command ran: {_short(command)}.{after}"


def _short(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= 120 else line[:117] + "…"


def _to(where: str) -> str:
    return f" to {where}" if where else ""
