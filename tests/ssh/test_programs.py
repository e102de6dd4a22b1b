"""The programs that docs/howto/ssh.md names are all that a node needs, and doctor misses each that is not there."""

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rollsafe.drivers.remote.claim_file import SshClaimFile
from rollsafe.drivers.remote.restarter import SshRestarter
from rollsafe.drivers.ssh.connection import Completed, SshConnection
from rollsafe.errors import PortError
from rollsafe.model.settings import RestartSettings
from tests.house.tree import ROOT
from tests.ssh.test_restarter import RAISED, RECORD, TOKEN, ended

pytestmark = pytest.mark.real
SAID = re.search(r"Programs used on the node: (.*?)\(coreutils\)", (ROOT / "docs/howto/ssh.md").read_text(), re.DOTALL)
assert SAID is not None
PROGRAMS = re.findall(r"`([a-z]+)`", SAID[1])
ALWAYS = {"sh", "id", "ls", "true"}  # without them a script can't even ask, or every shell has one of its own

Node = Callable[[str], tuple[SshClaimFile, SshRestarter]]


@pytest.fixture
def node(connection: SshConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node with these programs, but for one."""

    def made(without: str) -> tuple[SshClaimFile, SshRestarter]:
        tools = tmp_path / "tools"
        tools.mkdir()
        for name in set(PROGRAMS) - {without}:
            (tools / name).symlink_to(shutil.which(name) or pytest.fail(f"there is no {name}"))
        run = connection.run_standing

        def bare(command: str, **more: object) -> Completed:
            return run(re.sub(r"(?m)^PATH=.*", f"PATH={tools}", command), **more)  # type: ignore[arg-type]  # as it came

        monkeypatch.setattr(connection, "run_standing", bare)
        claim = SshClaimFile(connection, str(tmp_path / "claims"), "prod", "jira1")
        settings = RestartSettings(command="sleep 30", identity="echo 1", sudo=False)
        return claim, SshRestarter(connection, str(tmp_path / "claims"), "prod", "jira1", settings)

    return made


def test_they_are_enough_for_a_claim_and_a_restart_that_hangs(node: Node) -> None:
    claim, restarter = node("")
    claim.may_claim()
    restarter.may_restart()
    assert claim.create(RECORD)
    assert restarter.identity().identity == "1"
    assert restarter.begin(TOKEN)
    time.sleep(0.3)
    assert not restarter.progress().finished
    restarter.end()
    ended(restarter)
    assert claim.swap(TOKEN, RAISED)
    assert restarter.begin(RAISED.token)
    time.sleep(0.3)
    restarter.let_go()
    assert claim.swap(RAISED.token, replace(RAISED, beat=1))
    assert claim.swap(RAISED.token, None)
    assert claim.read() is None


@pytest.mark.parametrize("program", sorted(set(PROGRAMS) - ALWAYS))
def test_doctor_misses_each_that_is_not_there(node: Node, program: str) -> None:
    claim, restarter = node(program)

    def doctor() -> None:
        claim.may_claim()
        restarter.may_restart()

    with pytest.raises(PortError, match=f"the program {program} is missing there"):
        doctor()
