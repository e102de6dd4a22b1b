"""`restart.unit` against a booted systemd, in a container of systemd-nspawn over this machine's own files."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rollsafe.drivers.remote.claim_file import SshClaimFile
from rollsafe.drivers.remote.restarter import SshRestarter
from rollsafe.drivers.ssh.connection import SshConnection
from rollsafe.errors import ShellError
from rollsafe.model.claim import ClaimRecord, Token, Who
from rollsafe.model.settings import RestartSettings
from tests.ssh.server import SSHD, Sshd, start_sshd

pytestmark = pytest.mark.soak
TOKEN = Token("r1", 1, "h1", 0)
RECORD = ClaimRecord("prod", TOKEN, 0, Who("ana", "laptop", 42, "2026-11-23T02:00:00Z"))
UNITS = {
    "rollsafe-node.service": "[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/sleep 1\n",
    "rollsafe-sshd.service": "[Service]\nRuntimeDirectory=sshd\nExecStart={sshd} -D -e -f {config}\n",
    "rollsafe.target": "[Unit]\nWants=rollsafe-node.service rollsafe-sshd.service dbus.service\nAllowIsolate=yes\n",
}


def why_not() -> str:
    """Why this machine can't boot a container; empty where it can."""
    if os.geteuid() != 0:
        return "only root can boot a container"
    if shutil.which("systemd-nspawn") is None:
        return "the program systemd-nspawn is not installed (apt-get install systemd-container)"
    if not Path("/usr/lib/systemd/systemd").exists() and not Path("/lib/systemd/systemd").exists():
        return "systemd itself is not installed"
    return ""


@contextmanager
def own_root(folder: Path) -> Iterator[Path]:
    """This machine's own files, and above them a layer that goes with the folder."""
    root, upper, work = (folder / name for name in ("root", "upper", "work"))
    for made in (root, upper, work):
        made.mkdir(parents=True)
    layers = f"lowerdir=/,upperdir={upper},workdir={work}"
    mount = ["mount", "-t", "overlay", "overlay", "-o", layers, str(root)]
    mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this machine mounts no overlay: {mounted.stderr.strip()}")
    try:
        yield root
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


@pytest.fixture
def booted(tmp_path: Path) -> Iterator[SshConnection]:
    """A connection to the sshd of a booted container; it shares loopback with this machine."""
    if reason := why_not():
        pytest.skip(reason)
    with own_root(tmp_path / "container") as root:
        yield from _boot(root, tmp_path)


def _boot(root: Path, tmp_path: Path) -> Iterator[SshConnection]:
    prepared = start_sshd(tmp_path / "sshd")  # makes keys and configuration
    prepared.stop()
    binds = [f"--bind={tmp_path}"]
    for name, text in UNITS.items():
        file = tmp_path / name
        file.write_text(text.format(sshd=SSHD, config=prepared.config))
        binds.append(f"--bind-ro={file}:/etc/systemd/system/{name}")
    command = ["systemd-nspawn", "--quiet", f"--directory={root}", "--boot", "--register=no", "--keep-unit", *binds]
    words = (
        "systemd.unit=rollsafe.target",
        "systemd.mask=tmp.mount",
    )  # a /tmp of its own would hide what is bound there
    log = (tmp_path / "boot.log").open("wb")
    container = subprocess.Popen([*command, *words], stdout=log, stderr=log)
    connection = SshConnection(prepared.settings())
    try:
        yield _reached(connection, container, tmp_path / "boot.log", prepared)
    finally:
        connection.close()
        container.terminate()
        try:
            container.wait(20)
        except subprocess.TimeoutExpired:
            container.kill()
            container.wait()
        log.close()


def _reached(connection: SshConnection, container: subprocess.Popen[bytes], log: Path, server: Sshd) -> SshConnection:
    end = time.monotonic() + 60
    while time.monotonic() < end and container.poll() is None:
        try:
            connection.check()
        except ShellError:
            time.sleep(0.5)
        else:
            return connection
    pytest.skip(f"this machine boots no systemd in a container: {log.read_text(errors='replace')[-300:]} {server.port}")


def test_a_unit_of_a_booted_systemd_is_restarted_and_proved(booted: SshConnection, tmp_path: Path) -> None:
    claims = str(tmp_path / "claims")
    SshClaimFile(booted, claims, "prod", "n1").create(RECORD)
    restarter = SshRestarter(booted, claims, "prod", "n1", RestartSettings(unit="rollsafe-node.service"))
    restarter.may_restart()
    before = restarter.identity()
    assert before.identity is not None
    assert restarter.begin(TOKEN) is True
    seen = []
    end = time.monotonic() + 30
    while time.monotonic() < end and not restarter.progress().finished:
        seen.append(restarter.identity().job)
    assert any(seen)
    assert restarter.progress().exit_status == 0
    after = restarter.identity()
    assert after.identity not in (None, before.identity)
    assert after.job is False
