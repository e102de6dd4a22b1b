"""What people get wrong: each mistake is told once, with its line and what is allowed; all of them at once."""
# ruff: noqa: E501 - in the tables one row is one mistake

import re
import time
from pathlib import Path

import pytest

from rollsafe.config.load import load_inventory
from rollsafe.drivers.balancers import make_balancer
from rollsafe.errors import InvalidInput
from tests.config.test_inventory import SMALL, write


def problems_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        load_inventory([write(folder, text)])
    return [problem.removeprefix(f"{folder}/inventory.yml:") for problem in caught.value.problems]


TRAPS = {
    "a duplicate key": (SMALL + "product: jira\n", '12: the key "product" is here twice (first on line 2): keep one'),
    "a duplicate node": (
        SMALL.replace("jira2:", "jira1:"),
        '5: nodes: the key "jira1" is here twice (first on line 4): keep one',
    ),
    "a tab": (SMALL.replace("  jira1", "\tjira1"), "4: is indented with a tab: YAML indents with spaces only"),
    "a node called no": (
        SMALL.replace("jira2:", "no:"),
        '5: nodes.no: a bare no means a boolean to YAML: write "no" in quotes',
    ),
    "a list": ("- a\n", "1: the file holds a list, but a map of `key: value` is wanted"),
    "a text": ("hello\n", "1: the file holds text, but a map of `key: value` is wanted"),
    "nothing": ("# only this\n", "1: the file is empty: `rollsafe init` writes a first inventory"),
    "two documents": (SMALL + "---\na: 1\n", "12: a second document begins here (`---`): one file holds one document"),
    "deep nesting": ("a: " + "[" * 10_000, "1: is nested more than 30 levels deep: no inventory needs that"),
    "deep indentation": (
        "".join(" " * n + "a:\n" for n in range(500)),
        "30: is nested more than 30 levels deep: no inventory needs that",
    ),
    "too many values": ("a:\n" + "- 1\n" * 30_000, "20000: more than 20000 values: no inventory needs that many"),
    "a cycle": ("a: &a [*a]\n", "1: anchors unfold into more than 20000 values, or into themselves: no inventory needs that"),
    "a Python object": (SMALL + "x-a: !!python/object:os.system {}\n", "12: x-a: has a tag, which is not known here: write the plain value (a text that begins with ! needs quotes)"),
    "a control character": ("a: \x00\n", "1: holds a control character (#x00): remove it"),
    "an unknown alias": ("a: *b\n", "1: names an anchor that is not there (a text that begins with * needs quotes)"),
    "an alias that is a secret": ("a: {token: *hunter2}\n", "1: names an anchor that is not there (a text that begins with * needs quotes)"),
    "a tag that is a secret": (SMALL + "x-a:\n  token: !hunter2\n", "13: x-a.token: has a tag, which is not known here: write the plain value (a text that begins with ! needs quotes)"),
    "a handle that is a secret": ("a:\n  token: !hunter2!x y\n", "2: is not YAML: found undefined tag handle '…'"),
    "null": ("null\n", "1: the file is empty: `rollsafe init` writes a first inventory"),
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_of_yaml_is_one_clear_error(tmp_path: Path, trap: str) -> None:
    text, sentence = TRAPS[trap]
    assert problems_of(tmp_path, text) == [sentence]
    assert "hunter2" not in sentence


def test_an_anchor_bomb_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 25)]
    began = time.monotonic()
    told = problems_of(tmp_path, "\n".join(lines))
    assert time.monotonic() - began < 5
    assert len(told) == 1
    assert "anchors unfold into more than 20000 values" in told[0]


