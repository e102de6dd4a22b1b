"""`plan` says what `run` does, changes nothing, and a plan that no longer fits is refused."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

from rollsafe.drivers.remote.claim_file import _MAY_CLAIM, _READ
from rollsafe.drivers.remote.restart_scripts import COMMAND_IDENTITY, MAY_RESTART
from tests.commands.conftest import Looked, through, tidy
from tests.house.test_reference import wrong_with
from tests.testbed import TOKEN, Result, Testbed

pytestmark = pytest.mark.real

READ_ONLY = {script.strip() for script in (_READ, _MAY_CLAIM, COMMAND_IDENTITY, MAY_RESTART)}
Write = tuple[str, str, str, str]


def shown(result: Result) -> dict:
    """The plan's own line."""
    plan = result.events[0]
    assert plan["type"] == "plan", result.text
    return plan


def noes(plan: dict) -> set[str]:
    return {verdict["gate"] for verdict in plan["verdicts"] if not verdict["allowed"]}


def test_plan_only_asks(looked: Looked) -> None:
    bed = looked.bed
    before = sorted((path, path.stat().st_mtime_ns) for path in (bed.folder / "claims").iterdir())
    seats = [balancer.seats() for balancer in bed.balancers]
    result = bed.rollsafe("plan", "--out", "plan.json")
    assert result.exit == 0, result.text
    assert [event["type"] for event in result.events] == ["plan", "run.finished"]
    assert result.finished["message"] == result.events[0]["message"]
    assert looked.to_balancers
    assert [line for line in looked.to_balancers if not line.startswith("show ")] == []
    assert set(looked.to_nodes) == READ_ONLY
    assert len(looked.to_nodes) == len(READ_ONLY) * len(bed.nodes), "each question is asked once"
    assert sorted((path, path.stat().st_mtime_ns) for path in (bed.folder / "claims").iterdir()) == before
    assert [{n: s.admin for n, s in b.seats().items()} for b in bed.balancers] == [
        {n: s.admin for n, s in named.items()} for named in seats
    ]
    assert not (bed.folder / "home" / "state").exists(), "a plan leaves no journal"
    assert TOKEN not in result.stdout + result.stderr + (bed.folder / "plan.json").read_text()


def test_the_writes_are_told_exactly(looked: Looked) -> None:
    plan = shown(looked.bed.rollsafe("plan", "--nodes", "jira2"))
    scim, web = [through(b.endpoint) for b in looked.bed.scim], through(looked.bed.web.endpoint)
    assert [(w["service"], w["endpoint"], w["found"], w["wanted"]) for w in plan["writes"]] == [
        ("web", web, "ready", "drain"),
        ("web", web, "ready", "maint"),
        *(("scim", endpoint, "ready", "drain") for endpoint in scim),
        ("web", web, "ready", "drain"),
        *(("scim", endpoint, "ready", "ready") for endpoint in scim),
        ("web", web, "ready", "ready"),
    ]
    assert {w["node"] for w in plan["writes"]} == {"jira2"}
    assert [w["condition"] for w in plan["writes"]][:4] == ["", "after 0 active, or 1 s of drain", "", ""]
    assert {w["balancer"] for w in plan["writes"]} == {"scim-lb", "web-lb"}
    assert plan["nodes"] == ["jira2"]
    assert 0 < plan["expected_s"] <= plan["longest_s"]
    gates = {verdict["gate"] for verdict in plan["verdicts"]}
    assert gates == {"ssh", "admin", "probe", "claim", "window", "readable", "min_ready"}
    assert noes(plan) == set()


def test_for_people(looked: Looked) -> None:
    result = looked.bed.rollsafe("plan", "-o", "text")
    assert result.exit == 0, result.text
    lines = result.stdout.splitlines()
    numbered = [line.split() for line in lines if line.strip()[:1].isdigit()]
    assert [int(words[0]) for words in numbered] == list(range(1, 25)), result.text
    assert any("maint → drain" in line for line in lines)
    assert sum("restart.sh; then scim and web healthy for 1.0 s" in line for line in lines) == 3
    assert lines[-1] == "A run could begin now: 24 writes, and a restart of jira1, jira2, jira3."


