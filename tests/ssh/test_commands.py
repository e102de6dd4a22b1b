"""Commands over a real sshd: limits, bounds, breaks."""

import socket
import threading
import time

import pytest

from rollsafe.drivers.ssh.connection import DialRefused, SshConnection, SshPool
from rollsafe.errors import Effect, ShellError
from tests.ssh.server import Sshd, free_port, start_sshd

pytestmark = pytest.mark.real


def test_command_gives_status_stdout_and_stderr(connection: SshConnection) -> None:
    done = connection.run("echo out; echo err >&2; exit 7", timeout_s=10)
    assert (done.exit_status, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_stdin_arrives_whole_and_ends(connection: SshConnection) -> None:
    data = bytes(range(256)) * 4096
    done = connection.run("cat", stdin=data, timeout_s=20, output_limit=len(data))
    assert done.stdout == data


def test_stdin_that_nobody_reads_is_no_error(connection: SshConnection) -> None:
    done = connection.run("exec 0<&-; echo fine", stdin=b"x" * 500_000, timeout_s=10)
    assert done.stdout == b"fine\n"


def test_command_that_hangs_ends_in_time_with_unknown_effect(connection: SshConnection) -> None:
    start = time.monotonic()
    with pytest.raises(ShellError, match=r"within 0\.5 s.*may go on") as caught:
        connection.run("sleep 20", timeout_s=0.5)
    assert caught.value.effect is Effect.UNKNOWN
    assert time.monotonic() - start < 2
    assert connection.run("echo still here", timeout_s=5).stdout == b"still here\n"


@pytest.mark.parametrize("stream", ["", " >&2"])
def test_flood_of_output_is_cut(connection: SshConnection, stream: str) -> None:
    start = time.monotonic()
    with pytest.raises(ShellError, match="more than 10000 bytes") as caught:
        connection.run(f"yes rollsafe{stream}", timeout_s=20, output_limit=10_000)
    assert caught.value.effect is Effect.UNKNOWN
    assert time.monotonic() - start < 5


def test_command_killed_by_a_signal_is_no_answer(connection: SshConnection) -> None:
    with pytest.raises(ShellError, match="killed by a signal") as caught:
        connection.run("echo before >&2; kill -9 $$", timeout_s=5)
    assert "before" in str(caught.value)


def test_break_in_the_middle_is_unknown_and_next_command_reconnects(sshd: Sshd, connection: SshConnection) -> None:
    connection.check()
    threading.Timer(0.5, sshd.cut).start()
    with pytest.raises(ShellError, match="connection broke") as caught:
        connection.run("sleep 5", timeout_s=10)
    assert caught.value.effect is Effect.UNKNOWN
    assert connection.run("echo back", timeout_s=10).stdout == b"back\n"


def test_dead_connection_is_made_anew_before_a_command(sshd: Sshd, connection: SshConnection) -> None:
    connection.check()
    sshd.cut()
    assert connection.run("echo back", timeout_s=10).stdout == b"back\n"


def test_server_that_went_away_has_no_effect(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = start_sshd(tmp_path_factory.mktemp("gone"))
    connection = SshConnection(server.settings())
    connection.check()
    server.stop()
    with pytest.raises(ShellError, match="refuses the connection") as caught:
        connection.run("true", timeout_s=5)
    assert caught.value.effect is Effect.NONE
    connection.close()


def test_more_threads_than_sshd_has_sessions(connection: SshConnection) -> None:
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(connection.run(f"sleep 0.1; echo {n}", timeout_s=20).stdout))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(one) for one in answers) == list(range(20))


def test_pool_shares_one_connection_for_equal_settings(sshd: Sshd) -> None:
    pool = SshPool()
    first, second = pool.get(sshd.settings()), pool.get(sshd.settings())
    other = pool.get(sshd.settings(connect_timeout_s=4.0))
    assert first is second
    assert first is not other
    assert first.run("echo 1", timeout_s=5).exit_status == 0
    pool.close()


def test_unix_socket_of_the_host(connection: SshConnection, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("s") / "admin.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        channel = connection.dial_unix(str(path), timeout_s=5)
        peer, _ = listener.accept()
        with peer:
            channel.sendall(b"show info\n")
            assert peer.recv(100) == b"show info\n"
            peer.sendall(b"Name: HAProxy\n")
        assert channel.recv(100) == b"Name: HAProxy\n"
        assert channel.recv(100) == b""
        channel.close()


def test_unix_socket_that_is_not_there(connection: SshConnection) -> None:
    with pytest.raises(DialRefused, match=r"/nowhere\.sock") as caught:
        connection.dial_unix("/nowhere.sock", timeout_s=5)
    assert caught.value.effect is Effect.NONE
    assert not caught.value.forbidden


def test_forwarding_that_sshd_forbids(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = start_sshd(tmp_path_factory.mktemp("strict"), lines=["DisableForwarding yes"])
    connection = SshConnection(server.settings())
    with pytest.raises(DialRefused, match="AllowTcpForwarding") as caught:
        connection.dial_tcp("127.0.0.1", 9, timeout_s=5)
    assert caught.value.forbidden
    with pytest.raises(DialRefused, match="AllowStreamLocalForwarding"):
        connection.dial_unix("/x.sock", timeout_s=5)
    connection.close()
    server.stop()


def test_tcp_through_the_host(connection: SshConnection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        channel = connection.dial_tcp("127.0.0.1", listener.getsockname()[1], timeout_s=5)
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"hello")
            assert channel.recv(10) == b"hello"
        channel.close()
    with pytest.raises(DialRefused):
        connection.dial_tcp("127.0.0.1", free_port(), timeout_s=5)
