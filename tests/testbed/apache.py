"""A real Apache httpd as the SCIM balancer: mod_proxy_balancer with its balancer-manager and health checks."""

import base64
import hashlib
import os
import re
import signal
import tempfile
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.testbed.haproxy import Seat
from tests.testbed.nodes import TestNode
from tests.testbed.process import Daemon, children_of, kill_quietly, program

MODULES = (
    "mpm_event authz_core authz_host auth_basic authn_core authn_file authz_user slotmem_shm "
    "proxy proxy_http proxy_balancer proxy_hcheck lbmethod_byrequests"
)

CONFIG = """
ServerName {host}
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog /dev/stderr
{user}
Listen {host}:8000
Listen {host}:9999
StartServers 1
ServerLimit 2
ThreadsPerChild 25
MaxRequestWorkers 50
ProxyHCExpr is401 {{%{{REQUEST_STATUS}} =~ /^401/}}
<Proxy balancer://scim>
{members}
</Proxy>
<VirtualHost {host}:8000>
    ServerName {host}
    ProxyPass / balancer://scim/
</VirtualHost>
<VirtualHost {host}:9999>
    ServerName {host}
    <Location /balancer-manager>
        SetHandler balancer-manager
        AuthType Basic
        AuthName manager
        AuthUserFile {folder}/users
        Require valid-user
    </Location>
</VirtualHost>
"""

USER, PASSWORD = "admin", "lb-manager-password"


class Apache:
    """One httpd. The pool is `scim`, its members are URLs; the admin API wants a password."""

    def __init__(self, folder: Path, host: str, nodes: list[TestNode], tenant: str) -> None:
        # Started as root, httpd serves as www-data, which must reach the password file: no folder of mode 0700 above.
        self._open_folder = tempfile.TemporaryDirectory(prefix="testbed-apache-")
        config, folder = folder, Path(self._open_folder.name)
        config.mkdir(parents=True)
        folder.chmod(0o755)
        self.host, self.service, self._nodes = host, "scim", nodes
        members = [
            f"    BalancerMember http://{n.host}:{n.scim} hcmethod=GET hcexpr=is401 hcinterval=1 hcpasses=1 hcfails=2 "
            f"hcuri=/scim/{tenant}/v2/Users?count=0 disablereuse=On"
            for n in nodes
        ]
        serve_as = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        loads = "\n".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so" for m in MODULES.split())
        text = CONFIG.format(host=host, folder=folder, members="\n".join(members), user=serve_as)
        (folder / "httpd.conf").write_text(loads + text)
        (folder / "users").write_text(f"{USER}:{{SHA}}{sha(PASSWORD)}\n")
        command = [program("apache2"), "-D", "FOREGROUND", "-f", str(folder / "httpd.conf")]
        self._daemon = Daemon(f"apache at {host}", command, config / "apache.log")

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:9999/balancer-manager"

    @property
    def address(self) -> str:
        return f"{self.host}:8000"

    def start(self) -> None:
        self._daemon.start()
        self._daemon.wait_for(self.answers)

    def stop(self) -> None:
        for pid in children_of(self._daemon.pid) if self._daemon.runs else []:
            kill_quietly(pid, signal.SIGTERM)
        self._daemon.stop()
        self._open_folder.cleanup()

    def hang(self) -> None:
        for pid in [self._daemon.pid, *children_of(self._daemon.pid)]:
            kill_quietly(pid, signal.SIGSTOP)

    def wake(self) -> None:
        for pid in [self._daemon.pid, *children_of(self._daemon.pid)] if self._daemon.runs else []:
            kill_quietly(pid, signal.SIGCONT)

    def reload(self) -> None:
        """A graceful restart, as logrotate does one: every drain is forgotten."""
        self._daemon.send(signal.SIGUSR1)

    def answers(self) -> bool:
        try:
            return "balancer" in self._get("")
        except OSError:
            return False

    def seats(self) -> dict[str, Seat]:
        """Every member by its node's name. Raises OSError."""
        spaces = {"h": "http://httpd.apache.org"}
        by_port = {f"{n.host}": n.name for n in self._nodes}
        found = {}
        for worker in ET.fromstring(self._get("?xml=1")).iter("{http://httpd.apache.org}worker"):
            words = (worker.findtext("h:status", "", spaces) or "").split()
            admin = "maint" if {"Dis", "Stop"} & set(words) else "drain" if "Drn" in words else "ready"
            name = by_port[worker.findtext("h:hostname", "", spaces) or ""]
            active = int(worker.findtext("h:busy", "0", spaces) or 0)
            found[name] = Seat(admin, " ".join(words), active, int(worker.findtext("h:elected", "0", spaces) or 0))
        return found

    def set_state(self, node: str, state: str) -> None:
        """What a person clicks in the balancer-manager."""
        host = next(n for n in self._nodes if n.name == node)
        nonce = re.search(r"nonce=([0-9a-f-]+)", self._get(""))
        assert nonce is not None
        fields = {"b": "scim", "w": f"http://{host.host}:{host.scim}", "nonce": nonce.group(1)}
        fields |= {"w_status_N": "1" if state == "drain" else "0", "w_status_D": "1" if state == "maint" else "0"}
        self._get("", urllib.parse.urlencode(fields).encode())
        assert self.seats()[node].admin == state

    def _get(self, query: str, body: bytes | None = None) -> str:
        manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        manager.add_password(None, self.endpoint, USER, PASSWORD)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPBasicAuthHandler(manager)
        )
        request = urllib.request.Request(self.endpoint + query, data=body, headers={"Referer": self.endpoint})
        with opener.open(request, timeout=2) as answer:
            return answer.read().decode()


def sha(password: str) -> str:
    """htpasswd's {SHA} form."""
    return base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