def test_a_gate_that_says_no_is_10_with_its_reason(looked: Looked) -> None:
    for balancer in looked.bed.balancers:
        balancer.set_state("jira3", "drain")
    result = looked.bed.rollsafe("plan")
    assert result.exit == 10, result.text
    plan = shown(result)
    assert noes(plan) == {"min_ready"}
    assert "jira3 is in drain" in plan["message"]
    assert (plan["outcome"], plan["exit_code"]) == ("refused", 10)
    assert result.finished["message"] == plan["message"]
    only = looked.bed.rollsafe("plan", "--nodes", "jira3")
    assert only.exit == 0, only.text
    writes = [(w["service"], w["found"], w["wanted"]) for w in shown(only)["writes"]]
    assert writes == [("web", "drain", "maint"), ("web", "drain", "drain")], "what a person drained goes back to drain"


def test_a_pool_that_the_balancer_does_not_have_is_an_answer_and_so_10(looked: Looked) -> None:
    looked.bed.write_inventory(services={"scim": {"pool": "nope"}})
    for command in (["plan"], ["doctor"], ["run", "--yes"]):
        result = looked.bed.rollsafe(*command)
        assert result.exit == 10, result.text
        assert "there is no backend nope; there are: scim" in result.finished["message"]
        assert ".." not in result.finished["message"]


@pytest.mark.parametrize("mode", ["refuse", "reset"])
def test_a_balancer_that_can_not_be_read_is_40_and_hides_nothing_else(looked: Looked, mode: str) -> None:
    looked.bed.relays["scim2"].become(mode)
    result = looked.bed.rollsafe("plan", "--out", "partial.json")
    assert result.exit == 40, result.text
    plan = shown(result)
    dead = through(looked.bed.scim[1].endpoint)
    assert dead in " ".join(plan["unchecked"])
    assert {w["endpoint"] for w in plan["writes"]} == {through(b.endpoint) for b in looked.bed.balancers} - {dead}
    assert result.finished["outcome"] == "unknown"
    assert not (looked.bed.folder / "partial.json").exists(), "a plan with holes is no plan"
    assert "partial.json was not written" in result.finished["message"]


def test_a_node_that_can_not_be_reached_is_40(looked: Looked) -> None:
    looked.bed.sshds["jira2"].stop()
    result = looked.bed.rollsafe("plan")
    assert result.exit == 40, result.text
    plan = shown(result)
    assert len(plan["unchecked"]) == 1
    assert plan["unchecked"][0].startswith("jira2: ")
    assert {v["node"] for v in plan["verdicts"] if v["gate"] == "ssh"} == {"jira1", "jira3"}


def test_a_claim_is_10_with_whose_it_is(looked: Looked) -> None:
    looked.claim()
    result = looked.bed.rollsafe("plan")
    assert result.exit == 10, result.text
    plan = shown(result)
    assert noes(plan) == {"claim"}
    for word in ("ola", "laptop", "4711", "run-of-ola", "CHG0042", "restarting jira2", "rollsafe recover"):
        assert word in plan["message"]


def test_a_probe_that_fails_is_10(looked: Looked) -> None:
    looked.bed.write_inventory(services={"web": {"probe": {"status": 204}}})
    result = looked.bed.rollsafe("plan")
    assert result.exit == 10, result.text
    assert noes(shown(result)) == {"probe"}


def test_a_socket_that_may_only_look_is_10(looked: Looked) -> None:
    web = looked.bed.web
    text = web.config.read_text()
    # operator, for `show servers state` is answered to it
    web.config.write_text(text.replace("level admin", "level operator"))
    web.reload()
    try:
        result = looked.bed.rollsafe("plan")
        run = looked.bed.rollsafe("run", "--yes")
    finally:
        web.config.write_text(text)
        web.reload()
    assert result.exit == 10, result.text
    assert noes(shown(result)) == {"admin"}
    assert "level admin" in shown(result)["message"]
    assert run.exit == 10, run.text
    assert "level admin" in run.text
    assert "nothing was touched" in run.text


