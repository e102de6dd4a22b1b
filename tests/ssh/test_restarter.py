"""Restarts over a real sshd: begun once, fenced by the claim, alive without the session, proved by identity."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rollsafe.drivers.remote.claim_file import SshClaimFile
from rollsafe.drivers.remote.restarter import SshRestarter
from rollsafe.drivers.ssh.connection import SshConnection
from rollsafe.errors import ClaimError, Effect, ShellError
from rollsafe.model.claim import ClaimRecord, Token, Who
from rollsafe.model.reading import RestartReading
from rollsafe.model.settings import RestartSettings
from tests.ssh.server import Sshd, fill

pytestmark = pytest.mark.real
TOKEN = Token("r1", 1, "h1", 4)
RECORD = ClaimRecord("prod", TOKEN, 0, Who("ana", "laptop", 42, "2026-11-23T02:00:00Z"))
RAISED = replace(RECORD, token=replace(TOKEN, revision=5))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The claim folder."""
    return tmp_path / "claims"


@pytest.fixture
def claim(connection: SshConnection, folder: Path) -> SshClaimFile:
    """jira1's claim, made."""
    made = SshClaimFile(connection, str(folder), "prod", "jira1", lock_wait_s=0.3)
    made.create(RECORD)
    return made


@pytest.fixture
def restarter(connection: SshConnection, folder: Path) -> Callable[..., SshRestarter]:
    """Make a restarter for a command."""

    def make(command: str | None = None, wait: float = 1.0, **more: object) -> SshRestarter:
        settings = RestartSettings(command=command, sudo=False)
        settings = replace(settings, **more)  # type: ignore[arg-type]  # a test's own words
        return SshRestarter(connection, str(folder), "prod", "jira1", settings, lock_wait_s=wait)

    return make


