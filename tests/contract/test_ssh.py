"""Endpoints that are reached through a real sshd."""

import getpass
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rollsafe.drivers.balancers import make_balancer
from rollsafe.drivers.ssh.connection import SshPool
from rollsafe.errors import BalancerError, Effect
from rollsafe.model.reading import AdminState, Check, Found
from rollsafe.model.settings import BalancerSettings, EndpointSettings, SshSettings
from rollsafe.ports import Balancer
from tests.contract.conftest import Stage
from tests.contract.products import eventually, free_port, need

DRAIN = AdminState.DRAIN
CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
{more}
"""


@dataclass
class Host:
    """A machine that can be reached over SSH."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes]"
    pool: SshPool

    @property
    def settings(self) -> SshSettings:
        return SshSettings(
            host="127.0.0.1",
            port=self.port,
            user=getpass.getuser(),
            private_key=str(self.folder / "user"),
            known_hosts=str(self.folder / "known_hosts"),
        )

    def driver(self, kind: str, endpoint: EndpointSettings) -> Balancer:
        return make_balancer(BalancerSettings("lb", kind, (endpoint,)), endpoint, self.pool.get)

    def over_ssh(self, path: object, timeout_s: float = 5.0) -> Balancer:
        endpoint = EndpointSettings(f"ssh://127.0.0.1:{self.port}{path}", ssh=self.settings, timeout_s=timeout_s)
        return self.driver("haproxy", endpoint)


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    started: list[Host] = []

    def start(more: str = "") -> Host:
        sshd, keygen = need("sshd", "openssh-server"), need("ssh-keygen", "openssh-client")
        folder, port = tmp_path / "ssh", free_port()
        folder.mkdir()
        for name in ("host", "user"):
            command = [keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True, timeout=10)
        public = (folder / "host.pub").read_text().split()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
        (folder / "sshd_config").write_text(CONFIG.format(port=port, folder=folder, more=more))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        command = [sshd, "-D", "-e", "-f", str(folder / "sshd_config")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stderr=log, start_new_session=True)
        started.append(Host(folder, port, process, SshPool()))
        eventually(lambda: "listening" in (folder / "log").read_text(), "start of sshd")
        return started[-1]

    yield start
    for host in started:
        host.pool.close()
        host.process.send_signal(signal.SIGCONT)
        host.process.terminate()
        host.process.wait(5)


def drives(driver: Balancer, stage: Stage) -> bool:
    driver.write("web", stage.seats[0], Found(DRAIN))
    return driver.read("web").seats[0].admin is DRAIN is stage.seat().admin


def test_the_socket_of_another_host(haproxy_stage: Stage, start_host: Callable[..., Host]) -> None:
    path = haproxy_stage.url.removeprefix("unix://")
    assert drives(start_host().over_ssh(path), haproxy_stage)


def test_where_sshd_forwards_no_sockets_a_program_there_carries_the_line(
    haproxy_stage: Stage, start_host: Callable[..., Host]
) -> None:
    need("socat", "socat")
    path = haproxy_stage.url.removeprefix("unix://")
    host = start_host("AllowStreamLocalForwarding no")
    assert drives(host.over_ssh(path), haproxy_stage)
    with pytest.raises(BalancerError, match=r"none\.sock") as caught:
        host.over_ssh("/run/none.sock").read("web")
    assert caught.value.effect is Effect.NONE


CUT_OFF = """#!/bin/sh
IFS= read -r line
case $line in
  *"set server"*) ;;
  *) echo "$line" | {socat} "$@"; exit ;;
esac
echo "$line" | {socat} "$@" >/dev/null
echo "2026/11/26 04:00:00 socat[9] E read(5, 0x55e2, 8192): Connection reset by peer" >&2
exit 1
"""


def test_a_program_there_that_broke_after_the_line_was_sent_may_have_had_an_effect(
    haproxy_stage: Stage, start_host: Callable[..., Host], tmp_path: Path
) -> None:
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "socat").write_text(CUT_OFF.format(socat=need("socat", "socat")))
    (broken / "socat").chmod(0o755)
    host = start_host(f"AllowStreamLocalForwarding no\nSetEnv PATH={broken}:/usr/bin:/bin")
    driver = host.over_ssh(haproxy_stage.url.removeprefix("unix://"))
    with pytest.raises(BalancerError, match=r"may have got through.*reset by peer") as caught:
        driver.write("web", haproxy_stage.seats[0], Found(DRAIN))
    assert caught.value.effect is Effect.UNKNOWN
    assert haproxy_stage.seat().admin is DRAIN


def test_a_host_without_such_a_program_is_an_error_without_effect(
    start_host: Callable[..., Host], tmp_path: Path
) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    host = start_host(f"AllowStreamLocalForwarding no\nSetEnv PATH={tmp_path}")
    with pytest.raises(BalancerError, match="neither socat nor nc is installed") as caught:
        host.over_ssh("/run/none.sock").write("web", "n1", Found(DRAIN))
    assert caught.value.effect is Effect.NONE


def test_no_socket_there_is_an_error_without_effect(start_host: Callable[..., Host]) -> None:
    with pytest.raises(BalancerError, match=r"none\.sock") as caught:
        start_host().over_ssh("/run/none.sock").read("web")
    assert caught.value.effect is Effect.NONE


def test_a_dead_sshd_is_an_error_without_effect(haproxy_stage: Stage, start_host: Callable[..., Host]) -> None:
    host = start_host()
    host.process.terminate()
    host.process.wait(5)
    with pytest.raises(BalancerError, match=str(host.port)) as caught:
        host.over_ssh("/run/haproxy.sock").write("web", "n1", Found(DRAIN))
    assert caught.value.effect is Effect.NONE


def test_tcp_through_a_host(haproxy_stage: Stage, start_host: Callable[..., Host]) -> None:
    config = haproxy_stage.product.folder / "haproxy.cfg"
    port = free_port()
    config.write_text(
        config.read_text().replace("global\n", f"global\n    stats socket ipv4@127.0.0.1:{port} level admin\n")
    )
    haproxy_stage.product.reload()  # type: ignore[attr-defined] - both products have it
    host = start_host()
    endpoint = EndpointSettings(f"tcp://127.0.0.1:{port}", via=host.settings)
    assert drives(host.driver("haproxy", endpoint), haproxy_stage)
    closed = EndpointSettings(f"tcp://127.0.0.1:{free_port()}", via=host.settings)
    with pytest.raises(BalancerError) as caught:
        host.driver("haproxy", closed).read("web")
    assert caught.value.effect is Effect.NONE


def test_the_balancer_manager_through_a_host(apache_stage: Stage, start_host: Callable[..., Host]) -> None:
    host = start_host()
    driver = host.driver("apache", EndpointSettings(apache_stage.url, via=host.settings))
    assert drives(driver, apache_stage)
    driver.write("web", apache_stage.seats[0], Found(AdminState.READY))
    eventually(lambda: driver.read("web").seats[0].check is Check.UP, "up, on a connection that is kept")
    closed = EndpointSettings(f"http://127.0.0.1:{free_port()}/balancer-manager", via=host.settings)
    with pytest.raises(BalancerError, match="can't be reached") as caught:
        host.driver("apache", closed).read("web")
    assert caught.value.effect is Effect.NONE
    driver.close()  # type: ignore[attr-defined] - the apache driver has it
