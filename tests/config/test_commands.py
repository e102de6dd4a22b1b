"""validate, schema and init as people call them."""

import contextlib
import io
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollsafe.cli.app import run_command_line
from rollsafe.config.load import load_inventory
from rollsafe.model.cluster import Cluster
from rollsafe.model.settings import Hop
from tests.config.test_inventory import SMALL, write


def typed(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))


def call(*arguments: str) -> int:
    return run_command_line(list(arguments))


def test_validate_says_what_it_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, SMALL)
    assert call("validate", "-i", str(file)) == 0
    told = capsys.readouterr()
    assert "jira-prod (jira) is valid" in told.out
    assert "nodes, in order: jira1, jira2, jira3" in told.out
    assert "has no probe" in told.err


def test_a_jump_host_is_switched_off_for_one_node_or_balancer(tmp_path: Path) -> None:
    text = SMALL.replace("jira2: 10.0.0.12", "jira2: {host: 10.0.0.12, ssh: {jump: []}}")
    text = text.replace('["tcp://10.0.0.5:9999"]', "ssh://lb1/run/a.sock, ssh: {jump: []}")
    file = write(tmp_path, text + "ssh: {jump: [ops@bastion]}\n")
    assert call("validate", "-i", str(file)) == 0
    cluster = load_inventory([file]).cluster
    top = (Hop("bastion", None, "ops"),)
    assert [node.ssh.jump for node in cluster.nodes] == [top, (), top]
    ssh = cluster.balancers[0].endpoints[0].ssh
    assert ssh is not None
    assert ssh.jump == ()


@pytest.mark.parametrize("read", [True, False])
def test_validate_says_in_the_last_event_what_was_found_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, read: bool
) -> None:
    file = write(tmp_path, SMALL)
    assert call("validate", "-i", str(file), "-o", "json", *(["--resolve-secrets"] if read else [])) == 0
    first, last = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    secrets = ", and every secret can be read" if read else ""
    assert last["message"] == (
        f"jira-prod (jira) is valid: {file}: nodes jira1, jira2, jira3; services scim, web; "
        f"playbook rolling-restart{secrets}."
    )
    assert first["message"] == last["message"]


def test_validate_tells_inventory_and_playbook_problems_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, SMALL.replace("product: jira", "product: jria"))
    assert call("validate", "-i", str(file), "-p", "none", "-o", "json") == 2
    told = capsys.readouterr()
    first, last = (json.loads(line) for line in told.out.splitlines())
    assert [first["valid"], len(first["problems"])] == [False, 2]
    assert (last["type"], last["exit_code"]) == ("run.finished", 2)
    assert f'{file}:2: product: "jria" is not known' in told.err


def test_validate_reads_secrets_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = tmp_path / "ran"
    file = write(tmp_path, SMALL + f"notify: 'command:sh -c \"touch {ran}; echo canary-4711\"'\n")
    assert call("validate", "-i", str(file)) == 0
    assert not ran.exists()
    assert call("validate", "-i", str(file), "--resolve-secrets") == 0
    assert ran.exists()
    told = capsys.readouterr()
    assert "canary-4711" not in told.out + told.err


def test_validate_finds_an_unset_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SLACK_URL", raising=False)
    file = write(tmp_path, SMALL + "notify: env:SLACK_URL\n")
    assert call("validate", "-i", str(file)) == 2
    assert "the environment variable SLACK_URL is not set" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["validate", "plan", "run --yes"])
@pytest.mark.parametrize(("old", "new"), [("pool: jira", "poool: jira"), ("balancer: lb", "balancer: lbx")])
def test_a_variable_that_is_not_set_is_told_beside_other_mistakes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    old: str,
    new: str,
) -> None:
    monkeypatch.delenv("NOPE", raising=False)
    file = write(tmp_path, SMALL.replace("id: zbs1", "id: zbs1, token: env:NOPE").replace(old, new, 1))
    assert call(*command.split(), "-i", str(file)) == 2
    told = capsys.readouterr().err
    assert new.partition(":")[0] in told
    assert told.count("scim.tenants[0].token: env:NOPE: the environment variable NOPE is not set: export it") == 1


def test_a_program_that_is_not_there_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, SMALL + "notify: command:no-such-program-here\n")
    assert call("validate", "-i", str(file), "--resolve-secrets") == 2
    assert capsys.readouterr().err.count("command:no-such-program-here") == 1


