"""The claim's primitives over a real sshd."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rollsafe.drivers.remote.claim_file import SshClaimFile
from rollsafe.drivers.ssh.connection import Completed, SshConnection
from rollsafe.errors import ClaimError, Effect
from rollsafe.model.claim import ClaimRecord, Token, Who
from tests.ssh.server import Sshd, fill

pytestmark = pytest.mark.real
TOKEN = Token("r1", 1, "h1", 0)
RECORD = ClaimRecord("prod", TOKEN, 0, Who("ana", "laptop", 42, "2026-11-23T02:00:00Z"))


def at(revision: int, holder: str = "h1") -> ClaimRecord:
    """RECORD at another revision."""
    return replace(RECORD, token=replace(TOKEN, revision=revision, holder=holder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where claims go; not made yet."""
    return tmp_path / "claims"


@pytest.fixture
def claim(connection: SshConnection, folder: Path) -> SshClaimFile:
    """The claim of jira1."""
    return SshClaimFile(connection, str(folder), "prod", "jira1", lock_wait_s=0.5)


def test_a_claim_is_made_changed_and_removed(claim: SshClaimFile, folder: Path) -> None:
    assert claim.read() is None
    assert claim.swap(TOKEN, at(1)) is False
    assert claim.create(RECORD) is True
    assert claim.create(at(5)) is False
    assert claim.read() == RECORD
    assert claim.swap(TOKEN, at(1)) is True
    assert claim.swap(TOKEN, at(2)) is False
    assert claim.read() == at(1)
    assert claim.swap(TOKEN, None) is False
    assert claim.swap(at(1).token, None) is True
    assert claim.read() is None
    assert claim.swap(at(1).token, at(2)) is False
    assert sorted(path.name for path in folder.iterdir()) == ["prod.jira1.json.lock"]


def test_only_the_owner_and_the_group_may_look(claim: SshClaimFile, folder: Path) -> None:
    claim.create(RECORD)
    assert folder.stat().st_mode & 0o7777 == 0o2770
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o660}


def test_a_beat_changes_the_record_and_not_the_token(claim: SshClaimFile) -> None:
    claim.create(RECORD)
    assert claim.swap(TOKEN, replace(RECORD, beat=1)) is True
    assert claim.swap(TOKEN, replace(RECORD, beat=2)) is True
    found = claim.read()
    assert found is not None
    assert found.beat == 2


