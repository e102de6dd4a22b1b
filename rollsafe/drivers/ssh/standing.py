"""A shell that stands by on a host: one channel for many commands, so that none pays for a login shell's start.

sshd starts the user's login shell for each command, and what that reads first (.bashrc, a version manager) takes up to
some tenths of a second. Here it is paid once. Commands come on stdin, each in a subshell of its own; a line that nobody
can guess tells where the output of each ends, on stdout and on stderr: they are two pipes to sshd, and what it sends
of one says nothing of the other. POSIX sh only: `sh -s` reads its commands from stdin, and each command's own stdin is
a here-document.
"""

import secrets
from contextlib import suppress

import paramiko

from rollsafe.drivers.ssh.deadline import Deadline
from rollsafe.errors import ShellError

START = "exec sh -s"
TRUSTED_S = 1.0  # an answer that is older says little of a connection now
_PIECE = 32768
_LOOK_S = 0.2  # how often a connection that says nothing is looked at
_END = b"rollsafe-end:"
_SHOWN = 200  # of what a shell said that has ended, from each of its ends


class ShellGone(Exception):
    """The shell, or the connection to it, is no more. `last_words` is what it said instead of an answer."""

    def __init__(self, last_words: str = "") -> None:
        super().__init__(last_words)
        self.last_words = last_words


class StandingShell:
    """One shell on one channel; one command at a time. After any exception it is not to be used again."""

    def __init__(self, host: str, channel: paramiko.Channel) -> None:
        self._host = host
        self._channel = channel
        self._nonce = secrets.token_hex(16)
        self._mark = b"\n" + _END + self._nonce.encode() + b":"
        self._heard = Deadline(TRUSTED_S)
        self.answered = False  # a shell that never did is mostly none: a forced command, or an account without one

    def run(self, command: str, stdin: bytes, deadline: Deadline, limit: int) -> tuple[int, bytes, bytes]:
        """Run one command: (exit status, stdout, the end of stderr).

        `stdin` ends with a newline, or is empty. Raises TimeoutError, ShellGone, and ShellError where more than
        `limit` bytes came.
        """
        try:
            self._send(self._framed(command, stdin), deadline)
            answer = self._receive(deadline, limit)
        except (EOFError, OSError, paramiko.SSHException) as error:
            if isinstance(error, TimeoutError):
                raise
            raise ShellGone from error
        self._heard = Deadline(TRUSTED_S)
        self.answered = True
        return answer

    def answers(self, deadline: Deadline) -> bool:
        """Is it still there? One that answered a moment ago is taken to be. Raises TimeoutError where nothing comes."""
        if not self._heard.passed and not self._channel.closed:
            return True
        try:
            return self.run("true", b"", deadline, _PIECE)[0] == 0
        except (ShellGone, ShellError):
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
        mark = f'"\\n%s:%s\\n" {end} "$?"'
        return head + stdin + tail + f"printf {mark}; printf {mark} >&2\n".encode()

    def _send(self, data: bytes, deadline: Deadline) -> None:
        view = memoryview(data)
        while view:
            self._channel.settimeout(max(deadline.left(), 0.001))
            sent = self._channel.send(view[:_PIECE].tobytes())
            if sent == 0:
                raise ShellGone
            view = view[sent:]

    def _receive(self, deadline: Deadline, limit: int) -> tuple[int, bytes, bytes]:
        out, err = bytearray(), bytearray()
        while (told := self._ended(out)) is None or (said := self._ended(err)) is None:
            if deadline.passed:
                raise TimeoutError
            self._channel.settimeout(min(_LOOK_S, max(deadline.left(), 0.001)))
            with suppress(TimeoutError):
                self._hear(out, err, to_stderr=told is not None)
            if len(out) > limit + len(self._mark) + 8:
                raise ShellError(
                    f"{self._host}: the command printed more than {limit} bytes; it was left to itself. Its output "
                    f"begins: {bytes(out[:200]).decode(errors='replace')!r}"
                )
        return told[0], told[1], said[1]

    def _hear(self, out: bytearray, err: bytearray, *, to_stderr: bool) -> None:
        """Take what is there, or wait for it. Of stderr its end is kept."""
        if to_stderr or self._channel.recv_stderr_ready():
            piece = self._channel.recv_stderr(_PIECE)
            err += piece
            del err[:-_PIECE]
        else:
            piece = self._channel.recv(_PIECE)
            out += piece
        if not piece:
            with suppress(OSError):
                err += self._channel.recv_stderr(_PIECE)
            raise ShellGone(" ".join(bytes(out[-_SHOWN:] + err[-_SHOWN:]).decode(errors="replace").split()))

    def _ended(self, heard: bytearray) -> tuple[int, bytes] | None:
        """The status and what came before it, where the line that ends the output is there."""
        found = heard.rfind(self._mark)
        if found < 0 or not heard.endswith(b"\n", found + len(self._mark)):
            return None
        return int(heard[found + len(self._mark) : -1]), bytes(heard[:found])