def ended(restarter: SshRestarter, limit_s: float = 10) -> RestartReading:
    """Poll until the restart ended."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        reading = restarter.progress()
        if reading.finished:
            return reading
        time.sleep(0.05)
    raise AssertionError(f"not ended within {limit_s} s: {reading}")


def eventually(fact: Callable[[], bool], limit_s: float = 5) -> bool:
    """Does it become true in time?"""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if fact():
            return True
        time.sleep(0.05)
    return False


Make = Callable[..., SshRestarter]


def test_a_restart_is_begun_at_once_and_tells_how_it_ended(claim: SshClaimFile, restarter: Make) -> None:
    made = restarter("echo stopping; sleep 0.5; echo cannot start >&2; exit 3")
    start = time.monotonic()
    assert made.begin(TOKEN) is True
    assert time.monotonic() - start < 0.45
    assert made.progress().finished is False
    assert ended(made) == RestartReading(True, 3, "stopping\ncannot start")


def test_a_proven_restart_whose_command_does_not_end_lets_its_lock_go_and_goes_on(
    claim: SshClaimFile, restarter: Make, folder: Path, tmp_path: Path
) -> None:
    made = restarter(f"echo $$ >{tmp_path}/pid; exec sleep 30")
    assert made.begin(TOKEN) is True
    assert eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip() != "")
    with pytest.raises(ClaimError, match="lock has been held"):
        claim.swap(TOKEN, RAISED)
    made.let_go()
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, 0)
    assert claim.swap(TOKEN, RAISED) is True
    made.let_go()  # once more does no harm
    assert claim.swap(RAISED.token, None) is True
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.3)
    assert [path.name for path in folder.iterdir()] == ["prod.jira1.json.lock"]


DOES_NOT_END = {
    "a lone program": "exec sleep 31",
    "a script in a script": 'sh -c "sleep 31; touch LATE"; touch LATE',
    "one that does not hear TERM": 'trap "" TERM; while :; do sleep 1; done; touch LATE',
}


@pytest.mark.parametrize("row", DOES_NOT_END)
def test_a_command_that_does_not_end_is_ended_and_what_it_left_in_the_background_is_not(
    row: str, claim: SshClaimFile, restarter: Make, tmp_path: Path
) -> None:
    server = f"(sleep 32 & echo $! >{tmp_path}/server)"
    made = restarter(f"{server}; {DOES_NOT_END[row].replace('LATE', str(tmp_path / 'late'))}")
    assert made.begin(TOKEN) is True
    assert eventually(lambda: (tmp_path / "server").exists() and (tmp_path / "server").read_text().strip() != "")
    time.sleep(0.3)
    assert made.end() is True
    reading = ended(made)
    assert reading.exit_status in (128 + signal.SIGTERM, 128 + signal.SIGKILL)
    assert claim.swap(TOKEN, RAISED) is True
    time.sleep(1.2)
    assert not (tmp_path / "late").exists()
    os.kill(int((tmp_path / "server").read_text()), signal.SIGTERM)  # it lives: else ProcessLookupError


def test_ending_what_never_began_or_has_ended_does_nothing(claim: SshClaimFile, restarter: Make) -> None:
    made = restarter("exit 3")
    assert made.end() is True
    made.let_go()
    assert made.begin(TOKEN) is True
    ended(made)
    assert made.end() is True
    assert ended(made).exit_status == 3


def test_another_token_is_fenced(claim: SshClaimFile, restarter: Make, tmp_path: Path) -> None:
    made = restarter(f"touch {tmp_path}/ran")
    for token in (replace(TOKEN, revision=3), replace(TOKEN, epoch=2), replace(TOKEN, holder="h2")):
        assert made.begin(token) is False
    claim.swap(TOKEN, None)
    assert made.begin(TOKEN) is False
    assert made.progress().finished is False
    time.sleep(0.2)
    assert not (tmp_path / "ran").exists()


def test_an_order_that_was_held_up_on_its_way_is_not_obeyed(
    claim: SshClaimFile, restarter: Make, tmp_path: Path
) -> None:
    made = restarter(f"touch {tmp_path}/ran", identity="echo 1")
    uptime_s = made.identity().uptime_s
    assert uptime_s is not None
    assert abs(uptime_s - float(Path("/proc/uptime").read_text().split()[0])) < 3
    with pytest.raises(ShellError, match="held up on its way") as caught:
        made.begin(TOKEN, until_s=uptime_s - 2)
    assert caught.value.effect is Effect.NONE
    assert made.progress().finished is False
    assert not (tmp_path / "ran").exists()
    assert made.begin(TOKEN, until_s=uptime_s + 30) is True
    assert ended(made).exit_status == 0
    assert (tmp_path / "ran").exists()


def test_begun_twice_runs_once(claim: SshClaimFile, restarter: Make, tmp_path: Path) -> None:
    made = restarter(f"echo once >> {tmp_path}/ran")
    assert made.begin(TOKEN) is True
    ended(made)
    assert made.begin(TOKEN) is True
    time.sleep(0.2)
    assert (tmp_path / "ran").read_text() == "once\n"


def test_the_lock_is_held_while_the_command_runs(claim: SshClaimFile, restarter: Make) -> None:
    made = restarter("sleep 1.5")
    made.begin(TOKEN)
    with pytest.raises(ClaimError, match="a restart still runs there"):
        claim.swap(TOKEN, RAISED)
    ended(made)
    assert claim.swap(TOKEN, RAISED) is True


def test_what_the_command_starts_holds_neither_lock_nor_channel(
    claim: SshClaimFile, restarter: Make, tmp_path: Path
) -> None:
    made = restarter(f"sleep 30 & echo $! > {tmp_path}/pid")
    start = time.monotonic()
    assert made.begin(TOKEN) is True
    assert ended(made).exit_status == 0
    assert time.monotonic() - start < 3
    daemon = int((tmp_path / "pid").read_text())
    os.kill(daemon, 0)  # it lives
    assert claim.swap(TOKEN, RAISED) is True
    os.kill(daemon, 9)


def test_a_restart_outlives_its_session(sshd: Sshd, claim: SshClaimFile, restarter: Make, tmp_path: Path) -> None:
    made = restarter(f"sleep 1; touch {tmp_path}/ran; umask > {tmp_path}/umask")
    made.begin(TOKEN)
    sshd.cut()
    assert eventually((tmp_path / "ran").exists)
    assert ended(made).exit_status == 0
    assert (tmp_path / "umask").read_text().strip() == "0022"


def test_a_delayed_restart_is_fenced_by_a_raised_claim(
    sshd: Sshd, folder: Path, claim: SshClaimFile, tmp_path: Path
) -> None:
    lock = folder / "prod.jira1.json.lock"
    holder = subprocess.Popen(["flock", str(lock), "sleep", "1.5"])
    time.sleep(0.2)
    own = SshConnection(sshd.settings())
    made = SshRestarter(
        own, str(folder), "prod", "jira1", RestartSettings(command=f"touch {tmp_path}/ran", sudo=False), lock_wait_s=5
    )
    timer = subprocess.Popen(["sleep", "0.6"])
    begun: list[object] = []

    def begin() -> None:
        try:
            begun.append(made.begin(TOKEN))
        except ShellError as error:
            begun.append(error)

    beginning = threading.Thread(target=begin)
    beginning.start()
    timer.wait()
    sshd.cut()  # the session is gone, the detached script still waits for the lock
    beginning.join()
    # whoever holds the lock first raises the claim: the waiting script then finds another token
    (folder / "prod.jira1.json").write_bytes(
        (folder / "prod.jira1.json").read_bytes().replace(b'"revision":4,', b'"revision":5,', 1)
    )
    holder.wait()
    time.sleep(0.7)
    assert isinstance(begun[0], ShellError)
    assert begun[0].effect is Effect.UNKNOWN
    assert not (tmp_path / "ran").exists()
    own.close()


def test_a_lock_that_stays_held_lets_no_restart_begin(
    folder: Path, claim: SshClaimFile, restarter: Make, tmp_path: Path
) -> None:
    holder = subprocess.Popen(["flock", str(folder / "prod.jira1.json.lock"), "sleep", "1.2"])
    time.sleep(0.2)
    made = restarter(f"touch {tmp_path}/ran", wait=0.3)
    with pytest.raises(ShellError, match="was not begun") as caught:
        made.begin(TOKEN)
    assert caught.value.effect is Effect.NONE
    holder.wait()
    time.sleep(0.3)
    assert not (tmp_path / "ran").exists()


def test_a_restart_cut_off_is_told(claim: SshClaimFile, restarter: Make, tmp_path: Path) -> None:
    made = restarter(f"echo going; echo $PPID > {tmp_path}/pid; sleep 20")
    made.begin(TOKEN)
    assert eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    inner = int((tmp_path / "pid").read_text())
    os.kill(inner, signal.SIGSTOP)  # so that it can't write down how its child ended
    subprocess.run(["pkill", "-9", "-P", str(inner)], check=False)
    os.kill(inner, signal.SIGKILL)
    reading = ended(made)
    assert reading.exit_status is None
    assert "cut off" in reading.output
    assert "going" in reading.output


def test_another_process_sees_the_restart_under_way(claim: SshClaimFile, restarter: Make) -> None:
    made, other = restarter("sleep 1"), restarter("true", identity="echo 77")
    assert other.identity().ours is False
    made.begin(TOKEN)
    assert other.identity().ours is True
    assert other.progress().finished is False
    ended(made)
    assert other.progress() == RestartReading(True, 0, "")
    assert other.identity().ours is False


def test_identity_of_a_command(claim: SshClaimFile, restarter: Make, tmp_path: Path) -> None:
    pid = tmp_path / "app.pid"
    made = restarter("true", identity=f"cat {pid}")
    assert made.identity().identity is None
    pid.write_text("4711\n")
    assert made.identity().identity == "4711"
    pid.write_text("\n")
    assert made.identity().identity is None
    assert restarter("true", identity="echo 5; exit 1").identity().identity is None
    for again_s in (None, 0):
        for much in ("yes", "yes | head -c 9000"):
            with pytest.raises(ShellError, match="8 KiB"):
                restarter("true", identity=much).identity(again_s=again_s)
    assert restarter("true", identity="yes | head -c 8000").identity(again_s=0).was is None


READ_AGAIN = {
    # the command, what it tells in the end, what it told before where that differs, how often it is run
    "the same": ("echo 4711", "4711", None, 2),
    "another one each time": ("cat FILE", "1 1 1", "1 1", 3),
    "restarted between the readings": ("if [ -s FILE.old ]; then echo new; else echo old; fi", "new", None, 3),
    "none": ("true", None, None, 2),
    "it fails": ("echo 5; exit 1", None, None, 1),
    "gone when it is read again": ("[ -s FILE.old ] || echo old", None, None, 3),
}


@pytest.mark.parametrize("row", READ_AGAIN)
def test_identity_of_a_command_is_read_again_in_the_same_question(row: str, restarter: Make, tmp_path: Path) -> None:
    command, identity, was, runs = READ_AGAIN[row]
    file = tmp_path / "runs"
    count = f'[ ! -s {file} ] || echo 1 >>{file}.old; printf "1 " >>{file}; '
    reading = restarter("true", identity=count + command.replace("FILE", str(file))).identity(again_s=0)
    assert (reading.identity, reading.was) == (identity, was)
    assert file.read_text() == "1 " * runs


def test_identity_with_an_age_in_whole_seconds_differs_after_one(restarter: Make) -> None:
    reading = restarter("true", identity="date +%s").identity(again_s=1)
    assert int(reading.identity or "") > int(reading.was or "") > 0
    assert restarter("true", identity="date +%s").identity().was is None


def test_a_full_disk_lets_no_restart_begin(connection: SshConnection, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this machine mounts no tmpfs for a test")
    try:
        SshClaimFile(connection, str(disk), "prod", "jira1").create(RECORD)
        fill(disk)
        settings = RestartSettings(command=f"touch {tmp_path}/ran", sudo=False)
        with pytest.raises(ShellError, match="disk full") as caught:
            SshRestarter(connection, str(disk), "prod", "jira1", settings).begin(TOKEN)
        assert caught.value.effect is Effect.NONE
        assert not (tmp_path / "ran").exists()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # the script there may still be ending


SYSTEMCTL = """#!/bin/sh
# answers as systemctl(1) of systemd 252 does; its state is in STATE
state={state}
[ "$1" = --no-ask-password ] && shift
case $1 in
  show)
    case $2 in jira.service) ;; *) echo LoadState=not-found; echo ActiveState=inactive; exit 0 ;; esac
    case $* in *InvocationID*) cat $state ;; *) grep LoadState $state ;; esac ;;
  restart)
    printf 'Job=812\\nInvocationID=aaa\\nLoadState=loaded\\n' > $state
    printf 'ActiveState=deactivating\\nSubState=stop-sigterm\\n' >> $state
    sleep 0.7
    printf 'InvocationID=bbb\\nLoadState=loaded\\nActiveState=active\\nSubState=running\\n' > $state ;;
