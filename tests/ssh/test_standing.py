"""The shell that stands by over a real sshd: many commands, one login shell, nothing carried from one to the next."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from rollsafe.drivers.ssh import standing
from rollsafe.drivers.ssh.connection import SshConnection
from rollsafe.errors import Effect, ShellError
from tests.ssh.server import Sshd, _children, start_sshd

pytestmark = pytest.mark.real


def say(connection: SshConnection, command: str, stdin: bytes = b"", **more: float) -> bytes:
    done = connection.run_standing(command, stdin=stdin, timeout_s=more.get("timeout_s", 10))
    assert done.exit_status == 0, done
    return done.stdout


def test_status_stdout_and_stderr_of_each_command_are_its_own(connection: SshConnection) -> None:
    done = connection.run_standing("echo out; echo err >&2; exit 7", timeout_s=10)
    assert (done.exit_status, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert connection.run_standing("printf %s no-newline", timeout_s=10).stdout == b"no-newline"
    assert connection.run_standing("true", timeout_s=10).stdout == b""


def test_what_a_command_says_on_stderr_is_never_left_for_the_next(connection: SshConnection) -> None:
    for n in range(100):
        done = connection.run_standing(f"echo err {n} >&2; echo out {n}", timeout_s=10)
        assert (done.stdout, done.stderr) == (f"out {n}\n".encode(), f"err {n}\n".encode())


def test_of_a_flood_on_stderr_the_end_is_kept(connection: SshConnection) -> None:
    flood = "yes rollsafe | head -c 4999995 >&2; echo and why >&2; exit 3"
    done = connection.run_standing(flood, timeout_s=30)
    assert (done.exit_status, done.stdout) == (3, b"")
    assert done.complaint.endswith("rollsafe\nand why")
    assert say(connection, "echo well") == b"well\n"


def test_one_shell_serves_all_and_nothing_leaks_into_the_next(connection: SshConnection) -> None:
    assert say(connection, "echo $PPID; cd /; x=1; umask 0; set -u").strip() == say(connection, "echo $PPID").strip()
    assert say(connection, 'echo "$(pwd) ${x-unset} $(umask)"').strip() != b"/ 1 0000"
    assert say(connection, "exec echo replaced") == b"replaced\n"
    assert say(connection, "echo still here") == b"still here\n"


@pytest.mark.parametrize("size", [1, 4095, 4096, 70_000, 400_000])
def test_stdin_arrives_as_it_is(connection: SshConnection, size: int) -> None:
    line = b"'\"$(exit 9) `exit 9` \\ ${HOME}\t\xc3\xa9 rollsafe-end:\n"
    data = (line * (size // len(line) + 1))[: max(size - 1, 0)] + b"\n"
    assert connection.run_standing("cat", stdin=data, timeout_s=20, output_limit=size + 10).stdout == data


def test_input_that_nobody_reads_does_not_become_a_command(connection: SshConnection) -> None:
    assert say(connection, "true", stdin=b"echo not for me\n" * 10_000) == b""
    assert say(connection, "cat") == b"", "and without input there is none"


def test_an_output_that_looks_like_the_end_is_not_the_end(connection: SshConnection) -> None:
    assert say(connection, r'printf "\nrollsafe-end:0123:0\nmore\n"') == b"\nrollsafe-end:0123:0\nmore\n"


def test_too_much_output_is_an_error_and_the_next_command_is_well(connection: SshConnection) -> None:
    with pytest.raises(ShellError, match="more than 10000 bytes"):
        connection.run_standing("yes rollsafe", timeout_s=20, output_limit=10_000)
    assert say(connection, "echo well") == b"well\n"


def test_a_command_that_does_not_end_is_left_and_the_next_has_another_shell(connection: SshConnection) -> None:
    with pytest.raises(ShellError, match=r"no answer over SSH within 0\.5 s") as caught:
        connection.run_standing("sleep 20", timeout_s=0.5)
    assert caught.value.effect is Effect.UNKNOWN
    assert say(connection, "echo well") == b"well\n"


def test_commands_side_by_side_have_a_shell_each(connection: SshConnection) -> None:
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(say(connection, f"sleep 0.3; echo {n}", timeout_s=30)))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers, key=int) == [f"{n}\n".encode() for n in range(12)]


def test_a_break_in_the_middle_is_unknown_and_the_next_command_reconnects(
    sshd: Sshd, connection: SshConnection
) -> None:
    say(connection, "true")
    threading.Timer(0.5, sshd.cut).start()
    with pytest.raises(ShellError, match="connection broke") as caught:
        connection.run_standing("sleep 5", timeout_s=10)
    assert caught.value.effect is Effect.UNKNOWN
    assert say(connection, "echo back") == b"back\n"


def test_a_connection_that_died_while_idle_costs_nothing_but_a_new_one(sshd: Sshd, connection: SshConnection) -> None:
    say(connection, "true")
    sshd.cut()
    time.sleep(0.2)
    assert say(connection, "echo back") == b"back\n"


@pytest.mark.parametrize("trusted_s", [0.0, 60.0])
def test_a_shell_that_dies_while_idle_takes_nothing_with_it(
    connection: SshConnection, monkeypatch: pytest.MonkeyPatch, trusted_s: float
) -> None:
    monkeypatch.setattr(standing, "TRUSTED_S", trusted_s)
    shell = int(say(connection, "echo $PPID; echo $$").split()[1])
    other: list[bytes] = []
    thread = threading.Thread(target=lambda: other.append(connection.run("sleep 2; echo fine", timeout_s=20).stdout))
    thread.start()
    time.sleep(0.7)
    os.kill(shell, signal.SIGKILL)
    time.sleep(0.3)
    assert say(connection, "echo well") == b"well\n"
    thread.join()
    assert other == [b"fine\n"]


def test_a_peer_that_fell_silent_is_found_out_before_anything_is_sent(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(standing, "TRUSTED_S", 0.0)
    connection = SshConnection(sshd.settings(connect_timeout_s=1.0))
    say(connection, "true")
    silent = [child for pid in sshd.sessions() for child in [pid, *_children(pid)]]
    sessions = [pid for pid in silent if Path(f"/proc/{pid}/comm").read_text().startswith("sshd")]
    for pid in sessions:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert say(connection, f"echo once >>{tmp_path}/mark; echo anew") == b"anew\n"
        assert time.monotonic() - began < 6
    finally:
        for pid in sessions:
            os.kill(pid, signal.SIGCONT)
    time.sleep(0.5)
    assert (tmp_path / "mark").read_text() == "once\n", "what was found silent got no command, not even later"
    connection.close()


@pytest.mark.parametrize(
    ("forced", "said"),
    [
        ("/bin/echo This account is currently not available.", "It said: 'This account is currently not available.'."),
        ("/bin/sh -c 'echo exec: restricted >&2; exit 1'", "It said: 'exec: restricted'."),
        ("/bin/false", "an answer came. Is the login shell there sh"),
    ],
)
def test_an_account_without_a_shell_is_told_in_its_own_words(tmp_path: Path, forced: str, said: str) -> None:
    server = start_sshd(tmp_path / "forced", lines=[f"ForceCommand {forced}"])
    connection = SshConnection(server.settings())
    try:
        with pytest.raises(ShellError, match="broke before an answer came") as caught:
            connection.run_standing("echo hello", timeout_s=10)
        assert said in str(caught.value)
        assert "without a forced command?" in str(caught.value)
        assert "echo hello" not in str(caught.value)
    finally:
        connection.close()
        server.stop()