def test_a_merge_bomb_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 {k: {x: 1, y: 2}}"]
    lines += [f"a{n}: &a{n} {{l{n}: *a{n - 1}, m{n}: *a{n - 1}, <<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 20)]
    began = time.monotonic()
    assert len(problems_of(tmp_path, "\n".join(lines))) == 1
    assert time.monotonic() - began < 10


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "inventory.yml"
    with file.open("wb") as stream:
        stream.truncate(100 << 20)  # sparse
    with pytest.raises(InvalidInput, match=r"has 104857600 bytes; more than 1048576 are not read"):
        load_inventory([file])


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        load_inventory([tmp_path / "none.yml"])
    with pytest.raises(InvalidInput, match="is a folder"):
        load_inventory([tmp_path])
    with pytest.raises(InvalidInput, match="not a regular file"):
        load_inventory([Path("/dev/null")])


def test_other_encodings_are_told_by_line(tmp_path: Path) -> None:
    file = tmp_path / "inventory.yml"
    file.write_bytes(b"cluster: a\nproduct: \xe6\n")
    with pytest.raises(InvalidInput, match=r"inventory.yml:2: is not UTF-8"):
        load_inventory([file])


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "inventory.yml"
    file.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert load_inventory([file]).cluster.name == "jira-prod"


ONE_MISTAKE = {
    "unknown key": ("product: jira", "product: jira\npolicey: {}", '3: policey: is not known here; did you mean "policy"?'),
    "unknown product": ("product: jira", "product: jria", '2: product: "jria" is not known; allowed: jira, confluence, bitbucket or other; did you mean "jira"?'),
    "cluster with a space": ("jira-prod", "jira prod", '1: cluster: the name "jira prod" must begin with'),
    "boolean for text": ("10.0.0.12", "yes", "5: nodes.jira2.host: must be text, but a bare yes"),
    "number for text": ("pool: jira", "pool: 12", "11: services.web.pool: must be text, but it is a number: write it in quotes"),
    "octal port": ("pool: jira", "pool: jira, port: 08080", "11: services.web.port: must be a whole number, not text (without quotes or a leading zero)"),
    "port out of range": ("pool: jira", "pool: jira, port: 80800", "11: services.web.port: must be less than or equal to 65535"),
    "sexagesimal": ("pool: jira", "pool: jira, port: 12:30", "11: services.web.port: must be a whole number, not text"),
    "bare duration": ("product: jira", "product: jira\npolicy: {soak: 30}", '3: policy.soak: 30 names no unit: write "30s", "30m" or "30ms"'),
    "odd duration": ("product: jira", "product: jira\npolicy: {soak: 5 min}", '3: policy.soak: "5 min" is no duration: write'),
    "empty value": ("product: jira", "product: jira\npolicy: {soak: }", "3: policy.soak: has no value: give one, or remove the line"),
    "missing host": ("jira2: 10.0.0.12", "jira2: {ssh: {port: 22}}", "5: nodes.jira2.host: is missing: name or IP address of the machine"),
    "IP address with a port": ("10.0.0.12", '"127.77.1.12:2222"', '5: nodes.jira2.host: "127.77.1.12:2222" is no host: write a name or an IP address, without a scheme, port'),
    "claim_dir that is relative": ("product: jira", "product: jira\nclaim_dir: var/tmp", "3: claim_dir: must be a path that begins with /"),
    "context_path that is relative": ("product: jira", "product: jira\ncontext_path: jira", "3: context_path: must be a path that begins with /, without a blank, ? or #"),
    "health that is relative": ("pool: jira", "pool: jira, health: {path: status}", "11: services.web.health.path: must be a path that begins with /"),
    "host with a port": ("10.0.0.12", "10.0.0.12:80/x", '5: nodes.jira2.host: "10.0.0.12:80/x" is no host'),

    "no such balancer": ("{balancer: lb, pool: jira}", "{balancer: lbb, pool: jira}", '11: services.web.balancer: "lbb" is not among the balancers (lb); did you mean "lb"?'),
    "driver of later": ("driver: haproxy", "driver: f5", '8: balancers.lb.driver: "f5" is not part of this version yet; it has haproxy or apache'),
    "unknown driver": ("driver: haproxy", "driver: haprox", 'did you mean "haproxy"?'),
    "wrong scheme": ("tcp://10.0.0.5:9999", "http://10.0.0.5:9999", '8: balancers.lb.endpoints[0]: "http://10.0.0.5:9999" is no address for haproxy: write tcp://host:port'),
    "no port": ("tcp://10.0.0.5:9999", "tcp://10.0.0.5", '"tcp://10.0.0.5" has no port for haproxy'),
    "host with an empty part": ("tcp://10.0.0.5:9999", "tcp://lb1..example.com:9999", '8: balancers.lb.endpoints[0]: "tcp://lb1..example.com:9999" holds no host that can be (two dots'),
    "host with a long part": ("tcp://10.0.0.5:9999", f"tcp://{'x' * 64}.example.com:9999", "holds no host that can be"),
    "node with an empty part": ("10.0.0.12", "jira2..example.com", '5: nodes.jira2.host: "jira2..example.com" is no host'),
    "probe with an empty part": ("pool: jira", "pool: jira, probe: {url: 'https://jira..example.com/'}", '11: services.web.probe.url: "https://jira..example.com/" is no address'),
    "port 0": ("tcp://10.0.0.5:9999", "tcp://10.0.0.5:0", '"tcp://10.0.0.5:0" has no port for haproxy'),
    "manager with a query": ('driver: haproxy, endpoints: ["tcp://10.0.0.5:9999"]', 'driver: apache, endpoints: ["http://10.0.0.5/balancer-manager?key=hunter2"]', '8: balancers.lb.endpoints[0]: "http://10.0.0.5/balancer-manager?…" goes on after a ? or #, where an address ends, for apache: write https://host/balancer-manager'),
    "socket with a query": ("tcp://10.0.0.5:9999", "unix:///run/a.sock?x=1", '"unix:///run/a.sock?…" goes on after a ? or #'),
    "twin endpoints": ('"tcp://10.0.0.5:9999"', '"tcp://10.0.0.5:9999", "tcp://10.0.0.5:9999"', "8: balancers.lb.endpoints[1]: tcp://10.0.0.5:9999 is here twice"),
    "twin hosts": ("10.0.0.12", "10.0.0.11", "5: nodes.jira2.host: 10.0.0.11:5501 is \"jira1\"'s scim too"),
    "one pool, two services": ("pool: jira", "pool: scim", '11: services.web.pool: the pool "scim" of lb is the service "scim"\'s too'),
    "min_ready of nonsense": ("pool: jira", "pool: jira, min_ready: most", '11: services.web.min_ready: "most" is not known: write "all-others"'),
    "min_ready too high": ("pool: jira", "pool: jira, min_ready: 3", "11: services.web.min_ready: 3 asks for 3 members while one is out, but there are 2 others"),
    "scim without tenants": (", tenants: [{id: zbs1}]", "", "10: services.scim.tenants: is missing, and so is health: list the SCIM directories"),
    "unknown service of a node": ("jira2: 10.0.0.12", "jira2: {host: 10.0.0.12, ports: {wbe: 1}}", '5: nodes.jira2.ports.wbe: is no service here (scim or web); did you mean "web"?'),
    "one member for two nodes": ("10.0.0.11\n  jira2: 10.0.0.12", "{host: 10.0.0.11, members: {web: a}}\n  jira2: {host: 10.0.0.12, members: {web: a}}", '5: nodes.jira2.members.web: "a" is "jira1"\'s member of web too: each node has its own'),
    "unit and command": ("product: jira", "product: jira\nrestart: {unit: a, command: b, identity: c}", "3: restart.command: unit says it too: keep one of them"),
    "command without proof": ("product: jira", "product: jira\nrestart: {command: b}", '3: restart.command: needs "identity"'),
    "unknown time zone": ("product: jira", "product: jira\nwindow: {timezone: Europe/Olso}", 'did you mean "Europe/Oslo"?'),
    "unknown day": ("product: jira", 'product: jira\nwindow: {timezone: UTC, open: ["Sta 02:00-03:00"]}', '3: window.open[0]: "Sta 02:00-03:00" names no day'),
    "blackout reversed": ("product: jira", 'product: jira\nwindow: {timezone: UTC, blackouts: ["2026-12-20/2026-12-01"]}', "the earlier day first"),
    "via of nonsense": ("tcp://10.0.0.5:9999\"]", 'tcp://10.0.0.5:9999"], via: lb3', '8: balancers.lb.via: "lb3" is no host to go through: write ssh://[user@]host[:port]'),
    "probe without url": ("pool: jira", "pool: jira, probe: {interval: 1s}", "11: services.web.probe.url: is missing, and so is base_url"),
    "probe of nothing": ("pool: jira", "pool: jira, probe: {}", "11: services.web.probe.url: is missing, and so is base_url"),
    "second of two probes without url": ("pool: jira", "pool: jira, probe: [{url: https://x}, {interval: 1s}]", "11: services.web.probe[1].url: is missing"),
    "no cluster": ("cluster: jira-prod\n", "", "1: cluster: is missing: the name in claims, journals and reports"),
    "no pool": (", pool: jira", "", "11: services.web.pool: is missing: "),
    "endpoint without url": ('["tcp://10.0.0.5:9999"]', "[{timeout: 2s}]", "8: balancers.lb.endpoints[0].url: is missing: the address"),
    "port without preset": ("web: {", "ssh: {health: {path: /}, ", "11: services.ssh.port: is missing: there is no preset for it"),
    "health that asks for nothing": ("pool: jira", "pool: jira, health: {status: 200}", "11: services.web.health.path: is missing: name what to ask for"),
    "health with a misspelt path": ("pool: jira", "pool: jira, health: {pth: /}", '11: services.web.health.pth: is not known here; did you mean "path"?'),
    "probe of another scheme": ("pool: jira", "pool: jira, probe: {url: ftp://x}", '11: services.web.probe.url: "ftp://x" is no address: write https://host/path'),
    "secret in a header": ("pool: jira", "pool: jira, health: {path: /, headers: {Authorization: Bearer x}}", "11: services.web.health.headers.Authorization: holds a secret"),
    "member of one name": ("pool: jira", "pool: jira, member: jira", '11: services.web.member: "jira" names the same member for every node'),
    "unknown literal": ("pool: jira", "pool: jira, drain: {idle: requierd}", '11: services.web.drain.idle: "requierd" is not known; allowed: required or preferred; did you mean "required"?'),
    "password in state": ("product: jira", "product: jira\nstate: postgresql://me:hunter2@db/x", '3: state: "postgresql" is not part of this version yet: name a file, such as sqlite:////var/lib/'),
    "state of later": ("product: jira", "product: jira\nstate: postgresql+psycopg://db/x", '3: state: "postgresql" is not part of this version yet'),
    "state without a file": ("product: jira", "product: jira\nstate: 'sqlite:///'", '3: state: "sqlite:///" is no store: name a file, such as sqlite:////'),
    "state of nonsense": ("product: jira", "product: jira\nstate: mysql://me:hunter2@db/x", ' is no store: name a file'),
    "options of haproxy": ("driver: haproxy", "driver: haproxy, options: {a: 1}", "8: balancers.lb.options: the haproxy driver has no options"),
    "jump with a password": ("product: jira", "product: jira\nssh: {jump: 'a:hunter2@b'}", '3: ssh.jump: "a:…@b" is no jump host'),
    "an escape sequence": ("pool: jira", 'pool: jira, "a\\e[2J\\nb": 1', "11: services.web.a\\x1b[2J\\nb: is not known here"),
    "jump of nonsense": ("product: jira", "product: jira\nssh: {jump: 'a b'}", '3: ssh.jump: "a b" is no jump host'),
}  # fmt: skip


@pytest.mark.parametrize("mistake", ONE_MISTAKE)
def test_a_mistake_is_told_once_with_its_line(tmp_path: Path, mistake: str) -> None:
    old, new, sentence = ONE_MISTAKE[mistake]
    assert old in SMALL
    told = problems_of(tmp_path, SMALL.replace(old, new, 1))
    assert len(told) == 1, told
    assert sentence in told[0]
    assert re.match(r"\d+: ", told[0])
    assert "hunter2" not in told[0]


def test_all_that_a_product_without_presets_lacks_is_told_by_its_full_name(tmp_path: Path) -> None:
    assert problems_of(tmp_path, SMALL.replace("product: jira", "product: other")) == [
        "1: restart: is missing: say how, such as restart: {unit: app.service}",
        "11: services.web.port: is missing: there is no preset for it",
        "11: services.web.health: is missing: say what a healthy node answers, such as {path: /status}",
    ]


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    text = """\
cluster: a b
product: jria
nodse: {}
nodes:
  jira1: 10.0.0.11
  jira2: {host: no}
  jira3: {host: 10.0.0.13, prots: {web: 1}}
balancers:
  lb: {driver: haprox, endpoints: "lb:9999"}
services:
  scim: {balancer: lb, pool: scim, helth: 1}
  web: {balancer: lbb, pool: jira}
policy: {poll: 0s}
window: {timezone: Mars}
"""
    lines = [int(problem.partition(":")[0]) for problem in problems_of(tmp_path, text)]
    assert lines == [1, 2, 3, 6, 7, 9, 11, 12, 13, 14]


LIST = """\
cluster: jira-prod
product: jira
nodes:
  - {name: jira1, host: 10.0.0.11}
  - {name: jira1, host: 10.0.0.12}
  - {nam: jira3, host: 10.0.0.13, prots: {web: 1}}
  - {host: 10.0.0.14, shs: {}}
  - 10.0.0.15
balancers:
  lb: {driver: haproxy, endpoints: ["tcp://10.0.0.5:9999"]}
services:
  - {name: web, balancer: lbx, pool: jira, min_ready: 4}
"""

BESIDE = {
    "a name that is a boolean": (
        SMALL.replace("jira2:", "no:").replace("jira3: 10.0.0.13", "jira3: {host: a, prots: {}}").replace("lb,", "lbx,", 1),
        ['5: nodes.no: a bare no means a boolean to YAML: write "no" in quotes',
         '6: nodes.jira3.prots: is not known here; did you mean "ports"?',
         '10: services.scim.balancer: "lbx" is not among the balancers (lb); did you mean "lb"?'],
    ),
    "a name that is a boolean, and a number that can't be met": (
        SMALL.replace("jira2:", "no:").replace("pool: jira", "pool: jira, min_ready: 3"),
        ['5: nodes.no: a bare no means a boolean to YAML: write "no" in quotes',
         "11: services.web.min_ready: 3 asks for 3 members while one is out, but there are 2 others"],
    ),
    "names of a list, none of which is as it should be": (
        LIST,
        ['5: nodes[1]: the name "jira1" is here twice: keep one',
         '6: nodes[2]: has no name: nam is not known here; did you mean "name"?',
         '6: nodes.jira3.prots: is not known here; did you mean "ports"?',
         "7: nodes[3]: each of these has a name: `- name: …` (or write `nodes` as a map)",
         '7: nodes[3].shs: is not known here; did you mean "ssh"?',
         "8: nodes[4]: each of these has a name: `- name: …` (or write `nodes` as a map)",
         '12: services.web.balancer: "lbx" is not among the balancers (lb); did you mean "lb"?'],
    ),
    "a key that is here twice, and one that is none": (
        SMALL.replace("pool: jira", "pool: jira, pool: x, {a: 1}: 2, porrt: 1") + "product: jira\n",
        ['11: services.web: the key "pool" is here twice (first on line 11): keep one',
         "11: services.web: a map or list can't be a key (text that begins with `{` or `[` needs quotes)",
         '11: services.web.porrt: is not known here; did you mean "port"?',
         '12: the key "product" is here twice (first on line 2): keep one'],
    ),
    "a service that is here twice: what goes by its name is not judged": (
        SMALL.replace("  web: {", "  scim: {").replace("jira2: 10.0.0.12", "jira2: {host: a b, ports: {web: 1}}"),
        ['5: nodes.jira2.host: "a b" is no host: write a name or an IP address, without a scheme, port',
         '11: services: the key "scim" is here twice (first on line 10): keep one'],
    ),
    "a tag": (
        SMALL.replace("pool: jira", "pool: jira, port: !x 80") + "policey: {}\n",
        ["11: services.web.port: has a tag, which is not known here: write the plain value",
         '12: policey: is not known here; did you mean "policy"?'],
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", BESIDE)
def test_a_mistake_in_the_names_hides_no_other(tmp_path: Path, mistake: str) -> None:
    text, sentences = BESIDE[mistake]
    told = problems_of(tmp_path, text)
    assert [line[: len(sentence)] for line, sentence in zip(told, sentences, strict=True)] == sentences


def test_the_problems_of_every_file_come_at_once(tmp_path: Path) -> None:
    first, second = write(tmp_path, "a: 1\na: 2\n", "a.yml"), write(tmp_path, "- x\n", "b.yml")
    with pytest.raises(InvalidInput) as caught:
        load_inventory([first, second, tmp_path / "c.yml"])
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("  jira2: 10.0.0.12\n  jira3: 10.0.0.13\n", "", "one node alone can't stay reachable"),
        (
            "pool: jira",
            "pool: jira, min_ready: 0",
            "0 is taken as 1: nobody makes an outage unless run is given --accept-outage",
        ),
        ("tenants: [{id: zbs1}]", "tenants: [{id: zbs1, token: hunter2}]", "is a literal secret"),
        ("pool: jira", "pool: jira, probe: {url: 'http://j/', token: env:T}", "sends the token unencrypted"),
        (
            "balancers:",
            "balancers:\n  spare: {driver: haproxy, endpoints: unix:///a}",
            "no service names this balancer",
        ),
    ],
)
def test_what_works_but_should_be_known_is_a_warning(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    warnings = load_inventory([write(tmp_path, SMALL.replace(old, new, 1))]).warnings
    assert any(sentence in warning for warning in warnings), warnings
    assert "hunter2" not in " ".join(warnings)


def test_many_nodes_are_a_warning(tmp_path: Path) -> None:
    more = "".join(f"  n{number}: 10.0.1.{number}\n" for number in range(30))
    warnings = load_inventory([write(tmp_path, SMALL.replace("balancers:", f"{more}balancers:"))]).warnings
    assert any("33 nodes" in warning for warning in warnings)


def test_a_name_that_fits_nothing_is_told_beside_a_misspelt_key_of_the_same_service(tmp_path: Path) -> None:
    text = SMALL.replace("{balancer: lb,", "{balancer: lbx, drain: {idel: required},", 1)
    assert sorted(line.partition(": ")[2] for line in problems_of(tmp_path, text)) == [
        'services.scim.balancer: "lbx" is not among the balancers (lb); did you mean "lb"?',
        'services.scim.drain.idel: is not known here; did you mean "idle"?',
    ]


def test_an_unknown_balancer_is_told_beside_other_mistakes_of_its_service(tmp_path: Path) -> None:
    told = problems_of(tmp_path, SMALL.replace("scim: {balancer: lb,", "scim: {balancer: lbx, drian: {},", 1))
    assert told == [
        '10: services.scim.drian: is not known here; did you mean "drain"?',
        '10: services.scim.balancer: "lbx" is not among the balancers (lb); did you mean "lb"?',
    ]


ADDRESSES = [
    f"{head}{host}{port}{path}"
    for head in ("tcp://", "unix://", "ssh://", "http://", "https://", "ftp://", "")
    for host in ("", "lb", "me@lb", "[::1]", "lb..x")
    for port in ("", ":0", ":1", ":x", ":99999")
    for path in ("", "/", "/a", "/a?b", "/a#b", "?b", "/a\nb")
]


@pytest.mark.parametrize("driver", ["haproxy", "apache"])
def test_no_address_is_valid_that_its_driver_refuses_later(tmp_path: Path, driver: str) -> None:
    half = ADDRESSES[driver == "apache" :: 2]  # an odd number of each part: every pair of parts is in each half
    for address in half:
        text = SMALL.replace("driver: haproxy", f"driver: {driver}").replace('"tcp://10.0.0.5:9999"', repr(address))
        try:
            cluster = load_inventory([write(tmp_path, text)]).cluster
        except InvalidInput:
            continue
        for balancer in cluster.balancers:
            make_balancer(balancer, balancer.endpoints[0], lambda _: pytest.fail("nothing is connected to"))


@pytest.mark.parametrize("name", ["5", "1.5", "yes"])
def test_a_name_in_a_list_that_is_no_text_is_told_to_be_quoted(tmp_path: Path, name: str) -> None:
    text = SMALL.replace(
        "  jira1: 10.0.0.11\n  jira2: 10.0.0.12\n  jira3: 10.0.0.13\n", f"  - {{name: {name}, host: a}}\n"
    )
    told = problems_of(tmp_path, text)
    assert told == [
        '4: nodes[0]: has a name that is no text to YAML, but a number or a boolean: write it in quotes: name: "…"'
    ]