def together(acts: list[Callable[[], bool]]) -> list[bool]:
    """What each act returned when all were started at once."""
    answers: list[bool] = []
    barrier = threading.Barrier(len(acts))

    def one(act: Callable[[], bool]) -> None:
        barrier.wait()
        answers.append(act())

    threads = [threading.Thread(target=one, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("existing", [False, True])
def test_of_many_at_once_exactly_one_wins(connection: SshConnection, folder: Path, existing: bool) -> None:
    claims = [SshClaimFile(connection, str(folder), "prod", "jira1") for _ in range(6)]
    if existing:
        claims[0].create(RECORD)
        acts = [lambda n=n, c=c: c.swap(TOKEN, at(1, f"h{n}")) for n, c in enumerate(claims)]
    else:
        acts = [lambda n=n, c=c: c.create(at(0, f"h{n}")) for n, c in enumerate(claims)]
    answers = together(acts)
    assert sorted(answers) == [False] * 5 + [True]
    assert claims[0].read() is not None


@pytest.fixture
def held_lock(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold jira1's lock from outside until the test ends."""
    holders: list[subprocess.Popen[bytes]] = []

    def hold() -> None:
        holders.append(subprocess.Popen(["flock", str(folder / "prod.jira1.json.lock"), "sleep", "30"]))
        time.sleep(0.2)

    yield hold
    for holder in holders:
        subprocess.run(["pkill", "-P", str(holder.pid)], check=False)
        holder.kill()
        holder.wait()


def test_a_lock_that_is_held_is_an_error_that_changed_nothing(
    claim: SshClaimFile, held_lock: Callable[[], None]
) -> None:
    claim.create(RECORD)
    held_lock()
    start = time.monotonic()
    with pytest.raises(
        ClaimError, match=r"jira1: the claim's lock has been held .* a restart still runs there"
    ) as caught:
        claim.swap(TOKEN, at(1))
    assert time.monotonic() - start < 3
    assert caught.value.effect is Effect.NONE
    assert claim.read() == RECORD


def test_symbolic_links_are_refused(claim: SshClaimFile, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    folder.symlink_to(target)
    for call in (claim.read, lambda: claim.create(RECORD), lambda: claim.swap(TOKEN, None)):
        with pytest.raises(ClaimError, match="is a symbolic link") as caught:
            call()
        assert caught.value.effect is Effect.NONE
    assert list(target.iterdir()) == []
    folder.unlink()
    folder.mkdir(mode=0o700)
    (folder / "prod.jira1.json").symlink_to("/etc/passwd")
    for call in (claim.read, lambda: claim.create(RECORD), lambda: claim.swap(TOKEN, None)):
        with pytest.raises(ClaimError, match="symbolic link"):
            call()
    (folder / "prod.jira1.json").unlink()
    (folder / "prod.jira1.json.lock").symlink_to(target / "lock")
    with pytest.raises(ClaimError, match="symbolic link"):
        claim.create(RECORD)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(("mode", "owner", "why"), [(0o1777, 0, "chmod o-w"), (0o700, 12345, "could forge")])
def test_a_folder_of_others_is_refused(claim: SshClaimFile, folder: Path, mode: int, owner: int, why: str) -> None:
    if owner and os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    folder.mkdir()
    folder.chmod(mode)
    if owner:
        os.chown(folder, owner, owner)
    for call in (claim.read, claim.may_claim, lambda: claim.create(RECORD)):
        with pytest.raises(ClaimError, match=why) as caught:
            call()
        assert caught.value.effect is Effect.NONE


def test_a_file_that_is_no_claim_is_named_and_never_overwritten(claim: SshClaimFile, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    file = folder / "prod.jira1.json"
    file.write_text("hello\n")
    with pytest.raises(ClaimError, match=r"jira1: .*prod\.jira1\.json is not a claim of rollsafe"):
        claim.read()
    assert claim.create(RECORD) is False
    assert claim.swap(TOKEN, RECORD) is False
    assert file.read_text() == "hello\n"


def test_what_is_no_plain_file_is_not_opened(claim: SshClaimFile, folder: Path) -> None:
    """A reader of a FIFO waits for a writer, and would hold the node's lock as long."""
    folder.mkdir(mode=0o700)
    file = folder / "prod.jira1.json"
    os.mkfifo(file, 0o660)
    assert claim.create(RECORD) is False
    for call in (claim.read, lambda: claim.swap(TOKEN, RECORD), lambda: claim.swap(TOKEN, None)):
        with pytest.raises(ClaimError, match="is no plain file: look who made it, and remove it") as caught:
            call()
        assert caught.value.effect is Effect.NONE
    file.unlink()
    assert claim.create(RECORD) is True, "the lock is free"


def test_a_full_disk_changes_nothing(connection: SshConnection, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine mounts no tmpfs for a test")
    try:
        claim = SshClaimFile(connection, str(disk), "prod", "jira1")
        assert claim.create(RECORD) is True
        fill(disk)
        with pytest.raises(ClaimError, match="No space left on device") as caught:
            claim.swap(TOKEN, at(1))
        assert caught.value.effect is Effect.NONE
        assert claim.read() == RECORD
        assert [path.name for path in disk.iterdir() if path.name.startswith(".")] == []
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # the script there may still be ending


def test_a_missing_tool_is_named(sshd: Sshd, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "ls", "id", "mkdir"):
        (tools / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    connection = SshConnection(sshd.settings())
    run = connection.run_standing

    def bare(command: str, **more: object) -> Completed:
        return run(re.sub(r"PATH=.*", f"PATH={tools}", command), **more)  # type: ignore[arg-type]  # as it came

    connection.run_standing = bare  # type: ignore[assignment,method-assign]  # a host without flock
    with pytest.raises(ClaimError, match="the program flock is missing there") as caught:
        SshClaimFile(connection, str(tmp_path / "c"), "prod", "jira1").create(RECORD)
    assert caught.value.effect is Effect.NONE
    connection.close()


def test_noise_of_a_login_shell_is_passed_over(connection: SshConnection, folder: Path) -> None:
    run = connection.run_standing
    connection.run_standing = lambda command, **more: run(  # type: ignore[method-assign]  # a talkative profile
        f"printf 'Welcome to jira1. rollsafe is welcome'; {command}", **more
    )
    claim = SshClaimFile(connection, str(folder), "prod", "jira1")
    assert claim.create(RECORD) is True
    assert claim.read() == RECORD


def test_a_record_cut_short_on_the_way_is_not_installed(connection: SshConnection, folder: Path) -> None:
    claim = SshClaimFile(connection, str(folder), "prod", "jira1")
    claim.create(RECORD)
    run = connection.run_standing
    connection.run_standing = (
        lambda command, stdin=b"", **more: run(  # type: ignore[method-assign]  # a line that breaks
            command, stdin=stdin[:-6] + b"\n", **more
        )
    )
    with pytest.raises(ClaimError, match="cut short"):
        claim.swap(TOKEN, at(1))
    assert claim.read() == RECORD


def test_a_lost_answer_is_unknown(sshd: Sshd, folder: Path, held_lock: Callable[[], None]) -> None:
    connection = SshConnection(sshd.settings())
    claim = SshClaimFile(connection, str(folder), "prod", "jira1", lock_wait_s=5)
    claim.create(RECORD)
    held_lock()
    threading.Timer(0.5, sshd.cut).start()
    with pytest.raises(ClaimError, match="connection broke") as caught:
        claim.swap(TOKEN, at(1))
    assert caught.value.effect is Effect.UNKNOWN
    connection.close()


@pytest.mark.parametrize(
    "place", [("claims", "prod", "n"), ("/", "prod", "n"), ("/c", "../x", "n"), ("/c", "p", "a/b")]
)
def test_names_that_lead_elsewhere_are_refused(connection: SshConnection, place: tuple[str, str, str]) -> None:
    with pytest.raises(ClaimError) as caught:
        SshClaimFile(connection, *place)
    assert caught.value.effect is Effect.NONE


def test_may_claim_changes_nothing(claim: SshClaimFile, folder: Path) -> None:
    claim.may_claim()
    assert not folder.exists()


def test_a_folder_that_can_not_be_made_says_why(connection: SshConnection, tmp_path: Path) -> None:
    claim = SshClaimFile(connection, str(tmp_path / "missing" / "claims"), "prod", "jira1")
    with pytest.raises(ClaimError, match=r"missing/ is missing: claim_dir, .*, must be the last folder of a path"):
        claim.may_claim()