def test_a_right_that_lacks_is_10(looked: Looked) -> None:
    looked.bed.write_inventory(claim_dir="/proc/1/rollsafe-claims")
    result = looked.bed.rollsafe("plan")
    assert result.exit == 10, result.text
    assert noes(shown(result)) == {"ssh"}
    assert "/proc/1/rollsafe-claims" in shown(result)["message"]


def test_a_member_that_nobody_knows_is_10_with_those_there_are(looked: Looked) -> None:
    looked.bed.write_inventory(nodes={"jira2": {"members": {"web": "jira-two"}}})
    result = looked.bed.rollsafe("plan")
    assert result.exit == 10, result.text
    assert noes(shown(result)) == {"members"}
    assert "jira-two" in shown(result)["message"]
    assert "jira3" in shown(result)["message"]


@pytest.mark.parametrize(
    "words",
    [("--nodes", "jira9"), ("--until", "yesterday"), ("--out", "no-such/plan.json"), ("-p", "no-such-playbook")],
)
def test_wrong_words_are_2(looked: Looked, words: tuple[str, ...]) -> None:
    result = looked.bed.rollsafe("plan", *words)
    assert result.exit == 2, result.text
    assert result.finished["outcome"] == "invalid"
    assert looked.to_balancers == []


# --- the plan's file -----------------------------------------------------------------------------------------------


def drain(bed: Testbed, node: str) -> None:
    for balancer in bed.balancers:
        balancer.set_state(node, "drain")


def test_a_plan_whose_found_states_have_changed_is_refused(looked: Looked) -> None:
    bed = looked.bed
    assert bed.rollsafe("plan", "--nodes", "jira3", "--out", "plan.json").exit == 0
    drain(bed, "jira3")
    looked.forget()
    result = bed.rollsafe("run", "--plan", "plan.json")
    assert result.exit == 10, result.text
    assert "was found ready, and is drain now" in result.finished["message"]
    assert [line for line in looked.to_balancers if not line.startswith("show ")] == []
    assert set(looked.to_nodes) <= READ_ONLY


def test_a_plan_of_another_inventory_or_selection_is_refused(looked: Looked) -> None:
    bed = looked.bed
    assert bed.rollsafe("plan", "--nodes", "jira3", "--out", "plan.json").exit == 0
    other = bed.rollsafe("run", "--plan", "plan.json", "--nodes", "jira1")
    assert other.exit == 10, other.text
    assert "jira3" in other.finished["message"]
    bed.write_inventory(policy={"soak": "2s"})
    changed = bed.rollsafe("run", "--plan", "plan.json")
    assert changed.exit == 10, changed.text
    assert "policy.soak_s was 1, and is 2" in changed.finished["message"], changed.text


QUICK = "name: quick\ndescription: Watch less.\neach_node: [drain, restart, healthy, ready{}]\n"
CHANGES = {
    "the restart of a node": (
        {"nodes": {"jira3": {"restart": {"identity": "cat /etc/hostname"}}}},
        "node jira3 (host, ports, SSH, restart or members)",
    ),
    "a probe": ({"services": {"web": {"probe": {"interval": "900ms"}}}}, "probe of web, in the inventory"),
    "what is healthy": ({"services": {"web": {"health": {"path": "/other"}}}}, "health of web, in the inventory"),
    "a drain's time": ({"services": {"web": {"drain": {"timeout": "7s"}}}}, "services.web.timeout_s was 1, and is 7"),
    "what must serve": ({"services": {"scim": {"min_ready": 1}}}, "services.scim.min_ready"),
    "an excluded node": ({"nodes": {"jira1": {"excluded": "CHG9"}}}, "all_nodes: jira1 is gone"),
}


@pytest.fixture(scope="module")
def told(one_bed: Looked) -> str:
    """A plan of jira3, made once."""
    tidy(one_bed.bed)
    assert one_bed.bed.rollsafe("plan", "--nodes", "jira3", "--out", "told.json").exit == 0
    return "told.json"