esac
"""


@pytest.fixture
def no_ps(sshd: Sshd) -> Iterator[None]:
    """A node without procps: many images of containers have none."""
    program = sshd.bin / "ps"
    program.write_text("#!/bin/sh\necho ps: command not found >&2\nexit 127\n")
    program.chmod(0o755)
    yield
    program.unlink()


@pytest.mark.usefixtures("no_ps")
def test_a_command_that_hangs_is_ended_on_a_node_without_ps(
    claim: SshClaimFile, restarter: Make, tmp_path: Path
) -> None:
    odd = tmp_path / "a) (b c"
    odd.symlink_to("/bin/sh")
    made = restarter(f"'{odd}' -c 'sleep 31; true'; touch {tmp_path}/late")
    assert made.begin(TOKEN) is True
    time.sleep(0.5)
    made.end()
    assert ended(made).exit_status in (128 + signal.SIGTERM, 128 + signal.SIGKILL)
    assert claim.swap(TOKEN, RAISED) is True
    assert not (tmp_path / "late").exists()


@pytest.fixture
def systemctl(sshd: Sshd, tmp_path: Path) -> Iterator[Path]:
    """A stand-in for systemctl in the sessions' PATH; returns the file with its state."""
    state = tmp_path / "unit"
    state.write_text("InvocationID=aaa\nLoadState=loaded\nActiveState=active\nSubState=running\n")
    program = sshd.bin / "systemctl"
    program.write_text(SYSTEMCTL.format(state=state))
    program.chmod(0o755)
    yield state
    program.unlink()


