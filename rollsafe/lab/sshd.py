"""The lab's SSH servers, one port for each node, started as `python -m rollsafe.lab.sshd FOLDER/lab.json`.

A command really runs, with `sh -c` in the node's folder, and its input, output, errors and exit status are wired as
OpenSSH wires them: the status is told when the command ends, and what it started in a session of its own lives on.
Tunnels (direct-tcpip) lead to loopback only.
"""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_FAILED_CONNECT_FAILED,
    OPEN_SUCCEEDED,
)

from rollsafe.lab.leash import end_with

CHUNK = 32_768
HANDSHAKE_S = 15.0
LAST_OUTPUT_S = 0.3  # how long the last output may take to come after the command has ended
REPLY_S = 0.005  # the "yes" to a request must leave before the command's first output; paramiko sends it on return


@dataclass(frozen=True)
class SshdSettings:
    """What `lab.json` says. `doors`: for each node its port and folder."""

    host: str
    host_key: str
    authorized: str  # the user's public key: type and base64
    doors: dict[str, tuple[int, str]]
    leash: str


class Running:
    """The commands that run now, so that the lab's end is theirs, too."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._lock = threading.Lock()

    def add(self, pid: int) -> None:
        """A command began; it leads its own group."""
        with self._lock:
            self._groups.add(pid)

    def drop(self, pid: int) -> None:
        """It ended."""
        with self._lock:
            self._groups.discard(pid)

    def end_all(self) -> None:
        """Kill what is left."""
        with self._lock:
            for group in self._groups:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)


class Door(paramiko.ServerInterface):
    """What one connection may do: log in with the one key, run commands, open tunnels to loopback."""

    def __init__(self, authorized: str, folder: Path, running: Running) -> None:
        self._authorized = authorized
        self._folder = folder
        self._running = running
        self.tunnels: dict[int, socket.socket] = {}

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - paramiko's signature
        """Keys only."""
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:  # noqa: ARG002 - paramiko's signature
        """The lab's own key, for whatever user."""
        good = f"{key.get_name()} {key.get_base64()}" == self._authorized
        return AUTH_SUCCESSFUL if good else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - paramiko's signature
        """Sessions; tunnels have a question of their own."""
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_direct_tcpip_request(
        self,
        chanid: int,
        origin: tuple[str, int],  # noqa: ARG002 - paramiko's signature
        destination: tuple[str, int],
    ) -> int:
        """A tunnel, to loopback only."""
        host, port = destination
        if not (host.startswith("127.") or host == "localhost"):
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        try:
            self.tunnels[chanid] = socket.create_connection((host, port), timeout=2)
        except OSError:
            return OPEN_FAILED_CONNECT_FAILED
        self.tunnels[chanid].settimeout(None)
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Run it beside the connection's own thread."""
        _start(lambda: run_command(channel, command.decode(), self._folder, self._running))
        return True


def run_command(channel: paramiko.Channel, command: str, folder: Path, running: Running) -> None:
    """Run one command on one channel, as sshd does."""
    time.sleep(REPLY_S)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["/bin/sh", "-c", command], cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        running.add(child.pid)
        stdin = child.stdin
        _start(lambda: feed(channel, stdin))
        outputs = [
            _start(partial(pump, child.stdout, channel.sendall)),
            _start(partial(pump, child.stderr, channel.sendall_stderr)),
        ]
        status = child.wait()
        running.drop(child.pid)
        for output in outputs:
            output.join(LAST_OUTPUT_S)
        with contextlib.suppress(OSError, EOFError):
            channel.send_exit_status(status if status >= 0 else 128 - status)
        for output in outputs:  # what the command left running may still hold its output, as with OpenSSH
            output.join()
        with contextlib.suppress(OSError, EOFError):
            channel.close()


def feed(channel: paramiko.Channel, stdin: IO[bytes]) -> None:
    """The client's input, to the command; its end is the command's end of file."""
    with contextlib.suppress(OSError, EOFError, ValueError):
        while data := channel.recv(CHUNK):
            stdin.write(data)
            stdin.flush()
    with contextlib.suppress(OSError, ValueError):
        stdin.close()


def pump(stream: IO[bytes], send: Callable[[bytes], None]) -> None:
    """The command's output, to the client, until either goes away."""
    with contextlib.suppress(OSError, EOFError, ValueError):
        while data := os.read(stream.fileno(), CHUNK):
            send(data)
    with contextlib.suppress(OSError):
        stream.close()  # a command that writes to a client that left gets SIGPIPE


def tunnel(channel: paramiko.Channel, sock: socket.socket) -> None:
    """Both directions of a tunnel; the end of either ends it."""

    def back() -> None:
        with contextlib.suppress(OSError, EOFError):
            while data := sock.recv(CHUNK):
                channel.sendall(data)
        channel.close()

    _start(back)
    with contextlib.suppress(OSError, EOFError):
        while data := channel.recv(CHUNK):
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)


def serve_connection(sock: socket.socket, key: paramiko.PKey, door: Door) -> None:
    """One client, from the handshake to its end."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(sock)
    transport.banner_timeout = transport.auth_timeout = transport.handshake_timeout = HANDSHAKE_S
    transport.add_server_key(key)
    channels: list[paramiko.Channel] = []  # paramiko closes a channel that nobody holds
    try:
        transport.start_server(server=door)
        while transport.is_active():
            channel = transport.accept(1.0)
            if channel is None:
                continue
            channels = [*(held for held in channels if not held.closed), channel]
            target = door.tunnels.pop(channel.get_id(), None)
            if target is not None:
                _start(partial(tunnel, channel, target))
    except (paramiko.SSHException, OSError, EOFError):
        pass  # a client that is no SSH client, or went away
    finally:
        transport.close()


def serve_door(listener: socket.socket, settings: SshdSettings, folder: Path, running: Running) -> None:
    """One node's port, for ever. `fault` in the node's folder may say `sshd-dead`: then nobody is let in."""
    key = paramiko.ECDSAKey.from_private_key_file(settings.host_key)
    while True:
        sock, _ = listener.accept()
        fault = folder / "fault"
        if fault.exists() and fault.read_text().strip() == "sshd-dead":
            sock.close()
            continue
        door = Door(settings.authorized, folder, running)
        _start(partial(serve_connection, sock, key, door))


def _start(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def main(arguments: list[str]) -> int:
    """Open every node's door, and keep them open until the lab ends."""
    raw = json.loads(Path(arguments[0]).read_text())
    settings = SshdSettings(**raw)
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # a client that hangs up is no news
    running = Running()
    end_with(Path(settings.leash), running.end_all)

    def terminated(*_: object) -> None:
        running.end_all()
        os._exit(0)

    signal.signal(signal.SIGTERM, terminated)
    for port, folder in settings.doors.values():
        listener = socket.create_server((settings.host, port))
        _start(partial(serve_door, listener, settings, Path(folder), running))
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
