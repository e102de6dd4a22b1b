"""What an inventory means: presets, inheritance, overrides, merging, and the example that ships."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from rollsafe.config.explain import known_keys
from rollsafe.config.inventory import Inventory
from rollsafe.config.load import find_inventory, load_inventory
from rollsafe.errors import InvalidInput
from rollsafe.model.cluster import Cluster, Idle
from rollsafe.model.settings import Hop

TOP = Path(__file__).parents[2]

SMALL = """\
cluster: jira-prod
product: jira
nodes:
  jira1: 10.0.0.11
  jira2: 10.0.0.12
  jira3: 10.0.0.13
balancers:
  lb: {driver: haproxy, endpoints: ["tcp://10.0.0.5:9999"]}
services:
  scim: {balancer: lb, pool: scim, tenants: [{id: zbs1}]}
  web: {balancer: lb, pool: jira}
"""


def write(folder: Path, text: str, name: str = "inventory.yml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def cluster_of(folder: Path, text: str) -> Cluster:
    return load_inventory([write(folder, text)]).cluster


def test_the_example_loads_and_warns_of_nothing() -> None:
    loaded = load_inventory([TOP / "inventory.example.yml"])
    assert loaded.warnings == ()
    assert [node.name for node in loaded.cluster.live_nodes] == ["jira1", "jira2", "jira3", "jira5"]


def every_key(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[str]:
    """The keys of a model and of all models below it."""
    if model in seen:
        return set()
    seen.add(model)
    keys = set(known_keys(model, ()))
    for key in list(keys):
        for path in ((key,), (key, 0), (key, "x")):
            try:
                below = known_keys(model, path)
            except (IndexError, TypeError):
                continue
            keys |= set(below)
            for name in below:
                for more in ((*path, name), (*path, name, 0), (*path, name, "x")):
                    keys |= set(known_keys(model, more))
    return keys


def test_the_example_names_every_option() -> None:
    text = (TOP / "inventory.example.yml").read_text()
    keys = every_key(Inventory, set())
    assert len(keys) > 70
    missing = sorted(key for key in keys if f"{key}:" not in text)
    assert missing == []


def test_jira_needs_neither_health_nor_ports_nor_unit(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path, SMALL)
    first = cluster.nodes[0]
    assert first.ports == {"scim": 5501, "web": 8080}
    assert first.restart.unit == "jira.service"
    assert first.restart.sudo
    assert cluster.typical_start_s == 300
    scim, web = (service.drain for service in cluster.services)
    assert (scim.idle, scim.timeout_s) == (Idle.REQUIRED, 90)
    assert (web.idle, web.timeout_s, web.linger_s) == (Idle.PREFERRED, 300, 30)
    asked = {(c.service, c.path, c.expect.status, c.expect.scim) for c in cluster.checks if c.node == "jira1"}
    assert asked == {("scim", "/scim/zbs1/v2/Users?count=0", None, True), ("web", "/status", 200, False)}
    assert [dict(c.expect.json or {}) for c in cluster.checks if c.service == "web"] == [{"state": "RUNNING"}] * 3


@pytest.mark.parametrize(
    ("product", "port", "unit"),
    [("confluence", 8090, "confluence.service"), ("bitbucket", 7990, "bitbucket.service")],
)
def test_products_have_their_own_ports_and_units(tmp_path: Path, product: str, port: int, unit: str) -> None:
    node = cluster_of(tmp_path, SMALL.replace("product: jira", f"product: {product}")).nodes[0]
    assert (node.ports["web"], node.restart.unit) == (port, unit)


def test_the_context_path_stands_before_status(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path, SMALL + "context_path: /jira\n")
    assert {check.path for check in cluster.checks if check.service == "web"} == {"/jira/status"}


def test_ssh_is_inherited_and_overridden_key_by_key(tmp_path: Path) -> None:
    text = SMALL.replace("jira2: 10.0.0.12", "jira2: {host: 10.0.0.12, ssh: {port: 2222, private_key_data: env:K}}")
    text = text.replace('["tcp://10.0.0.5:9999"]', '["ssh://lb1:2022/run/a.sock"], ssh: {user: haproxy}')
    text += "ssh: {user: ops, private_key: keys/id, jump: [me@bastion:22, inner], connect_timeout: 3s}\n"
    cluster = cluster_of(tmp_path, text)
    one, two = cluster.nodes[0].ssh, cluster.nodes[1].ssh
    assert (one.host, one.port, one.user, one.private_key) == ("10.0.0.11", None, "ops", str(tmp_path / "keys/id"))
    assert one.jump == (Hop("bastion", 22, "me"), Hop("inner", None, None))
    assert (two.port, two.private_key, two.connect_timeout_s) == (2222, None, 3)
    assert two.private_key_data is not None
    endpoint = cluster.balancers[0].endpoints[0]
    assert endpoint.ssh is not None
    assert (endpoint.url, endpoint.ssh.host, endpoint.ssh.port) == ("ssh://lb1:2022/run/a.sock", "lb1", 2022)
    assert (endpoint.ssh.user, endpoint.ssh.private_key) == ("haproxy", str(tmp_path / "keys/id"))


def test_a_url_never_keeps_its_password(tmp_path: Path) -> None:
    text = SMALL.replace(
        '{driver: haproxy, endpoints: ["tcp://10.0.0.5:9999"]}',
        '{driver: apache, endpoints: "https://admin:hunter2@lb/balancer-manager", via: ssh://ops@gate:2222}',
    )
    loaded = load_inventory([write(tmp_path, text)])
    endpoint = loaded.cluster.balancers[0].endpoints[0]
    assert (endpoint.url, endpoint.username) == ("https://lb/balancer-manager", "admin")
    assert endpoint.password is not None
    assert endpoint.password.reveal() == "hunter2"
    assert endpoint.via is not None
    assert (endpoint.via.host, endpoint.via.port, endpoint.via.user) == ("gate", 2222, "ops")
    assert "hunter2" not in repr(loaded)
    assert any("literal secret" in warning for warning in loaded.warnings)


def test_tenants_make_one_probe_each(tmp_path: Path) -> None:
    text = SMALL.replace(
        "tenants: [{id: zbs1}]",
        "tenants: [{id: zbs1, token: env:T}, zbs2], probe: {base_url: https://scim.example.com/, budget: okta}",
    )
    probes = cluster_of(tmp_path, text).probes
    assert [(p.name, p.url) for p in probes] == [
        ("zbs1", "https://scim.example.com/scim/zbs1/v2/Users?count=0"),
        ("zbs2", "https://scim.example.com/scim/zbs2/v2/Users?count=0"),
    ]
    assert all(p.expect.scim for p in probes)
    assert [p.token is not None for p in probes] == [True, False]
    assert (probes[0].max_outage_s, probes[0].max_failures) == (10, 2)


def test_a_key_wins_over_the_budget(tmp_path: Path) -> None:
    probe = "{url: https://jira.example.com/status, budget: entra, max_outage: 20s, hold_outage: 1500ms}"
    made = cluster_of(tmp_path, SMALL.replace("pool: jira}", f"pool: jira, probe: {probe}}}")).probes[0]
    assert (made.max_outage_s, made.hold_outage_s, made.max_failures_in_a_row) == (20, 1.5, 10)


def test_a_hard_limit_that_is_named_is_no_shorter_than_the_preset_s_soft_one(tmp_path: Path) -> None:
    probe = "{url: https://jira.example.com/status, budget: entra, max_outage: 10s}"
    made = cluster_of(tmp_path, SMALL.replace("pool: jira}", f"pool: jira, probe: {probe}}}")).probes[0]
    assert (made.max_outage_s, made.hold_outage_s) == (10, 10), "entra's own is 15 s"
    named = probe.replace("10s", "10s, hold_outage: 11s")
    text = SMALL.replace("pool: jira}", f"pool: jira, probe: {named}}}")
    with pytest.raises(InvalidInput, match=r"hold_outage: hold_outage must not be longer than max_outage"):
        cluster_of(tmp_path, text)


@pytest.mark.parametrize(
    ("words", "most"),
    [("", None), (", budget: okta", None), (", budget: entra", 0), (", budget: entra, max_rejections: 3", 3)],
)
def test_how_many_answers_may_tell_an_identity_provider_to_give_up(
    tmp_path: Path, words: str, most: int | None
) -> None:
    probe = f"{{url: https://jira.example.com/status{words}}}"
    made = cluster_of(tmp_path, SMALL.replace("pool: jira}", f"pool: jira, probe: {probe}}}")).probes[0]
    assert made.max_rejections == most


def test_health_may_go_through_the_node_itself(tmp_path: Path) -> None:
    health = "[{path: /status, via: ssh, token: env:T, scheme: https, port: 8443}, {expect: tcp}]"
    checks = cluster_of(tmp_path, SMALL.replace("pool: jira}", f"pool: jira, health: {health}}}")).checks
    first, second = [check for check in checks if (check.service, check.node) == ("web", "jira2")]
    assert first.via is not None
    assert (first.via.host, first.host, first.port, first.scheme) == ("10.0.0.12", "10.0.0.12", 8443, "https")
    assert (second.path, second.via, second.port) == (None, None, 8080)


def test_an_excluded_node_is_not_checked(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path, SMALL.replace("jira3: 10.0.0.13", "jira3: {host: 10.0.0.13, excluded: CHG1}"))
    assert [node.name for node in cluster.live_nodes] == ["jira1", "jira2"]
    assert {check.node for check in cluster.checks} == {"jira1", "jira2"}


def test_nodes_and_services_as_lists_keep_their_order_and_lines(tmp_path: Path) -> None:
    text = (
        "cluster: c\nproduct: jira\nbalancers: {lb: {driver: haproxy, endpoints: unix:///run/h.sock}}\n"
        "nodes:\n- {name: b, host: 10.0.0.2}\n- {name: a, host: 10.0.0.1}\n"
        "services:\n- {name: web, balancer: lb, pool: [http, ssh]}\n"
    )
    cluster = cluster_of(tmp_path, text)
    assert [node.name for node in cluster.nodes] == ["b", "a"]
    assert cluster.services[0].pools == ("http", "ssh")
    with pytest.raises(InvalidInput, match=r":6: nodes\.a\.hots: is not known"):
        cluster_of(tmp_path, text.replace("a, host", "a, hots"))


def test_the_later_file_wins_and_its_paths_start_at_itself(tmp_path: Path) -> None:
    base = write(tmp_path, SMALL + "ssh: {user: ops, private_key: a.key}\npolicy: {soak: 1m, poll: 2s}\n", "base.yml")
    text = (
        "ssh: {known_hosts: hosts}\npolicy: {soak: 5s}\nnodes: {jira2: {host: 10.0.0.99}, jira4: 10.0.0.14}\n"
        "services: {web: {probe: {url: https://j/status}}}\n"
    )
    over = write(tmp_path, text, "prod/over.yml")
    cluster = load_inventory([base, over]).cluster
    ssh = cluster.nodes[1].ssh
    assert (ssh.host, ssh.user) == ("10.0.0.99", "ops")
    assert (ssh.private_key, ssh.known_hosts) == (str(tmp_path / "a.key"), str(tmp_path / "prod/hosts"))
    assert (cluster.policy.soak_s, cluster.policy.poll_s) == (5, 2)
    assert [node.name for node in cluster.nodes] == ["jira1", "jira2", "jira3", "jira4"]


def test_a_mistake_is_told_in_the_file_that_won(tmp_path: Path) -> None:
    base = write(tmp_path, SMALL + "policy: {soak: 1m, poll: 2s}\n", "base.yml")
    over = write(tmp_path, "# over\npolicy:\n  soak: 30\n", "over.yml")
    with pytest.raises(InvalidInput) as caught:
        load_inventory([base, over])
    assert caught.value.problems == [f'{over}:3: policy.soak: 30 names no unit: write "30s", "30m" or "30ms"']


def test_an_empty_value_takes_back_what_an_earlier_file_said(tmp_path: Path) -> None:
    base = write(tmp_path, SMALL + "window: {timezone: Europe/Oslo, open: daily 01:00-03:00}\n", "base.yml")
    over = write(tmp_path, "window:\n", "over.yml")
    assert load_inventory([base]).cluster.window is not None
    assert load_inventory([base, over]).cluster.window is None


def test_windows_become_what_the_planner_reads(tmp_path: Path) -> None:
    text = 'window: {timezone: Europe/Oslo, open: ["fri-Sun 2:00-05:00"], blackouts: ["2026-12-24"]}\n'
    window = cluster_of(tmp_path, SMALL + text).window
    assert window is not None
    assert window.open == ("Fri 02:00-05:00", "Sat 02:00-05:00", "Sun 02:00-05:00")
    assert window.blackouts == ("2026-12-24/2026-12-24",)


def test_anchors_live_below_x_keys_and_merge(tmp_path: Path) -> None:
    text = "x-a: &a {port: 2022, user: anna}\nssh: {<<: *a, user: ops}\n" + SMALL
    ssh = cluster_of(tmp_path, text).nodes[0].ssh
    assert (ssh.port, ssh.user) == (2022, "ops")


def test_the_inventory_is_found_by_option_then_variable_then_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROLLSAFE_INVENTORY", raising=False)
    with pytest.raises(InvalidInput, match="rollsafe init"):
        find_inventory()
    write(tmp_path, SMALL)
    assert find_inventory() == (Path("inventory.yml"),)
    monkeypatch.setenv("ROLLSAFE_INVENTORY", "other.yml")
    assert find_inventory() == (Path("other.yml"),)
    assert find_inventory([Path("a.yml"), Path("b.yml")]) == (Path("a.yml"), Path("b.yml"))


def test_every_field_is_described() -> None:
    def walk(model: Any, path: tuple[str | int, ...]) -> list[str]:
        fields = known_keys(model, path)
        lacking = [".".join(map(str, (*path, key))) for key, field in fields.items() if not field.description]
        for key in fields if len(path) < 6 else ():
            for below in ((), (0,), ("x",)):
                try:
                    lacking += walk(model, (*path, key, *below))
                except (IndexError, TypeError):
                    continue
        return lacking

    assert walk(Inventory, ()) == []
