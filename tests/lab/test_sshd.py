"""The lab's SSH server, asked by paramiko and by OpenSSH's own client."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from lab.conftest import processes_of
from rollsafe.lab.cluster import HOST, Lab

OTHER_S = 5.0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("ssh") / "lab", nodes=2) as lab:
        yield lab


@pytest.fixture
def client(built: Lab) -> Iterator[paramiko.SSHClient]:
    """Logged in on the first node, its host key known and checked."""
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(built.folder / "ssh" / "known_hosts"))
        key = str(built.folder / "ssh" / "user_key")
        port = built.places.nodes[0].ssh_port
        client.connect(HOST, port, username="anybody", key_filename=key, allow_agent=False, look_for_keys=False)
        yield client


def run(client: paramiko.SSHClient, command: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    channel_in, out, err = client.exec_command(command, timeout=10)
    channel_in.write(stdin)
    channel_in.channel.shutdown_write()
    output, errors = out.read(), err.read()
    return out.channel.recv_exit_status(), output, errors


def test_a_command_gets_its_input_and_gives_output_errors_and_status(client: paramiko.SSHClient) -> None:
    status, output, errors = run(client, "cat; echo trouble >&2; exit 7", b"a line\n" * 20_000)

    assert (status, errors) == (7, b"trouble\n")
    assert output == b"a line\n" * 20_000


def test_a_command_runs_in_the_folder_of_its_node(client: paramiko.SSHClient, built: Lab) -> None:
    _, output, _ = run(client, "pwd; cat node.id")

    assert output.decode().splitlines()[0] == str(built.places.nodes[0].folder)
    assert " jira1 pid " in output.decode().splitlines()[1]


def test_a_killed_command_ends_as_in_a_shell(client: paramiko.SSHClient) -> None:
    assert run(client, "kill -9 $$")[0] == 128 + 9


def test_commands_run_side_by_side_on_one_connection(client: paramiko.SSHClient) -> None:
    began = time.monotonic()
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(run(client, f"sleep 0.5; echo {n}")[1])) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [f"{n}\n".encode() for n in range(6)]
    assert time.monotonic() - began < 2.5


def test_the_status_does_not_wait_for_what_was_left_running(client: paramiko.SSHClient) -> None:
    began = time.monotonic()
    status, _, _ = run(client, "setsid sleep 30 >/dev/null 2>&1 </dev/null & echo $! >left.pid")
    assert status == 0
    assert time.monotonic() - began < 5

    _, output, _ = run(client, 'kill "$(cat left.pid)" && echo "it lived on"')
    assert output == b"it lived on\n"


def test_what_was_begun_outlives_the_connection(built: Lab, client: paramiko.SSHClient) -> None:
    client.exec_command("setsid sh -c 'sleep 1; echo done >outlived' >/dev/null 2>&1 </dev/null &")[
        1
    ].channel.recv_exit_status()
    client.close()

    proof = built.places.nodes[0].folder / "outlived"
    deadline = time.monotonic() + OTHER_S
    while not proof.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_lock_is_a_lock(client: paramiko.SSHClient) -> None:
    """The claim's commands use the machine's own flock, mkdir and mv."""
    held = client.exec_command("flock lockfile sh -c 'echo held; sleep 1'")[1]
    assert held.readline() == "held\n"

    assert run(client, "flock -n lockfile true")[0] == 1
    assert run(client, "flock -w 5 lockfile sh -c 'mkdir made && mv made moved && sync && rmdir moved'")[0] == 0


@pytest.mark.parametrize("what", ["wrong key", "password"])
def test_nobody_else_is_let_in(built: Lab, what: str) -> None:
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(built.folder / "ssh" / "known_hosts"))
        key = paramiko.ECDSAKey.generate(bits=256) if what == "wrong key" else None
        with pytest.raises(paramiko.SSHException):
            client.connect(
                HOST,
                built.places.nodes[0].ssh_port,
                username="anybody",
                pkey=key,
                password=None if key else "secret",
                allow_agent=False,
                look_for_keys=False,
            )


def test_a_tunnel_leads_to_loopback_only(built: Lab, client: paramiko.SSHClient) -> None:
    transport = client.get_transport()
    assert transport
    with transport.open_channel("direct-tcpip", (HOST, built.places.nodes[0].web_port), (HOST, 0)) as channel:
        channel.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        assert b'"RUNNING"' in channel.makefile().read()

    with pytest.raises(paramiko.ChannelException):
        transport.open_channel("direct-tcpip", ("192.0.2.1", 80), (HOST, 0))


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs openssh-client")
def test_the_real_ssh_client_is_served(built: Lab) -> None:
    ssh = ["ssh", "-F", str(built.folder / "ssh_config"), "-o", "BatchMode=yes", "jira2"]
    env = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
    answer = subprocess.run(
        [*ssh, "cat; echo trouble >&2; exit 3"], check=False, input=b"hello\n", capture_output=True, timeout=20, env=env
    )

    assert (answer.returncode, answer.stdout) == (3, b"hello\n")
    assert answer.stderr.endswith(b"trouble\n")


def test_a_node_is_restarted_by_its_command(built: Lab, client: paramiko.SSHClient) -> None:
    node = built.places.nodes[0]
    before = run(client, f"cat {node.folder}/node.id")[1]

    status, _, errors = run(client, f"{node.folder}/restart.sh")

    assert (status, errors) == (0, b"")
    assert run(client, f"cat {node.folder}/node.id")[1] not in (before, b"")
    assert len(processes_of_node(node.folder)) == 1


def processes_of_node(folder: Path) -> list[str]:
    return [line for line in processes_of(folder) if "rollsafe.lab.node" in line]