@pytest.mark.parametrize("kind", ["inventory", "playbook"])
def test_schema_prints_json(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("schema", kind) == 0
    assert json.loads(capsys.readouterr().out)["title"] == f"rollsafe {kind}"


def test_init_asks_and_writes_what_validates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "inventory.yml"
    typed(
        monkeypatch,
        "confluence",
        "wiki prod",  # asked again
        "wiki-prod",
        "wiki1=10.0.0.1, wiki2=10.0.0.2",
        "ops",
        "",
        "ssh://lb1/run/haproxy/admin.sock, ssh://lb2/run/haproxy/admin.sock",
        "scim-in",
        "zbs1, zbs2",
        "scim.example.com",  # asked again
        "https://scim.example.com",
        "https://lb3/balancer-manager",
        "admin",
        "wiki",
        "https://wiki.example.com",
    )
    assert call("init", "-f", str(file)) == 0
    cluster = load_inventory([file]).cluster
    assert (cluster.name, cluster.product, cluster.nodes[0].restart.unit) == (
        "wiki-prod",
        "confluence",
        "confluence.service",
    )
    assert [(b.name, b.driver, len(b.endpoints)) for b in cluster.balancers] == [
        ("scim-lb", "haproxy", 2),
        ("web-lb", "apache", 1),
    ]
    assert [probe.url for probe in cluster.probes][-1] == "https://wiki.example.com/status"
    assert cluster.balancers[1].endpoints[0].username == "admin"
    assert f"rollsafe validate -i {file}" in capsys.readouterr().out


def test_the_commands_that_init_tells_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "", "", "no, yes=10.0.0.2", *[""] * 9)
    file = tmp_path / "from file.yml"
    assert call("init", "-f", str(file)) == 0
    assert f"rollsafe validate -i '{file}'" in capsys.readouterr().out


def test_init_with_nothing_but_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed(monkeypatch, "", "", "no, yes=10.0.0.2", *[""] * 9)
    assert call("init") == 0
    cluster = load_inventory([tmp_path / "inventory.yml"]).cluster
    assert [node.name for node in cluster.nodes] == ["no", "yes"]
    assert [balancer.name for balancer in cluster.balancers] == ["lb"]


def test_init_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, "mine\n")
    assert call("init", "-f", str(file)) == 2
    assert file.read_text() == "mine\n"
    assert "exists and is kept" in capsys.readouterr().err


def test_init_without_answers_writes_nothing_and_says_at_which_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "jira")
    assert call("init", "-f", str(tmp_path / "new.yml")) == 2
    assert list(tmp_path.iterdir()) == []
    assert 'the input ended at the question "Name of the cluster"' in capsys.readouterr().err


ODD_FILES = {
    "empty": (b"", "the file is empty"),
    "a list at the top": (b"- a\n", "1: the file holds a list"),
    "a tab": (b"cluster: a\n\tproduct: jira\n", "2: is indented with a tab"),
    "a key twice": (b"cluster: a\ncluster: b\n", '2: the key "cluster" is here twice'),
    "a NUL byte": (b"cluster: a\0b\n", "1: holds a control character"),
    "Latin-1": (b"cluster: caf\xe9\n", "1: is not UTF-8 text"),
    "UTF-16": ("cluster: a".encode("utf-16"), "1: is not UTF-8 text"),
    "a bare no": (b"cluster: no\n", "1: cluster: must be text, but a bare yes, no"),
    "an anchor bomb": (
        b"a0: &a0 [x, x]\n"
        + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)),
        "anchors unfold into more than",
    ),
    "nested without end": (b"[" * 9000, "nested more than"),
    "larger than any inventory": (b"x" * (2 << 20), "is it the right file?"),
}


@pytest.mark.parametrize("what", ODD_FILES)
@pytest.mark.parametrize("command", ["validate", "plan"])
def test_an_odd_file_is_2_with_its_name_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, command: str
) -> None:
    content, words = ODD_FILES[what]
    file = tmp_path / "odd.yml"
    file.write_bytes(content)
    assert call(command, "-i", str(file), "-o", "json") == 2
    told = capsys.readouterr()
    last = json.loads(told.out.splitlines()[-1])
    assert (last["type"], last["outcome"], last["exit_code"]) == ("run.finished", "invalid", 2)
    assert told.err.startswith(f"{file}:")
    assert words in told.err


def test_a_folder_is_no_inventory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "-i", str(tmp_path), "-o", "json") == 2
    told = capsys.readouterr()
    assert "is a folder: name the file in it" in told.err
    assert json.loads(told.out)["outcome"] == "invalid"


