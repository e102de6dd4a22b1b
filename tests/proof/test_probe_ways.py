"""A probe asks as the identity provider does: TLS verified, at another address, through a jump host or a proxy."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from benchmarks.probes import certificate
from tests.testbed import Testbed
from tests.testbed.bed import TENANT, TOKEN
from tests.testbed.relay import Relay, pump

pytestmark = pytest.mark.real
NAME = "scim.example.com"
TLS_PORT, PROXY_PORT = 8443, 3128


class TlsDoor(Relay):
    """The public address: ends TLS, as a firewall in front of the balancer does."""

    def __init__(self, host: str, pem: Path) -> None:
        super().__init__(host, TLS_PORT, 8000)
        self.names: list[str | None] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        self._context.sni_callback = lambda _socket, name, _context: self.names.append(name)

    def _carry(self, client: socket.socket) -> None:
        with suppress(OSError):
            super()._carry(self._context.wrap_socket(client, server_side=True))
        client.close()


class Proxy(Relay):
    """An HTTP proxy that is asked to CONNECT, and leads to the door whatever the name."""

    def __init__(self, host: str) -> None:
        super().__init__(host, PROXY_PORT, TLS_PORT)
        self.asked: list[bytes] = []

    def _carry(self, client: socket.socket) -> None:
        self.asked.append(client.recv(65536).splitlines()[0])
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with suppress(OSError), socket.create_connection(self._to, 5) as server:
            threading.Thread(target=pump, args=(server, client), daemon=True).start()
            pump(client, server)
        client.close()


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[tuple[Testbed, TlsDoor, Proxy]]:
    with ExitStack() as stack:
        bed = stack.enter_context(Testbed(tmp_path / "bed", pair=False, load=False))
        host = bed.scim[0].host
        door, proxy = TlsDoor(host, certificate(bed.folder, NAME)), Proxy(host)
        for one in (door, proxy):
            stack.callback(one.stop)
            one.start()
        yield bed, door, proxy


def probes(bed: Testbed, **more: str) -> list[dict[str, str]]:
    host = bed.scim[0].host
    common = {"base_url": f"https://{NAME}", "interval": "500ms", "timeout": "2s", "max_outage": "3s", **more}
    door = f"{host}:{TLS_PORT}"
    return [
        {**common, "name": "direct", "connect_to": door},
        {**common, "name": "jump", "connect_to": door, "via": f"ssh://{bed.nodes[0].host}"},
        {**common, "name": "proxy", "proxy": f"http://{host}:{PROXY_PORT}"},
    ]


def test_each_way_leads_to_scim_with_its_name_its_token_and_a_certificate_that_holds(
    bed: tuple[Testbed, TlsDoor, Proxy],
) -> None:
    lab, door, proxy = bed
    lab.write_inventory(services={"scim": {"probe": probes(lab, ca_file="server.pem")}})
    result = lab.rollsafe("run", "--yes", "--nodes", "jira2")
    assert result.exit == 0, result.text
    seen = [one for event in result.events if event["type"] == "probe.samples" for one in event["probes"]]
    asked = {
        name: sum(one["probes"] for one in seen if (one["service"], one["probe"]) == ("scim", name))
        for name in ("direct", "jump", "proxy")
    }
    assert min(asked.values()) > 3, asked
    assert sum(one["failed"] for one in seen) == 0
    assert set(door.names) == {NAME}
    assert set(proxy.asked) == {f"CONNECT {NAME}:443 HTTP/1.1".encode()}
    assert TOKEN not in result.text


def test_a_certificate_that_nobody_vouches_for_refuses_the_run_before_it_touches_anything(
    bed: tuple[Testbed, TlsDoor, Proxy],
) -> None:
    lab, _, _ = bed
    lab.write_inventory(services={"scim": {"probe": probes(lab)[0]}})
    result = lab.rollsafe("run", "--yes")
    assert result.exit == 10, result.text
    assert "the certificate is not trusted" in result.finished["message"]
    assert "ca_file" in result.finished["message"]
    assert TENANT not in str([event for event in result.events if event["type"] == "write.intent"])