def test_a_unit_is_restarted_and_proved(systemctl: Path, claim: SshClaimFile, restarter: Make) -> None:
    made = restarter(unit="jira.service", sudo=True)
    made.may_restart()
    assert (made.identity().identity, made.identity().job) == ("aaa", False)
    assert made.begin(TOKEN) is True
    assert eventually(lambda: made.identity().job and made.identity().state == "deactivating (stop-sigterm)")
    assert ended(made).exit_status == 0
    reading = made.identity()
    assert (reading.identity, reading.job, reading.state) == ("bbb", False, "active (running)")
    systemctl.write_text("InvocationID=bbb\nLoadState=loaded\nActiveState=failed\nSubState=failed\n")
    told = made.identity(again_s=3600)  # an InvocationID is asked for once
    assert (told.identity, told.was) == (None, None)
    assert told.lacks == "systemd tells no InvocationID of jira.service, which is failed (failed)"


def test_a_unit_that_is_not_there(systemctl: Path, claim: SshClaimFile, restarter: Make) -> None:
    made = restarter(unit="jria.service", sudo=True)
    for call in (made.identity, made.may_restart):
        with pytest.raises(ShellError, match=r"jira1: systemd there knows no unit jria\.service"):
            call()


SUDO = """#!/bin/sh
echo "$*" >> {log}
echo "sudo: a password is required" >&2
exit 1
"""


