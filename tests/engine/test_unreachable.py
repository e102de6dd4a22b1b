"""A node that can't be reached over SSH: the run is refused, and its JUnit names the node as the one that failed."""

from xml.etree import ElementTree as ET

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.rehearsal.faults import Fault, Way
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld
from rollsafe.reporting.fold import account_of
from rollsafe.reporting.junit import junit


def run(*faults: Fault, nodes: tuple[str, ...] = ()) -> tuple[Operator, int]:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim = SimWorld(cluster)
    operator = sim.operator(faults=list(faults))
    operator.trace = True
    engine = Engine(cluster, steps, nodes) if nodes else Engine(cluster, steps)
    return operator, engine("run", operator, sim.world(operator), "r").exit_code


def suites(operator: Operator) -> dict[str | None, tuple[str | None, ...]]:
    """(failures, errors, skipped) of each suite."""
    root = ET.fromstring(junit(account_of(operator.records)))
    return {one.get("name"): tuple(one.get(k) for k in ("failures", "errors", "skipped")) for one in root}


def test_an_unreachable_node_is_a_failure_an_unstarted_one_is_skipped_a_refusal_is_an_error() -> None:
    first = next(call for call in run()[0].log if call.site == "restarter.identity n2")
    operator, code = run(Fault(Way.REFUSED, first.index, first.site))
    assert code == 10
    (no,) = [r for r in operator.records if r.type == "gate.checked" and not r.data["allowed"]]
    assert (no.node, no.data["gate"]) == ("n2", "reach")
    assert "connection refused" in no.data["reason"]
    assert suites(operator) == {
        "run": ("0", "1", "0"),
        "n1": ("0", "0", "1"),
        "n2": ("1", "0", "0"),
        "n3": ("0", "0", "1"),
    }


def test_an_unreachable_node_that_was_not_to_be_restarted_has_its_suite_too() -> None:
    first = next(call for call in run(nodes=("n1",))[0].log if call.site == "restarter.identity n2")
    operator, code = run(Fault(Way.REFUSED, first.index, first.site), nodes=("n1",))
    assert code == 10
    assert suites(operator) == {"run": ("0", "1", "0"), "n1": ("0", "0", "1"), "n2": ("1", "0", "0")}
