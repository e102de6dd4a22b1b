"""The files that the lab writes for others to read: inventory, haproxy.cfg, the nodes' scripts, ssh_config."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

TENANT = "zbs848185728"
SCIM_CHECK = f"/scim/{TENANT}/v2/Users?count=0"


@dataclass(frozen=True)
class NodePlace:
    """One node: its ports and its folder."""

    name: str
    web_port: int
    scim_port: int
    ssh_port: int
    folder: Path


@dataclass(frozen=True)
class BalancerPlace:
    """One balancer: its pool, its ports and its folder."""

    name: str
    pool: str
    port: int
    admin_port: int
    folder: Path


@dataclass(frozen=True)
class Places:
    """Where everything is. All addresses are `host`."""

    folder: Path
    host: str
    user: str
    nodes: tuple[NodePlace, ...]
    scim: BalancerPlace
    web: BalancerPlace

    @property
    def scim_url(self) -> str:
        """The identity provider's base address."""
        return f"http://{self.host}:{self.scim.port}/scim/{TENANT}/v2"

    @property
    def web_url(self) -> str:
        """The people's address."""
        return f"http://{self.host}:{self.web.port}"


def inventory(places: Places, start_timeout: str) -> str:
    """The cluster as an operator would describe it, with limits that are short enough to watch."""
    quoted = json.dumps  # a JSON string is a YAML string
    folder = places.folder
    nodes = "\n".join(_inventory_node(places.host, node) for node in places.nodes)
    return f"""\
# The lab's cluster. It lives only as long as the lab; the limits are short, so that a roll can be watched.
cluster: lab
product: jira
nodes:
{nodes}
ssh:
  user: {quoted(places.user)}
  private_key: {quoted(str(folder / "ssh" / "user_key"))}
  known_hosts: {quoted(str(folder / "ssh" / "known_hosts"))}
  connect_timeout: 5s
balancers:
  scim-lb:
    driver: haproxy
    endpoints: ["tcp://{places.host}:{places.scim.admin_port}"]
  web-lb:
    driver: haproxy
    endpoints: ["tcp://{places.host}:{places.web.admin_port}"]
services:
  scim:
    balancer: scim-lb
    pool: {places.scim.pool}
    tenants:
      - {{id: {TENANT}, token: {quoted(f"file:{folder / 'scim.token'}")}}}
    drain: {{idle: required, timeout: 5s}}
    probe: {{base_url: "http://{places.host}:{places.scim.port}", interval: 250ms, timeout: 2s, max_outage: 5s}}
  web:
    balancer: web-lb
    pool: {places.web.pool}
    drain: {{idle: preferred, timeout: 1500ms, linger: 3s}}
    probe:
      url: {places.web_url}/status
      status: 200
      json: {{state: RUNNING}}
      interval: 250ms
      timeout: 2s
      max_outage: 5s
policy:
  healthy_for: 1s
  soak: 1s
  start_timeout: {start_timeout}
  gate_timeout: 5s
  put_back_timeout: 6s
  poll: 250ms
claim_dir: {quoted(str(folder / "claims"))}
state: {quoted(f"sqlite:///{folder / 'state.db'}")}
"""


def _inventory_node(host: str, node: NodePlace) -> str:
    return f"""\
  {node.name}:
    host: {host}
    ports: {{scim: {node.scim_port}, web: {node.web_port}}}
    ssh: {{port: {node.ssh_port}}}
    restart:
      command: {json.dumps(shlex.quote(str(node.folder / "restart.sh")))}
      identity: {json.dumps("cat " + shlex.quote(str(node.folder / "node.id")))}
      sudo: false
      timeout: 20s"""


def haproxy_cfg(places: Places, place: BalancerPlace) -> str:
    """The same balancer for the real program: HAProxy 2.6 or newer."""
    web = place is places.web
    # The check of the web must read the body (STARTING is a 200, too); SCIM without a token answers 401 when it lives.
    rule = "string RUNNING" if web else "status 401"
    servers = "\n".join(
        f"  server {node.name} {places.host}:{node.web_port if web else node.scim_port}"
        + (f" cookie {node.name}" if web else "")
        for node in places.nodes
    )
    return f"""\
global
  stats socket ipv4@{places.host}:{place.admin_port} level admin
  maxconn 500
defaults
  mode http
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  timeout check 2s
  retries 3
  option redispatch 1
  option forwardfor
frontend {place.pool}-in
  bind {places.host}:{place.port}
  default_backend {place.pool}
backend {place.pool}
  balance roundrobin
  {"cookie SRV insert indirect nocache" if web else "# no cookie: SCIM knows no sessions"}
  option httpchk GET {"/status" if web else SCIM_CHECK}
  http-check expect {rule}
  default-server check inter 300ms fall 2 rise 2
{servers}
"""


def start_script(python: str, package_root: Path) -> str:
    """Starts the node's process in a session of its own, and waits until it has written its identity."""
    return f"""\
#!/bin/sh
# Starts this node. Arguments go to the node's process.
cd "$(dirname "$0")" || exit 1
rm -f node.id node.pid
own=$(command -v setsid || command -v nohup)
PYTHONPATH={shlex.quote(str(package_root))} "$own" {shlex.quote(python)} -m rollsafe.lab.node . "$@" \\
  </dev/null >>node.log 2>&1 &
n=0
until [ -e node.id ]; do
  n=$((n + 1))
  [ "$n" -le 100 ] || {{ echo "start.sh: the node did not start within 10 s; see node.log" >&2; exit 1; }}
  sleep 0.1
done
"""


def restart_script(name: str) -> str:
    """Stops the node as hard as an init script does (what is in flight is cut), and starts it."""
    return f"""\
#!/bin/sh
# Restarts {name}.
cd "$(dirname "$0")" || exit 1
if [ "$(cat fault 2>/dev/null)" = restart-fails ]; then
  echo "restart.sh: {name} could not be stopped: the service manager does not answer" >&2
  exit 1
fi
pid=$(cat node.pid 2>/dev/null)
if [ -n "$pid" ] && kill "$pid" 2>/dev/null; then
  n=0
  while [ -e node.pid ] && [ "$n" -lt 50 ]; do
    n=$((n + 1))
    sleep 0.1
  done
  [ -e node.pid ] && kill -9 "$pid"
fi
exec ./start.sh
"""


def ssh_config(places: Places) -> str:
    """For `ssh -F FILE jira1`."""
    return "".join(
        f"Host {node.name}\n"
        f"  HostName {places.host}\n"
        f"  Port {node.ssh_port}\n"
        f"  User {places.user}\n"
        f'  IdentityFile "{places.folder / "ssh" / "user_key"}"\n'
        "  IdentitiesOnly yes\n"
        f'  UserKnownHostsFile "{places.folder / "ssh" / "known_hosts"}"\n'
        for node in places.nodes
    )
