"""One sshd for each module; each test has its own connection."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rollsafe.drivers.ssh.connection import SshConnection
from tests.ssh.server import SSHD, Sshd, start_sshd


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A real sshd that knows this user's test key."""
    if not Path(SSHD).exists():
        pytest.skip("the program sshd is not installed (apt-get install openssh-server)")
    server = start_sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys, agent or ~/.ssh/config."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture
def connection(sshd: Sshd) -> Iterator[SshConnection]:
    """A connection to the module's sshd."""
    made = SshConnection(sshd.settings())
    yield made
    made.close()
