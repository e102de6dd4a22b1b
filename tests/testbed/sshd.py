"""A real OpenSSH server for each machine of the bed, on its own loopback address, with its own host key."""

import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.testbed.process import Daemon, children_of, kill_quietly, program

# SHLVL keeps bash from reading the .bashrc of whoever runs the tests: it is none of the bed's.
CONFIG = """
ListenAddress {host}:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {keys}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
PrintMotd no
MaxStartups 100
MaxSessions 50
LogLevel VERBOSE
AcceptEnv none-at-all
SetEnv SHLVL=9
"""


def keygen(path: Path) -> str:
    """Make a key pair at `path`; returns the public half's line."""
    command = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "testbed", "-f", str(path)]
    subprocess.run(command, check=True, timeout=20)
    return path.with_suffix(".pub").read_text().strip()


class Sshd:
    """One server; it can refuse, hang, and drop its sessions."""

    def __init__(self, folder: Path, host: str, authorized_keys: Path, port: int = 2222) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.host, self.port = folder, host, port
        public = keygen(folder / "host_key")
        self.known_host = f"[{host}]:{port} {' '.join(public.split()[:2])}"
        config = folder / "sshd_config"
        config.write_text(CONFIG.format(host=host, port=port, folder=folder, keys=authorized_keys))
        command = [program("sshd"), "-D", "-e", "-f", str(config)]
        self._daemon = Daemon(f"sshd of {host}", command, folder / "sshd.log")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd as root wants its privilege separation folder

    def new_host_key(self) -> None:
        """The machine was set up anew, or somebody is in between; from its next start on."""
        for suffix in ("", ".pub"):
            (self.folder / f"host_key{suffix}").unlink()
        keygen(self.folder / "host_key")

    def start(self) -> None:
        self._daemon.start()
        self._daemon.wait_for(self._listens)

    def refuse(self) -> None:
        """No new connection, and the old ones are gone: the machine's sshd was stopped."""
        sessions = children_of(self._daemon.pid) if self._daemon.runs else []
        self._daemon.stop()
        for pid in sessions:
            kill_quietly(pid)

    def hang(self) -> None:
        """Connections are accepted by the kernel and answered by nobody; sessions stand still."""
        for pid in [self._daemon.pid, *self._sessions()]:
            kill_quietly(pid, signal.SIGSTOP)

    def wake(self) -> None:
        for pid in [self._daemon.pid, *self._sessions()]:
            kill_quietly(pid, signal.SIGCONT)

    def stop(self) -> None:
        if self._daemon.runs:
            self.wake()
            self.refuse()

    @property
    def commands(self) -> str:
        """The server's log, in which each connection and session shows."""
        return self._daemon.tail(10_000)

    def _sessions(self) -> list[int]:
        """The sshd processes of sessions; not what they started: a restart goes on when its session hangs."""
        return [pid for pid in children_of(self._daemon.pid) if "sshd" in comm(pid)]

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 1).close()
        except OSError:
            return False
        return True


def comm(pid: int) -> str:
    """The name of a process; empty when it has gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""
