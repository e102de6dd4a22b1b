"""Who may do what in a claim folder: the scripts, run as users without root's rights (by setpriv instead of SSH)."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rollsafe.drivers.remote.claim_file import SshClaimFile
from rollsafe.drivers.remote.restarter import SshRestarter
from rollsafe.drivers.ssh.connection import Completed, SshConnection
from rollsafe.errors import ClaimError, Effect, ShellError
from rollsafe.model.claim import ClaimRecord, Token, Who
from rollsafe.model.settings import RestartSettings, SshSettings

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, to become other users"),
]
TOKEN = Token("r1", 1, "h1", 0)
RECORD = ClaimRecord("prod", TOKEN, 0, Who("ana", "laptop", 42, "2026-11-23T02:00:00Z"))
GROUP = 54300
SHELLS = [["sh"], *([["busybox", "sh"]] if shutil.which("busybox") else []), ["bash", "--posix"]]


class As(SshConnection):
    """Runs commands on this machine as another user."""

    def __init__(self, uid: int, *groups: int, shell: tuple[str, ...] = ("sh",)) -> None:
        super().__init__(SshSettings("localhost"))
        more = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
        self._words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", *more, *shell, "-c"]

    def run_standing(
        self, command: str, *, stdin: bytes = b"", timeout_s: float, output_limit: int = 65536
    ) -> Completed:
        done = subprocess.run([*self._words, command], input=stdin, capture_output=True, timeout=timeout_s, check=False)
        return Completed(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A claim folder as docs/howto/claims.md makes it: root's, and a group's."""
    base = Path(tempfile.mkdtemp(dir="/var/tmp"))  # pytest's own folder lets no other user through
    base.chmod(0o711)
    folder = base / "claims"
    folder.mkdir()
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2770)
    yield folder
    shutil.rmtree(base)


def claim_of(folder: Path, uid: int, *groups: int) -> SshClaimFile:
    """The claim as one administrator sees it."""
    return SshClaimFile(As(uid, *groups), str(folder), "prod", "jira1")


def test_administrators_of_the_group_share_a_claim(shared: Path) -> None:
    ana, ben = claim_of(shared, 54301, GROUP), claim_of(shared, 54302, GROUP)
    for one in (ana, ben):
        one.may_claim()
    assert ana.create(RECORD) is True
    assert ben.create(RECORD) is False
    assert ben.read() == RECORD
    raised = replace(RECORD, token=replace(TOKEN, epoch=2, holder="ben"))
    assert ben.swap(TOKEN, raised) is True
    assert ana.swap(TOKEN, RECORD) is False
    assert ana.swap(raised.token, None) is True


def test_a_stranger_gets_an_error_and_never_no_claim(shared: Path) -> None:
    claim_of(shared, 54301, GROUP).create(RECORD)
    stranger = claim_of(shared, 54303)
    for call in (
        stranger.read,
        stranger.may_claim,
        lambda: stranger.create(RECORD),
        lambda: stranger.swap(TOKEN, None),
    ):
        with pytest.raises(ClaimError, match="may not enter the claim folder") as caught:
            call()
        assert caught.value.effect is Effect.NONE
    shared.parent.chmod(0o700)
    with pytest.raises(ClaimError, match="can not be looked at"):
        stranger.read()
    shared.parent.chmod(0o711)


def test_the_folder_of_another_user_is_refused(shared: Path) -> None:
    os.chown(shared, 54302, GROUP)
    with pytest.raises(ClaimError, match=r"belongs to another user \(uid 54302\).*chown root:GROUP"):
        claim_of(shared, 54301, GROUP).read()
    assert claim_of(shared, 54302, GROUP).read() is None


def test_a_folder_that_only_root_writes_is_named(shared: Path) -> None:
    shared.chmod(0o755)
    ana = claim_of(shared, 54301, GROUP)
    assert ana.read() is None
    for call in (ana.may_claim, lambda: ana.create(RECORD)):
        with pytest.raises(ClaimError, match=r"may not write|can not be written") as caught:
            call()
        assert caught.value.effect is Effect.NONE


class OnReadOnly(As):
    """As root, with a file system over the claim folder that is mounted read-only."""

    def __init__(self, folder: Path) -> None:
        super().__init__(0)
        mount = f"mount -t tmpfs -o ro,mode=2770 none {folder} && exec sh -c "
        self._words = ["unshare", "--mount", "sh", "-c", f'{mount} "$0"']


def test_a_read_only_file_system_is_told_for_what_it_is(shared: Path) -> None:
    connection = OnReadOnly(shared)
    if connection.run_standing("true", timeout_s=10).exit_status != 0:
        pytest.skip("nothing can be mounted here")
    claim = SshClaimFile(connection, str(shared), "prod", "jira1")
    with pytest.raises(ClaimError, match="a read-only file system: mount it writable, or name another") as caught:
        claim.may_claim()
    assert "group" not in str(caught.value)
    with pytest.raises(ClaimError, match="Read-only file system"):
        claim.create(RECORD)


@pytest.mark.parametrize("shell", SHELLS, ids=lambda words: words[0])
def test_the_scripts_run_in_every_shell(shared: Path, shell: list[str]) -> None:
    connection = As(54301, GROUP, shell=tuple(shell))
    claim = SshClaimFile(connection, str(shared), "prod", "jira1")
    claim.may_claim()
    assert claim.create(RECORD) is True
    settings = RestartSettings(command="true", identity="echo 5", sudo=False)
    restarter = SshRestarter(connection, str(shared), "prod", "jira1", settings)
    restarter.may_restart()
    assert restarter.identity().identity == "5"
    assert restarter.begin(replace(TOKEN, epoch=9)) is False
    uptime_s = restarter.identity().uptime_s
    assert uptime_s is not None
    with pytest.raises(ShellError, match="held up"):
        restarter.begin(TOKEN, until_s=uptime_s - 2)
    assert restarter.begin(TOKEN, until_s=uptime_s + 30) is True
    end = time.monotonic() + 10
    while not restarter.progress().finished and time.monotonic() < end:
        time.sleep(0.05)
    assert restarter.progress().exit_status == 0
    assert claim.swap(TOKEN, None) is True


def test_a_stranger_restarts_nothing(shared: Path, tmp_path: Path) -> None:
    claim_of(shared, 54301, GROUP).create(RECORD)
    settings = RestartSettings(command=f"touch {tmp_path}/ran", sudo=False)
    with pytest.raises(ShellError, match="may not enter") as caught:
        SshRestarter(As(54303), str(shared), "prod", "jira1", settings).begin(TOKEN)
    assert caught.value.effect is Effect.NONE
    assert not (tmp_path / "ran").exists()
