"""A real sshd on a free port of loopback, with its own keys, for one test or module."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rollsafe.model.settings import SshSettings

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "", *extra: str) -> Path:
    """A key pair made by ssh-keygen."""
    for old in (path, Path(f"{path}.pub")):
        old.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "rollsafe test", "-f", str(path), *extra]
    subprocess.run(command, check=True, capture_output=True)
    return path


@dataclass
class Sshd:
    """A running sshd. `settings()` connects to it as this user."""

    folder: Path
    host: str
    port: int
    process: subprocess.Popen[bytes]
    user_key: Path
    host_keys: Sequence[Path]
    config: Path
    bin: Path
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def known_hosts(self) -> Path:
        """A known_hosts file that holds this server's keys."""
        return self.folder / "known_hosts"

    def settings(self, **changes: object) -> SshSettings:
        """SshSettings for this server."""
        made = SshSettings(
            host=self.host,
            port=self.port,
            user=getpass.getuser(),
            private_key=str(self.user_key),
            known_hosts=str(self.known_hosts),
            connect_timeout_s=5.0,
        )
        return replace(made, **changes)  # type: ignore[arg-type]  # a test's own words

    def sessions(self) -> list[int]:
        """The processes that serve connections: children of the listener."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, check=False, text=True)
        return [int(word) for word in found.stdout.split()]

    def cut(self) -> None:
        """Kill every connection, as a crash of the machine in between would. The commands themselves live on."""
        for pid in self.sessions():
            for child in _children(pid):
                if Path(f"/proc/{child}/comm").read_text().startswith("sshd"):
                    _kill(child)
            _kill(pid)

    def log(self) -> str:
        """What sshd said."""
        return (self.folder / "sshd.log").read_text(errors="replace")

    def stop(self) -> None:
        """Stop it and its connections."""
        for pid in self.sessions():
            _kill(pid)
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_sshd(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    key_types: Sequence[str] = ("ed25519",),
    user_key: Path | None = None,
    lines: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Sshd:
    """Start sshd and wait until it answers. `lines` go into its configuration; `environment` into its sessions.

    `FOLDER/bin` is the first folder of the sessions' PATH: put stand-ins (sudo, systemctl) there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    host_keys = [_kept_key(folder / f"host_{kind}", kind) for kind in key_types]
    user_key = user_key or _kept_key(folder / "user_ed25519", "ed25519")
    authorized = folder / "authorized_keys"
    authorized.write_text(Path(f"{user_key}.pub").read_text())
    authorized.chmod(0o600)
    port = port or free_port(host)
    stand_ins = folder / "bin"
    stand_ins.mkdir(exist_ok=True)
    config = _write_config(folder, host, port, host_keys, lines, {"PATH": _path(stand_ins), **(environment or {})})
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # privilege separation's folder
    with (folder / "sshd.log").open("ab") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log, stdin=subprocess.DEVNULL)
    sshd = Sshd(folder, host, port, process, user_key, host_keys, config, stand_ins)
    _write_known_hosts(sshd)
    _await_banner(sshd)
    return sshd


def fill(disk: Path) -> None:
    """Write until no space is left on `disk`."""
    with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096):
            pass


def _path(stand_ins: Path) -> str:
    return f"{stand_ins}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def _kept_key(path: Path, kind: str) -> Path:
    return path if path.exists() else make_key(path, kind)


def _write_config(
    folder: Path, host: str, port: int, host_keys: Sequence[Path], lines: Sequence[str], environment: Mapping[str, str]
) -> Path:
    config = folder / "sshd_config"
    setenv = " ".join(f'"{name}={value}"' for name, value in environment.items())
    config.write_text(
        "\n".join(
            [
                *lines,  # the first value wins in sshd_config
                f"ListenAddress {host}:{port}",
                *(f"HostKey {key}" for key in host_keys),
                f"AuthorizedKeysFile {folder / 'authorized_keys'}",
                "PidFile none",
                "StrictModes no",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "UsePAM no",
                "PermitRootLogin prohibit-password",
                "MaxStartups 100",
                f"SetEnv {setenv}",
                "",
            ]
        )
    )
    return config


def _write_known_hosts(sshd: Sshd) -> None:
    name = f"[{sshd.host}]:{sshd.port}"
    keys = [" ".join(Path(f"{key}.pub").read_text().split()[:2]) for key in sshd.host_keys]
    sshd.known_hosts.write_text("".join(f"{name} {key}\n" for key in keys))


def _await_banner(sshd: Sshd) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if sshd.process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection((sshd.host, sshd.port), 1) as sock:
            sock.settimeout(2)
            if sock.recv(4) == b"SSH-":
                return
        time.sleep(0.02)
    sshd.stop()
    raise RuntimeError(f"sshd did not start:\n{sshd.log()}")


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, check=False, text=True)
    return [int(word) for word in found.stdout.split()]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
