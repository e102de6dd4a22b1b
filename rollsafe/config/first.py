"""A first inventory, from a few answers: short, commented, and valid before anybody sees it."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rollsafe.config.load import load_inventory
from rollsafe.config.presets import PRODUCTS
from rollsafe.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class FirstService:
    """One service: its balancer's addresses (several: an HA pair), its pool, and its address from outside."""

    endpoints: tuple[str, ...]
    pool: str
    outside: str = ""
    port: int | None = None
    username: str = ""
    tenants: tuple[str, ...] = ()
    members: Mapping[str, str] | None = None  # node: member, where the balancer's name is another


@dataclass(frozen=True, slots=True)
class First:
    """The answers. `nodes` are name: host, in the order of restarts."""

    cluster: str
    product: str
    nodes: Mapping[str, str]
    ssh_user: str
    unit: str
    services: Mapping[str, FirstService]  # scim, web


def compose(first: First) -> str:
    """The inventory as text. Raises InvalidInput where an answer makes none; its lines are those of the text."""
    text = "\n".join([*_head(first), *_balancers(first), *_services(first), *_foot()]) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "inventory.yml"
        file.write_text(text, encoding="utf-8")
        try:
            load_inventory([file])
        except InvalidInput as error:
            told = [problem.partition("inventory.yml:")[2].partition(": ")[2] for problem in error.problems]
            raise InvalidInput(
                [f"these answers make no valid inventory; nothing was written: {t}" for t in told]
            ) from None
    return text


def _head(first: First) -> list[str]:
    members: dict[str, dict[str, str]] = {}
    for service, asked in first.services.items():
        for node, member in (asked.members or {}).items():
            if member != node:
                members.setdefault(node, {})[service] = member
    unit = first.unit or PRODUCTS[first.product].unit or ""
    return [
        "# Every option is in inventory.example.yml; `rollsafe schema inventory` lets an editor complete them.",
        f"cluster: {_text(first.cluster)}              # the name in claims, journals and reports",
        f"product: {first.product}",
        "",
        "nodes:                             # in the order in which they are restarted",
        *(_node(name, host, members.get(name, {})) for name, host in first.nodes.items()),
        "",
        "ssh:                               # keys: the agent's, or what ~/.ssh/config says; or private_key: PATH",
        f"  user: {_text(first.ssh_user)}",
        "",
        "restart:",
        f"  unit: {_text(unit)}              # sudo -n systemctl restart UNIT, on each node",
        "",
    ]


def _node(name: str, host: str, members: Mapping[str, str]) -> str:
    if not members:
        return f"  {_text(name)}: {_text(host)}"
    said = ", ".join(f"{service}: {_text(member)}" for service, member in members.items())
    return f"  {_text(name)}: {{host: {_text(host)}, members: {{{said}}}}}"


def _balancers(first: First) -> list[str]:
    lines = ["balancers:"]
    for name, asked in _shared(first).items():
        lines += [
            f"  {name}:",
            f"    driver: {'apache' if asked.endpoints[0].startswith('http') else 'haproxy'}",
            "    endpoints:                     # every one of them: an HA pair has two",
            *(f"      - {_text(endpoint)}" for endpoint in asked.endpoints),
        ]
        if asked.username:
            lines += [f"    username: {_text(asked.username)}", "    password: env:BALANCER_PASSWORD"]
    return [*lines, ""]


def _shared(first: First) -> dict[str, FirstService]:
    """One balancer for both services where their addresses are the same."""
    every = {asked.endpoints for asked in first.services.values()}
    if len(every) == 1:
        return {"lb": next(iter(first.services.values()))}
    return {f"{name}-lb": asked for name, asked in first.services.items()}


def _services(first: First) -> list[str]:
    lines = ["services:                          # most critical first: drained last, put back first"]
    one = "lb" in _shared(first)
    for name, asked in first.services.items():
        lines += [f"  {name}:", f"    balancer: {'lb' if one else f'{name}-lb'}", f"    pool: {_text(asked.pool)}"]
        if asked.port is not None:
            lines.append(f"    port: {asked.port}")
        lines += _asked(first, name, asked)
    return [*lines, ""]


def _asked(first: First, name: str, asked: FirstService) -> list[str]:
    lines = []
    if name == "scim" and asked.tenants:
        lines.append("    tenants:                       # the SCIM directories; add token: env:NAME to demand a 200")
        lines += [f"      - {{id: {_text(tenant)}}}" for tenant in asked.tenants]
    elif name == "scim":
        lines.append(
            "    health: {expect: tcp}          # weak: an open port is not SCIM yet; better: tenants: [{id: …}]"
        )
    elif first.product == "other":
        lines.append("    health: {path: /}              # say what a healthy node answers")
    if asked.outside and (name != "scim" or asked.tenants):
        key = "base_url" if name == "scim" or first.product != "other" else "url"
        lines.append(f"    probe: {{{key}: {_text(asked.outside)}}}     # watched from outside for the whole run")
    return lines


def _foot() -> list[str]:
    return [
        "# policy: {healthy_for: 15s, soak: 30s, start_timeout: 30m}",
        '# window: {timezone: Europe/Oslo, open: ["Sat 02:00-05:00"]}',
    ]


def _text(text: str) -> str:
    """Plain where YAML surely reads the same; quoted otherwise."""
    plain = re.fullmatch(r"[A-Za-z/][A-Za-z0-9._/-]*(?:://[A-Za-z0-9._@:/-]+)?|\d+\.\d+\.\d+\.\d+", text)
    bare = text.lower() in ("yes", "no", "on", "off", "true", "false", "null", "y", "n")
    return text if plain and not bare and not text.endswith(":") else json.dumps(text, ensure_ascii=False)
