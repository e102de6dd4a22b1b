"""Who is let in, and who answers: host keys, user keys, jump hosts, ~/.ssh/config, and servers that misbehave."""

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollsafe.drivers.ssh.client_config import ClientConfig
from rollsafe.drivers.ssh.connection import SshConnection
from rollsafe.drivers.ssh.keys import KeyRing
from rollsafe.errors import Effect, ShellError
from rollsafe.model.secret import Secret
from rollsafe.model.settings import Hop, SshSettings
from tests.ssh.server import Sshd, free_port, make_key, start_sshd

pytestmark = pytest.mark.real


def answers(settings: SshSettings) -> bool:
    """Does a command run with these settings?"""
    connection = SshConnection(settings)
    try:
        return connection.run("echo hello", timeout_s=10).stdout == b"hello\n"
    finally:
        connection.close()


def refusal(settings: SshSettings) -> str:
    """The text of the refusal; the effect is none."""
    connection = SshConnection(settings)
    with pytest.raises(ShellError) as caught:
        connection.run("true", timeout_s=10)
    connection.close()
    assert caught.value.effect is Effect.NONE
    return str(caught.value)


def sha256(key: Path) -> str:
    """The fingerprint as ssh-keygen prints it."""
    said = subprocess.run(["ssh-keygen", "-lf", f"{key}.pub"], check=True, capture_output=True, text=True).stdout
    return said.split()[1]


