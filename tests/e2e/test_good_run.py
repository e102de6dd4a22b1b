"""The main job: every node restarted once, and nobody noticed."""

import pytest

from tests.e2e.conftest import MakeBed
from tests.e2e.judge import claims, nothing_touched, sound
from tests.testbed import Result, Testbed

pytestmark = pytest.mark.real


def writes_of(plan: dict) -> list[tuple[str, str, str, str]]:
    """The plan's writes in their order: (node, service, endpoint, wanted state)."""
    return [(w["node"], w["service"], w["endpoint"], w["wanted"]) for w in plan["writes"]]


def writes_made(result: Result) -> list[tuple[str, str, str, str]]:
    return [
        (e["node"], e["service"], e["endpoint"], e.get("to") or e["data"]["to"])
        for e in result.events
        if e["type"] == "write.done"
    ]


def judge_good(bed: Testbed, result: Result) -> None:
    finished = sound(bed, result, 0)
    assert bed.failed_requests() == []
    assert bed.cut_requests() == []
    assert len(bed.requests("scim")) > 30
    assert len(bed.requests("web")) > 30
    for node in bed.nodes:
        assert node.restarts == 1
        assert len({line["identity"] for line in node.report("started")}) == 2
        assert finished["nodes"][node.name]["outcome"] == "restarted"
    drained = {(endpoint, node) for _, endpoint, node, state in bed.observer.changes() if state != "ready"}
    assert drained == {(b.endpoint, n.name) for b in bed.balancers for n in bed.nodes}
    assert finished["left_out"] == []
    assert finished["services"]["scim"]["failed"] == 0
    assert finished["services"]["scim"]["probes"] > 0
    assert bed.all_up()


def test_three_nodes_under_load_without_one_failed_or_cut_request(bed: Testbed) -> None:
    judge_good(bed, bed.watched("run", "--yes"))
    order = [node for _, _, node, state in bed.observer.changes() if state != "ready"]
    assert sorted(order) == order, "the nodes are restarted in the inventory's order"


@pytest.mark.soak
def test_scim_leaves_last_and_comes_back_first(bed: Testbed) -> None:
    sound(bed, bed.watched("run", "--yes", "--nodes", "jira2"), 0)
    changes = [(b, state) for _, b, _, state in bed.observer.changes()]
    web, scim = bed.web.endpoint, {b.endpoint for b in bed.scim}
    first_scim = next(i for i, (where, _) in enumerate(changes) if where in scim)
    assert changes[0][0] == web
    assert first_scim > 0
    back = [where for where, state in changes if state == "ready"]
    assert set(back[:2]) == scim, "SCIM is put back first, on both endpoints"
    assert back[2:] == [web]


def test_a_plan_touches_nothing_and_is_what_the_run_does(bed: Testbed) -> None:
    bed.observer.start()
    plan = bed.rollsafe("plan")
    assert plan.exit == 0, plan.text
    bed.observer.stop()
    nothing_touched(bed)
    assert claims(bed) == []
    assert not (bed.folder / "claims").exists() or not any((bed.folder / "claims").iterdir())
    result = bed.watched("run", "--yes")
    judge_good(bed, result)
    assert writes_made(result) == writes_of(plan.events[0]), "in a run without faults the writes are the plan's"


def test_apache_in_front_of_scim(make_bed: MakeBed) -> None:
    bed = make_bed(scim="apache")
    judge_good(bed, bed.watched("run", "--yes"))


@pytest.mark.soak
def test_one_process_for_both_services_is_enough(make_bed: MakeBed) -> None:
    bed = make_bed(pair=False, nodes=2)
    judge_good(bed, bed.watched("run", "--yes"))