@pytest.mark.parametrize("what", CHANGES)
def test_each_difference_of_the_inventory_is_named_and_nothing_is_touched(looked: Looked, told: str, what: str) -> None:
    wishes, words = CHANGES[what]
    looked.bed.write_inventory(**wishes)
    result = looked.bed.rollsafe("run", "--plan", told)
    assert result.exit == 10, result.text
    assert words in result.finished["message"]
    assert "Make it anew: rollsafe plan " in result.finished["message"]
    assert result.finished["message"].endswith(" --nodes jira3 --out told.json")
    assert [line for line in looked.to_balancers if not line.startswith("show ")] == []
    assert set(looked.to_nodes) <= READ_ONLY


def test_an_endpoint_that_is_gone_is_named(looked: Looked, told: str) -> None:
    bed = looked.bed
    inventory = yaml.safe_load(bed.inventory.read_text())
    gone = inventory["balancers"]["scim-lb"]["endpoints"].pop()
    bed.inventory.write_text(yaml.safe_dump(inventory, sort_keys=False))
    result = bed.rollsafe("run", "--plan", told)
    assert result.exit == 10, result.text
    assert f"on {gone}) is gone" in result.finished["message"]
    assert "balancer scim-lb (driver, endpoints or options), in the inventory" in result.finished["message"]


def test_a_plan_keeps_its_playbook_and_is_refused_when_that_changed(looked: Looked) -> None:
    bed = looked.bed
    book = bed.folder / "quick.yml"
    book.write_text(QUICK.format(""))
    assert bed.rollsafe("plan", "--nodes", "jira3", "-p", str(book), "--out", "quick.json").exit == 0
    book.write_text(QUICK.format(", soak"))
    changed = bed.rollsafe("run", "--plan", "quick.json")
    assert changed.exit == 10, changed.text
    assert "each_node: soak is new" in changed.finished["message"]
    book.unlink()
    gone = bed.rollsafe("run", "--plan", "quick.json")
    assert gone.exit == 10, gone.text
    assert "playbook can't be used any more" in gone.finished["message"]