def test_an_unknown_host_key_is_refused_with_the_line_to_type(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    text = refusal(sshd.settings(known_hosts=str(file)))
    assert "is not known" in text
    assert f"ssh-ed25519 {sha256(sshd.host_keys[0])}" in text
    line = re.search(r"ssh-keyscan .* >> \S+", text)
    assert line is not None
    subprocess.run(["sh", "-c", line[0]], check=True, capture_output=True)
    assert answers(sshd.settings(known_hosts=str(file)))


def test_a_changed_host_key_is_refused_with_file_and_line(sshd: Sshd, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    file = tmp_path / "known_hosts"
    key = " ".join(Path(f"{other}.pub").read_text().split()[:2])
    file.write_text(f"# ours\n[127.0.0.1]:{sshd.port} {key}\n")
    text = refusal(sshd.settings(known_hosts=str(file)))
    assert "CHANGED" in text
    assert f"{file}:2" in text
    assert sha256(other) in text
    assert sha256(sshd.host_keys[0]) in text


def test_hashed_pattern_bare_and_secret_forms_are_known(sshd: Sshd, tmp_path: Path) -> None:
    key = sshd.known_hosts.read_text().split(maxsplit=1)[1]
    hashed = tmp_path / "hashed"
    hashed.write_text(sshd.known_hosts.read_text())
    subprocess.run(["ssh-keygen", "-H", "-f", str(hashed)], check=True, capture_output=True)
    assert "127.0.0.1" not in hashed.read_text()
    assert answers(sshd.settings(known_hosts=str(hashed)))
    for names in ("127.0.0.1", "127.0.0.*,!127.0.0.2", "*", f"[127.0.0.?]:{sshd.port}"):
        file = tmp_path / "known"
        file.write_text(f"{names} {key}")
        assert answers(sshd.settings(known_hosts=str(file))), names
    data = Secret("env:KNOWN", f"127.0.0.1 {key}".strip)
    assert answers(sshd.settings(known_hosts=None, known_hosts_data=data))
    file.write_text(f"!*127.0.0.1*,* {key}")
    assert "is not known" in refusal(sshd.settings(known_hosts=str(file)))
    file.write_text(f"@revoked * {key}127.0.0.1 {key}")
    assert "revoked" in refusal(sshd.settings(known_hosts=str(file)))
    file.write_text(f"@cert-authority * {key}")
    assert "plain host keys only" in refusal(sshd.settings(known_hosts=str(file)))


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_the_host_is_asked_for_the_key_type_that_is_known(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    server = start_sshd(tmp_path_factory.mktemp("many"), key_types=("ed25519", "ecdsa", "rsa"))
    lines = [line for line in server.known_hosts.read_text().splitlines(keepends=True) if kind in line]
    server.known_hosts.write_text(lines[0])
    try:
        assert answers(server.settings())
    finally:
        server.stop()


def test_a_key_that_is_not_let_in_is_named(sshd: Sshd, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger")
    text = refusal(sshd.settings(private_key=str(stranger)))
    assert "lets this user in with none of its keys" in text
    assert str(stranger) in text
    assert sha256(stranger) in text
    assert "there was no key to try" in refusal(sshd.settings(private_key=None))
    assert "can't be read" in refusal(sshd.settings(private_key="/nowhere/id"))
    (tmp_path / "junk").write_text("junk")
    assert "no private key" in refusal(sshd.settings(private_key=str(tmp_path / "junk")))


@pytest.mark.parametrize(
    ("kind", "extra"), [("rsa", []), ("ecdsa", []), ("rsa", ["-m", "PEM"]), ("rsa", ["-m", "PKCS8"])]
)
def test_kinds_and_formats_of_keys(tmp_path_factory: pytest.TempPathFactory, kind: str, extra: list[str]) -> None:
    folder = tmp_path_factory.mktemp("kinds")
    key = make_key(folder / "key", kind, "", *extra)
    server = start_sshd(folder / "sshd", user_key=key)
    try:
        assert answers(server.settings())
        data = Secret("env:SSH_KEY", lambda: key.read_text().rstrip("\n"))
        assert answers(server.settings(private_key=None, private_key_data=data))
    finally:
        server.stop()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server that lets in a key with a passphrase."""
    folder = tmp_path_factory.mktemp("locked")
    server = start_sshd(folder, user_key=make_key(folder / "locked_key", "ed25519", "open sesame"))
    yield server
    server.stop()


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real ssh-agent; returns its socket."""
    path = str(tmp_path / "agent.sock")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    while not os.path.exists(path):  # noqa: PTH110 - a socket
        time.sleep(0.02)
    monkeypatch.setenv("SSH_AUTH_SOCK", path)
    yield path
    process.terminate()
    process.wait()


def test_a_passphrase_opens_the_key(locked: Sshd) -> None:
    assert answers(locked.settings(passphrase=Secret("env:P", lambda: "open sesame")))
    text = refusal(locked.settings(passphrase=Secret("env:P", lambda: "wrong-secret")))
    assert "the passphrase does not open it" in text
    assert "wrong-secret" not in text
    text = refusal(locked.settings())
    assert "is encrypted" in text
    assert "ssh-add" in text


def test_a_key_in_the_agent(locked: Sshd, agent: str, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    for key, phrase in ((other, ""), (locked.user_key, "open sesame")):
        asked = tmp_path / "askpass"
        asked.write_text(f"#!/bin/sh\necho '{phrase}'\n")
        asked.chmod(0o755)
        more = {"SSH_ASKPASS": str(asked), "SSH_ASKPASS_REQUIRE": "force", "SSH_AUTH_SOCK": agent}
        subprocess.run(["ssh-add", str(key)], env={**os.environ, **more}, check=True, capture_output=True)
    assert answers(locked.settings(private_key=None))
    assert answers(locked.settings())  # encrypted, and held by the agent


def test_a_key_that_can_not_be_used_leaves_no_socket_of_the_agent_open(locked: Sshd, agent: str) -> None:
    def open_sockets() -> list[str]:
        links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return [link for link in links if link.startswith("socket:")]

    config = ClientConfig()
    target = config.chain(locked.settings())[-1]
    before = len(open_sockets())
    with pytest.raises(ShellError, match="is encrypted"):
        KeyRing().offer(locked.settings(), target, timeout_s=2)
    assert target.agent == agent
    assert len(open_sockets()) == before


def test_an_agent_that_hangs_is_no_hang(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "dumb.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        start = time.monotonic()
        refusal(sshd.settings(private_key=None, connect_timeout_s=1.0))
        assert time.monotonic() - start < 3


def test_a_certificate(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("ca")
    authority, key = make_key(folder / "ca"), make_key(folder / "key")
    user = SshSettings("x").user or os.environ.get("USER") or "root"
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(authority), "-I", "t", "-n", f"{user},root", str(key) + ".pub"], check=True
    )
    server = start_sshd(folder / "sshd", lines=[f"TrustedUserCAKeys {authority}.pub"])
    certificate = folder / "key-cert.pub"
    try:
        assert answers(server.settings(private_key=str(key)))  # found beside the key
        certificate = certificate.rename(folder / "elsewhere.pub")
        refusal(server.settings(private_key=str(key)))
        assert answers(server.settings(private_key=str(key), certificate=str(certificate)))
        text = refusal(server.settings(private_key=str(make_key(folder / "third")), certificate=str(certificate)))
        assert "does not fit" in text
    finally:
        server.stop()


def test_a_jump_host_is_passed_and_checked(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bastion")
    bastion = start_sshd(folder, host="127.0.0.3", user_key=sshd.user_key)
    user = sshd.settings().user
    both = folder / "both"
    both.write_text(sshd.known_hosts.read_text() + bastion.known_hosts.read_text())
    jump = (Hop("127.0.0.3", bastion.port, user),)
    try:
        connection = SshConnection(sshd.settings(known_hosts=str(both), jump=jump))
        assert connection.run("echo $SSH_CONNECTION", timeout_s=10).stdout.split()[2] == b"127.0.0.1"
        bastion.cut()
        assert connection.run("echo again", timeout_s=10).stdout == b"again\n"
        connection.close()
        assert "is not known" in refusal(sshd.settings(jump=jump))  # the bastion is not in this file
        both.write_text(bastion.known_hosts.read_text())
        assert "typed on " in refusal(sshd.settings(known_hosts=str(both), jump=jump))
        text = refusal(sshd.settings(known_hosts=str(both), jump=jump, port=free_port()))
        assert "the jump host" in text
        assert "can't reach 127.0.0.1" in text
    finally:
        bastion.stop()


def test_ssh_config_fills_what_the_inventory_leaves_open(
    sshd: Sshd, own_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bastion = start_sshd(tmp_path_factory.mktemp("hop"), host="127.0.0.3", user_key=sshd.user_key)
    known = own_home / ".ssh" / "fleet_hosts"
    known.write_text(sshd.known_hosts.read_text() + bastion.known_hosts.read_text())
    user = sshd.settings().user
    (own_home / ".ssh" / "fleet").write_text(
        f"Host bastion\n  HostName 127.0.0.3\n  Port {bastion.port}\n"
        f"Host jira1\n  HostName 127.0.0.1\n  Port {sshd.port}\n  ProxyJump {user}@bastion\n"
    )
    (own_home / ".ssh" / "config").write_text(
        f"Include fleet\nUser {user}\nUserKnownHostsFile ~/.ssh/fleet_hosts\nIdentityFile {sshd.user_key}\n"
        "Host loop\n  ProxyJump loop\nHost odd\n  ProxyCommand nc %h %p\n"
        f'Match exec "test %n = by-program"\n  HostName 127.0.0.1\n  Port {sshd.port}\n'
    )
    try:
        assert answers(SshSettings("by-program", connect_timeout_s=5))
        assert answers(SshSettings("jira1", connect_timeout_s=5))
        assert "refuses the connection" in refusal(SshSettings("bastion", port=free_port("127.0.0.3")))
        assert "never ends" in refusal(SshSettings("loop"))
        assert "ProxyCommand" in refusal(SshSettings("odd"))
    finally:
        bastion.stop()


def test_nobody_listens(sshd: Sshd) -> None:
    assert "refuses the connection: is sshd running there" in refusal(sshd.settings(port=free_port()))


def test_a_name_that_does_not_exist() -> None:
    text = refusal(SshSettings("no-such-host.invalid", connect_timeout_s=5))
    assert "no-such-host.invalid" in text


@pytest.mark.parametrize(
    ("greeting", "why"),
    [
        (b"", "no SSH greeting within 1 s"),
        (b"SSH-2.0-x\r\n", "did not finish the SSH handshake"),
        (b"HTTP/1.1 400\r\n", "no SSH greeting"),
    ],
)
def test_a_server_that_hangs(sshd: Sshd, greeting: bytes, why: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        start = time.monotonic()
        connection = SshConnection(sshd.settings(port=listener.getsockname()[1], connect_timeout_s=1.0))
        peers: list[socket.socket] = []

        def greet() -> None:
            peer, _ = listener.accept()
            peers.append(peer)
            peer.sendall(greeting)

        greeter = threading.Thread(target=greet)
        greeter.start()
        with pytest.raises(ShellError, match=why) as caught:
            connection.run("true", timeout_s=10)
        greeter.join()
        for peer in peers:
            peer.close()
        assert time.monotonic() - start < 3
        assert caught.value.effect is Effect.NONE
        connection.close()


def test_a_server_that_closes_at_once(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = SshConnection(sshd.settings(port=listener.getsockname()[1], connect_timeout_s=3.0))

        def close() -> None:
            listener.accept()[0].close()

        closer = threading.Thread(target=close)
        closer.start()
        with pytest.raises(ShellError, match=r"closed the connection before it said anything|broke off"):
            connection.run("true", timeout_s=10)
        closer.join()
        connection.close()


def test_a_server_that_takes_no_keys(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = start_sshd(
        tmp_path_factory.mktemp("nokeys"), lines=["PubkeyAuthentication no", "PasswordAuthentication yes"]
    )
    assert "takes no keys, only" in refusal(server.settings())
    server.stop()