@pytest.mark.parametrize("source", ["10.0.0.1:9999", "haproxy://host", "nginx://host:1"])
def test_init_refuses_other_sources(tmp_path: Path, source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("init", "-f", str(tmp_path / "i.yml"), "--from", source) == 2
    assert "haproxy://HOST:PORT" in capsys.readouterr().err


def test_init_tells_when_nobody_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert call("init", "-f", str(tmp_path / "i.yml"), "--from", f"haproxy://127.0.0.1:{port}") == 2
    assert f"tcp://127.0.0.1:{port} can't be reached" in capsys.readouterr().err


STAT = b"# pxname,svname,type,addr,\nscim,s1,2,127.0.0.11:5501,\n"


@pytest.mark.parametrize(
    ("answer", "goes_on", "why"),
    [
        (STAT, False, "was cut off in the middle of its answer"),
        (STAT, True, "no whole answer within 0.5 s"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\n\n", False, "does not answer as HAProxy"),
    ],
)
def test_init_takes_no_cut_answer_for_a_whole_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: bytes,
    goes_on: bool,
    why: str,
) -> None:
    monkeypatch.setattr("rollsafe.cli.init.LIMIT_S", 0.5)
    end = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer, contextlib.suppress(OSError):
                peer.recv(100)
                peer.sendall(answer)
                while goes_on and not end.wait(0.1):
                    peer.sendall(b"scim,s2,2,127.0.0.12:5501,\n")  # a row at a time, without end

        thread = threading.Thread(target=serve)
        thread.start()
        began = time.monotonic()
        assert (
            call("init", "-f", str(tmp_path / "i.yml"), "--from", f"haproxy://127.0.0.1:{server.getsockname()[1]}") == 2
        )
        assert time.monotonic() - began < 3
        end.set()
        thread.join()
    assert why in capsys.readouterr().err
    assert not (tmp_path / "i.yml").exists()


HAPROXY = """\
global
  stats socket ipv4@127.0.0.1:{port} level operator
  stats socket {socket} mode 600 level operator
defaults
  mode http
  timeout connect 1s
  timeout client 1s
  timeout server 1s
{web}backend scim
  server s1 127.0.0.11:5501
  server s2 127.0.0.12:5501
"""


WEB = "backend jira\n  server jira1 127.0.0.11:8080\n  server jira2 127.0.0.12:8080\n"


@pytest.fixture
def haproxy(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    """Its port. With SCIM alone where the test asks for it: the web is behind another balancer then."""
    web = WEB if getattr(request, "param", "both") == "both" else ""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    config = tmp_path / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port, socket=tmp_path / "h.sock", web=web))
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin") or "haproxy"
    process = subprocess.Popen([program, "-db", "-q", "-f", str(config)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


def check_read(cluster: Cluster, endpoint: str) -> None:
    assert [(node.name, node.host) for node in cluster.nodes] == [("jira1", "127.0.0.11"), ("jira2", "127.0.0.12")]
    assert cluster.nodes[0].members == {"scim": "s1"}
    assert [(service.name, service.pools) for service in cluster.services] == [("scim", ("scim",)), ("web", ("jira",))]
    assert [e.url for balancer in cluster.balancers for e in balancer.endpoints] == [endpoint]


@pytest.mark.real
def test_init_reads_a_live_haproxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, haproxy: int) -> None:
    for source, endpoint in (
        (f"haproxy://127.0.0.1:{haproxy}", f"tcp://127.0.0.1:{haproxy}"),
        (f"haproxy://{tmp_path}/h.sock", f"unix://{tmp_path}/h.sock"),
    ):
        file = tmp_path / f"{endpoint[:3]}.yml"
        typed(monkeypatch, *[""] * 4, "", "", "zbs1", "https://scim.example.com", "https://jira.example.com")
        assert call("init", "-f", str(file), "--from", source) == 0
        check_read(load_inventory([file]).cluster, endpoint)


@pytest.mark.real
def test_init_from_a_live_haproxy_needs_nobody_to_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, haproxy: int
) -> None:
    typed(monkeypatch)
    assert call("init", "-f", str(tmp_path / "i.yml"), "--from", f"haproxy://127.0.0.1:{haproxy}") == 0
    check_read(load_inventory([tmp_path / "i.yml"]).cluster, f"tcp://127.0.0.1:{haproxy}")


@pytest.mark.real
@pytest.mark.parametrize("haproxy", ["scim"], indirect=True)
@pytest.mark.parametrize("answers", [[], [*[""] * 7, "ssh://lb2/run/haproxy/admin.sock", "jira", ""]])
def test_init_from_the_balancer_of_scim_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, haproxy: int, answers: list[str]
) -> None:
    typed(monkeypatch, *answers)
    assert call("init", "-f", str(tmp_path / "i.yml"), "--from", f"haproxy://127.0.0.1:{haproxy}") == 0
    cluster = load_inventory([tmp_path / "i.yml"]).cluster
    assert [(node.name, node.host) for node in cluster.nodes] == [("s1", "127.0.0.11"), ("s2", "127.0.0.12")]
    assert [service.name for service in cluster.services] == (["scim", "web"] if answers else ["scim"])
    assert len(cluster.balancers) == len(cluster.services)
