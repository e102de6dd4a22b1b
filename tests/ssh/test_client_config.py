"""Whatever ~/.ssh/config, the name server and the machine's own passwd say: an answer is a ShellError, and in time."""

import getpass
import os
import pwd
import socket
import time
from pathlib import Path

import pytest

from rollsafe.drivers.ssh.client_config import ClientConfig, Target
from rollsafe.drivers.ssh.connection import SshConnection
from rollsafe.drivers.ssh.transport import SshTransport
from rollsafe.errors import Effect, ShellError
from rollsafe.model.settings import Hop, SshSettings
from tests.ssh.server import Sshd, start_sshd


def target_of(settings: SshSettings) -> Target:
    return ClientConfig(("~/.ssh/config",)).chain(settings)[-1]


def refusal(settings: SshSettings) -> str:
    connection = SshConnection(settings)
    with pytest.raises(ShellError) as caught:
        connection.run("true", timeout_s=2)
    connection.close()
    assert caught.value.effect is Effect.NONE
    return str(caught.value)


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that gives out a number only, as OpenShift does."""

    def no_line(_uid: int) -> object:
        raise KeyError("getpwuid(): uid not found")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_line)
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()


def test_no_jump_host_in_the_inventory_is_the_direct_way_whatever_the_config_says(own_home: Path) -> None:
    (own_home / ".ssh" / "config").write_text("Host h\n  ProxyJump ops@bastion\nHost odd\n  ProxyCommand nc %h %p\n")

    def way(host: str, jump: tuple[Hop, ...] | None) -> list[str]:
        chain = ClientConfig(("~/.ssh/config",)).chain(SshSettings(host, user="u", jump=jump))
        return [target.address for target in chain]

    assert way("h", None) == ["bastion", "h"]
    assert way("h", (Hop("gate"),)) == ["gate", "h"]
    assert way("h", ()) == ["h"]
    assert way("odd", ()) == ["odd"]


@pytest.mark.usefixtures("nameless")
def test_without_a_name_on_this_machine_the_user_of_the_inventory_is_enough(own_home: Path) -> None:
    assert target_of(SshSettings("h", user="rollsafe")).label == "rollsafe@h:22"
    (own_home / ".ssh" / "config").write_text(
        "Match localuser root\n  Port 1\nHost *\n  IdentityFile ~/.ssh/%r-%u\n  HostName %h.example.com\n"
    )
    target = target_of(SshSettings("h", user="rollsafe"))
    assert target.label == "rollsafe@h.example.com:22"
    assert target.identities[0].endswith(f"-{os.getuid()}")


@pytest.mark.usefixtures("nameless")
def test_without_a_name_on_this_machine_and_without_a_user_it_is_said_what_to_set() -> None:
    assert "set `ssh.user` in the inventory" in refusal(SshSettings("127.0.0.1", connect_timeout_s=1))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Host *\n  Port abc\n", "the Port of h is 'abc', which is no port"),
        ("Host *\n  Port 70000\n", "which is no port"),
        ("Host h\n  ProxyJump ops@bastion:99999\n", "no port"),
        ("CanonicalizeHostname yes\nCanonicalDomains example.invalid\nCanonicalizeMaxDots x\n", "can't be understood"),
    ],
)
def test_a_config_that_makes_no_sense_is_named(own_home: Path, text: str, why: str) -> None:
    (own_home / ".ssh" / "config").write_text(text)
    told = refusal(SshSettings("h", user="u", connect_timeout_s=1))
    assert "~/.ssh/config" in told
    assert why in told


def test_a_home_that_nobody_has_leads_nowhere(own_home: Path) -> None:
    (own_home / ".ssh" / "config").write_text(
        "Include ~nobody-at-all/config\nIdentityFile ~nobody-at-all/id\nUserKnownHostsFile ~nobody-at-all/known\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "refuses the connection" in refusal(SshSettings("127.0.0.1", port=port, user="u", connect_timeout_s=1))


@pytest.mark.usefixtures("dead_dns")
def test_a_dead_name_server_ends_at_the_time_limit() -> None:
    began = time.monotonic()
    assert "was not resolved within 0.4 s: is DNS up?" in refusal(SshSettings("h", user="u", connect_timeout_s=0.4))
    assert time.monotonic() - began < 2


@pytest.mark.real
def test_a_jump_host_that_resets_the_connection_is_no_defect(
    sshd: Sshd, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    bastion = start_sshd(tmp_path_factory.mktemp("bastion"), host="127.0.0.3", user_key=sshd.user_key)
    both = bastion.folder / "both"
    both.write_text(sshd.known_hosts.read_text() + bastion.known_hosts.read_text())

    def reset(*_: object, **__: object) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(SshTransport, "_send_user_message", reset)
    try:
        jump = (Hop("127.0.0.3", bastion.port, sshd.settings().user),)
        assert "the connection to the jump host" in refusal(sshd.settings(known_hosts=str(both), jump=jump))
    finally:
        bastion.stop()
