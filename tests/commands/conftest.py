"""One bed for all that only looks; its wires and its SSH servers remember everything that was said."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rollsafe.drivers.remote.claim_codec import encode
from rollsafe.drivers.remote.script import _LIST_ONCE, PREAMBLE
from rollsafe.model.claim import ClaimRecord, FoundMember, Token, Who
from rollsafe.model.reading import AdminState, Found, Member
from tests.testbed import Testbed
from tests.testbed.relay import Relay, pump

# A shell that stands by gets its commands on stdin: each session has a file of its own.
RECORDER = """#!/bin/sh
if [ "$SSH_ORIGINAL_COMMAND" = "exec sh -s" ]; then tee "{log}.$$" | sh -s; exit; fi
printf '( %s\\n) </dev/null\\n' "$SSH_ORIGINAL_COMMAND" >"{log}.$$"
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""
COMMAND = re.compile(r"^\( set -- [^\n]*\n(.*?)\n\) (?:</dev/null|<<'rollsafe-end:\w+')$", re.MULTILINE | re.DOTALL)
PART = re.compile(r'^\(\nset -- [^\n]*\n(.*?)\)\nprintf "%s%s\\n" rollsafe-part:\w+: "\$\?"$', re.MULTILINE | re.DOTALL)


class TappedRelay(Relay):
    """A wire that keeps what was sent to the admin API, line by line."""

    def __init__(self, host: str, port: int, to_port: int) -> None:
        super().__init__(host, port, to_port)
        self.heard: list[str] = []

    def _carry(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._to, 5)
        except OSError:
            client.close()
            return
        back = threading.Thread(target=pump, args=(server, client), daemon=True)
        back.start()
        with suppress(OSError):
            client.settimeout(60)
            while data := client.recv(65536):
                self.heard.append(data.decode())
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        back.join(70)
        client.close()
        server.close()


class Looked:
    """A bed, and what was said to its balancers and its nodes."""

    def __init__(self, bed: Testbed) -> None:
        self.bed = bed
        self._log = bed.folder / "ssh-commands"
        script = bed.folder / "recorder.sh"
        script.write_text(RECORDER.format(log=self._log))
        script.chmod(0o755)
        keys = bed.folder / "authorized_keys"
        keys.write_text(f'command="{script}" {keys.read_text()}')
        for name, plain in bed.relays.items():
            plain.become("refuse")
            tapped = bed.relays[name] = TappedRelay(plain.host, plain.port, 9999)
            tapped.start()

    def forget(self) -> None:
        """Begin to listen anew."""
        for file in self._logs():
            file.unlink()
        for relay in self.bed.relays.values():
            assert isinstance(relay, TappedRelay)
            relay.heard.clear()

    @property
    def to_balancers(self) -> list[str]:
        """Each admin command that was sent to any endpoint."""
        heard = [r.heard for r in self.bed.relays.values() if isinstance(r, TappedRelay)]
        return [part.strip() for lines in heard for line in lines for part in line.split(";") if part.strip()]

    @property
    def to_nodes(self) -> list[str]:
        """The script of each question that a node was sent: what stands behind its arguments.

        What came besides is there as a whole, so that nothing is missed.
        """
        scripts: list[str] = []
        for command in (it for file in self._logs() for it in COMMAND.findall(file.read_text())):
            parts = PART.findall(command)
            scripts += [
                *parts,
                re.sub(r"^set -- [^\n]*\n", "", PART.sub("", command).removeprefix(PREAMBLE).removeprefix(_LIST_ONCE)),
            ]
        return [text for script in scripts if (text := script.strip())]

    def _logs(self) -> list[Path]:
        return list(self.bed.folder.glob(f"{self._log.name}.*"))

    # --- claims ----------------------------------------------------------------------------------------------------

    def claim(
        self,
        *,
        beat: int = 7,
        released: bool = False,
        wrote: tuple[str, ...] = ("drain",),
        nodes: tuple[str, ...] = (),
    ) -> None:
        """A claim of another run on every node, which had jira2 in hand."""
        seat = Member("jira2", "web", "web-lb", through(self.bed.web.endpoint), "web", "jira2")
        record = ClaimRecord(
            "bed",
            Token("run-of-ola", 1, "laptop-1", 4),
            beat,
            Who("ola", "laptop", 4711, "2026-11-24T01:00:00Z", "CHG0042"),
            node_in_hand="jira2",
            doing="restarting jira2",
            released=released,
            entries={"jira2": (FoundMember(seat, Found(AdminState.READY), wrote),)},
            nodes=nodes,
        )
        for node in self.bed.nodes:
            fresh = self.bed.folder / f"{node.name}.new"
            fresh.write_bytes(encode(record))
            fresh.replace(self.bed.folder / "claims" / f"bed.{node.name}.json")

    def no_claim(self) -> None:
        for path in (self.bed.folder / "claims").glob("*.json"):
            path.unlink()


def through(endpoint: str) -> str:
    """The address that the inventory names."""
    return endpoint.replace(":9999", ":9990")


def tidy(bed: Testbed) -> None:
    """Everything in service again, no claim, every wire whole."""
    for relay in bed.relays.values():
        if relay.mode != "pass":
            relay.become("pass")
    for server in bed.sshds.values():
        if not server._daemon.runs:
            server.start()
    for balancer in bed.balancers:
        for name, seat in balancer.seats().items():
            if seat.admin != "ready":
                balancer.set_state(name, "ready")
    bed.write_inventory()


@pytest.fixture(scope="module")
def one_bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    """Three nodes, SCIM behind a pair of HAProxy, web behind one; no clients."""
    with Testbed(tmp_path_factory.mktemp("looking") / "bed", load=False) as bed:
        yield Looked(bed)


@pytest.fixture
def looked(one_bed: Looked) -> Iterator[Looked]:
    """The bed, as it should be, before and after."""
    one_bed.forget()
    try:
        yield one_bed
    finally:
        one_bed.no_claim()
        tidy(one_bed.bed)


@pytest.fixture
def fresh_bed(tmp_path: Path) -> Iterator[Testbed]:
    """A bed for a test that restarts nodes."""
    with Testbed(tmp_path / "bed", load=False) as bed:
        yield bed