@pytest.fixture
def strict_sudo(sshd: Sshd, tmp_path: Path) -> Iterator[Path]:
    """A sudo that wants a password, for a user who is not root; returns its log."""
    log = tmp_path / "sudo.log"
    log.touch()
    sudo, who = sshd.bin / "sudo", sshd.bin / "id"
    sudo.write_text(SUDO.format(log=log))
    who.write_text('#!/bin/sh\n[ "$1" = -un ] && { echo rollsafe; exit; }\necho "${FAKE_UID:-1000}"\n')
    for program in (sudo, who):
        program.chmod(0o755)
    yield log
    for program in (sudo, who):
        program.unlink()


def test_a_sudo_that_wants_a_password_is_an_error_that_names_the_line(
    sshd: Sshd, claim: SshClaimFile, connection: SshConnection, folder: Path, strict_sudo: Path, systemctl: Path
) -> None:
    # the folder is root's in this test, which a user with uid 1000 may trust
    made = SshRestarter(connection, str(folder), "prod", "jira1", RestartSettings(unit="jira.service"))
    line = r"rollsafe ALL=\(root\) NOPASSWD: /usr/bin/systemctl restart jira\.service"
    with pytest.raises(ShellError, match=f"a password is required.*{line}") as caught:
        made.may_restart()
    assert caught.value.effect is Effect.NONE
    assert made.begin(TOKEN) is True
    reading = ended(made)
    assert reading.exit_status == 1
    assert "NOPASSWD: /usr/bin/systemctl restart jira.service" in reading.output
    assert strict_sudo.read_text() == "-n -l systemctl restart jira.service\n-n systemctl restart jira.service\n"


def test_identity_asks_sudo_only_where_it_must(
    claim: SshClaimFile, connection: SshConnection, folder: Path, strict_sudo: Path
) -> None:
    settings = RestartSettings(command="/opt/restart.sh now", identity="echo 5")
    made = SshRestarter(connection, str(folder), "prod", "jira1", settings)
    assert made.identity().identity == "5"
    assert strict_sudo.read_text() == ""
    made = SshRestarter(connection, str(folder), "prod", "jira1", replace(settings, identity="cat /nowhere | cat"))
    assert made.identity().identity is None
    assert strict_sudo.read_text() == "-n sh -c cat /nowhere | cat\n"
    with pytest.raises(ShellError, match=r"NOPASSWD: /opt/restart\.sh now"):
        made.may_restart()
