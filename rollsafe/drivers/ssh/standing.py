"""A shell that stands by on a host: one channel for many commands, so that none pays for a login shell's start.

sshd starts the user's login shell for each command, and what that reads first (.bashrc, a version manager) takes up to
some tenths of a second. Here it is paid once. Commands come on stdin, each in a subshell of its own; a line that nobody
can guess tells where the output of each ends. POSIX sh only: `sh -s` reads its commands from stdin, and each command's
own stdin is a here-document.
"""

import secrets

import paramiko

from rollsafe.drivers.ssh.deadline import Deadline
from rollsafe.errors import ShellError

START = "exec sh -s"
TRUSTED_S = 1.0  # an answer that is older says little of a connection now
_PIECE = 32768
_LOOK_S = 0.2  # how often a connection that says nothing is looked at
_END = b"rollsafe-end:"


class ShellGone(Exception):
    """The shell, or the connection to it, is no more."""


class StandingShell:
    """One shell on one channel; one command at a time. After any exception it is not to be used again."""

    def __init__(self, host: str, channel: paramiko.Channel) -> None:
        self._host = host
        self._channel = channel
        self._nonce = secrets.token_hex(16)
        self._heard = Deadline(TRUSTED_S)

    def run(self, command: str, stdin: bytes, deadline: Deadline, limit: int) -> tuple[int, bytes, bytes]:
        """Run one command: (exit status, stdout, stderr so far).

        `stdin` ends with a newline, or is empty. Raises TimeoutError, ShellGone, and ShellError where more than
        `limit` bytes came.
        """
        try:
            self._send(self._framed(command, stdin), deadline)
            status, out = self._receive(deadline, limit)
        except (EOFError, OSError, paramiko.SSHException) as error:
            if isinstance(error, TimeoutError):
                raise
            raise ShellGone from error
        self._heard = Deadline(TRUSTED_S)
        return status, out, self._stderr()

    def answers(self, deadline: Deadline) -> bool:
        """Is it still there? One that answered a moment ago is taken to be."""
        if not self._heard.passed:
            return True
        try:
            return self.run("true", b"", deadline, _PIECE)[0] == 0
        except (TimeoutError, ShellGone, ShellError):
            return False

    def close(self) -> None:
        """Let go of the channel; what runs there goes on."""
        self._channel.close()

    def _framed(self, command: str, stdin: bytes) -> bytes:
        """The command, its input, and the order to say when it has ended."""
        if stdin and not stdin.endswith(b"\n"):
            raise ValueError("a here-document ends with a newline")
        end = f"{_END.decode()}{self._nonce}"
        source = f"<<'{end}'\n" if stdin else "</dev/null\n"
        head = f"( {command}\n) {source}".encode()
        tail = f"{end}\n".encode() if stdin else b""
        return head + stdin + tail + f'printf "\\n%s:%s\\n" {end} "$?"\n'.encode()

    def _send(self, data: bytes, deadline: Deadline) -> None:
        view = memoryview(data)
        while view:
            self._channel.settimeout(max(deadline.left(), 0.001))
            sent = self._channel.send(view[:_PIECE].tobytes())
            if sent == 0:
                raise ShellGone
            view = view[sent:]

    def _receive(self, deadline: Deadline, limit: int) -> tuple[int, bytes]:
        mark = b"\n" + _END + self._nonce.encode() + b":"
        kept = bytearray()
        while True:
            if deadline.passed:
                raise TimeoutError
            self._channel.settimeout(min(_LOOK_S, max(deadline.left(), 0.001)))
            try:
                piece = self._channel.recv(_PIECE)
            except TimeoutError:
                continue
            if not piece:
                raise ShellGone
            kept += piece
            found = kept.rfind(mark)
            if found >= 0 and kept.endswith(b"\n", found + len(mark)):
                return int(kept[found + len(mark) : -1]), bytes(kept[:found])
            if len(kept) > limit + len(mark) + 8:
                raise ShellError(
                    f"{self._host}: the command printed more than {limit} bytes; it was left to itself. Its output "
                    f"begins: {bytes(kept[:200]).decode(errors='replace')!r}"
                )

    def _stderr(self) -> bytes:
        said = bytearray()
        while self._channel.recv_stderr_ready() and len(said) < _PIECE:
            said += self._channel.recv_stderr(_PIECE)
        return bytes(said)