NO_PLANS = {
    "missing": None,
    "empty": b"",
    "another program's JSON": b'{"version": 4, "resource_changes": []}',
    "a list": b"[]",
    "bytes": b"\x00\xff\xfe" * 50,
    "newer": b'{"kind": "rollsafe plan", "plan": {"version": 99}}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("what", NO_PLANS)
def test_a_file_that_is_no_plan_is_2_in_one_sentence(looked: Looked, what: str) -> None:
    content = NO_PLANS[what]
    if content is not None:
        (looked.bed.folder / "odd.json").write_bytes(content)
    else:
        (looked.bed.folder / "odd.json").unlink(missing_ok=True)
    result = looked.bed.rollsafe("run", "--plan", "odd.json")
    assert result.exit == 2, result.text
    assert result.finished["outcome"] == "invalid"
    assert result.finished["message"].startswith("odd.json: ")
    assert "Traceback" not in result.stderr
    assert looked.to_balancers == []


def test_a_folder_is_no_plan(looked: Looked) -> None:
    result = looked.bed.rollsafe("run", "--plan", str(looked.bed.folder))
    assert result.exit == 2, result.text


@pytest.mark.parametrize("where", ["plan", "writes"])
def test_a_plan_that_was_edited_is_2(looked: Looked, where: str) -> None:
    bed = looked.bed
    assert bed.rollsafe("plan", "--nodes", "jira3", "--out", "plan.json").exit == 0
    path = bed.folder / "plan.json"
    content = json.loads(path.read_text())
    if where == "plan":
        content["plan"]["policy"]["soak_s"] = 0.0
    else:
        content["writes"][0]["found"]["admin"] = "drain"
    path.write_text(json.dumps(content))
    result = bed.rollsafe("run", "--plan", "plan.json")
    assert result.exit == 2, result.text
    assert "was changed after it was made" in result.finished["message"]


def test_the_run_of_a_plan_writes_what_the_plan_says_in_its_order(fresh_bed: Testbed) -> None:
    bed = fresh_bed
    drain(bed, "jira3")
    wishes = {"services": {"scim": {"min_ready": 1}, "web": {"min_ready": 1}}}
    bed.write_inventory(**wishes)
    plan = bed.rollsafe("plan", "--nodes", "jira2,jira3", "--out", "plan.json")
    assert plan.exit == 0, plan.text
    run = bed.rollsafe("run", "--plan", str(Path("plan.json")))
    assert run.exit == 0, run.text
    planned: list[Write] = [(w["node"], w["service"], w["endpoint"], w["wanted"]) for w in shown(plan)["writes"]]
    assert made(run) == planned
    assert [text for event in run.events for text in wrong_with(event)] == [], "the reference describes every event"
    assert [bed.node(name).restarts for name in ("jira1", "jira2", "jira3")] == [0, 1, 1]
    assert {seat.admin for b in bed.balancers for n, seat in b.seats().items() if n == "jira3"} == {"drain"}
    again = shown(bed.rollsafe("plan", "--nodes", "jira1,jira2"))
    guessed, known = again["estimates"]
    assert (guessed["node"], guessed["runs"], known["node"], known["runs"]) == ("jira1", 0, "jira2", 1)
    took = run.finished["nodes"]["jira2"]["out_of_service_s"]
    assert took <= known["expected_s"] < shown(plan)["estimates"][0]["expected_s"], "the journal knows better"
    text = bed.rollsafe("plan", "--nodes", "jira2", "-o", "text").stdout
    assert "By the median of the last turns in this machine's journal: jira2" in text


def made(run: Result) -> list[Write]:
    """Every write of a run, in the order of its intents."""
    events = [event for event in run.events if event["type"] == "write.intent"]
    return [(e["node"], e["service"], e["endpoint"], e.get("to") or e["data"]["to"]) for e in events]


WRONG_MEMBERS = {
    "swapped": (
        {"jira1": {"members": {"web": "jira2"}}, "jira2": {"members": {"web": "jira1"}}},
        "which is jira2's address, not jira1's",
    ),
    "one for two": ({"jira1": {"members": {"web": "jira2"}}}, "jira1 and jira2 come to the same member jira2"),
}


@pytest.mark.parametrize("what", WRONG_MEMBERS)
def test_a_wrong_name_of_a_member_is_found_before_its_users_are_cut(looked: Looked, what: str) -> None:
    nodes, told = WRONG_MEMBERS[what]
    looked.bed.write_inventory(nodes=nodes)
    for command, exit_code in {"plan": 10, "doctor": 10, "run --yes": 10, "status": 40}.items():
        result = looked.bed.rollsafe(*command.split())
        assert result.exit == exit_code, result.text
        assert told in result.finished["message"]
    assert [line for line in looked.to_balancers if not line.startswith("show ")] == []


def test_doctor_of_one_node_knows_the_others_addresses(looked: Looked) -> None:
    looked.bed.write_inventory(nodes=WRONG_MEMBERS["swapped"][0])
    result = looked.bed.rollsafe("doctor", "--nodes", "jira1")
    assert result.exit == 10
    assert "which is jira2's address, not jira1's" in result.finished["message"]
    assert "not jira2's" not in result.finished["message"]


def test_who_drained_a_member_is_told_how_to_put_it_back(looked: Looked) -> None:
    bed = looked.bed
    bed.web.set_state("jira3", "drain")
    for words, exit_code in {("plan",): 10, ("run", "--yes"): 10, ("status",): 30}.items():
        result = bed.rollsafe(*words)
        assert result.exit == exit_code, result.text
        told = result.finished["message"]
        command = shlex.split(told[told.index("rollsafe ready jira3") :].partition("`")[0].partition(";")[0])
        assert command[:3] == ["rollsafe", "ready", "jira3"]
        assert command[3:5] == ["-i", str(bed.inventory)], "it can be pasted"
    assert bed.rollsafe(*command[1:]).exit == 0
    assert bed.web.seats()["jira3"].admin == "ready"
