"""The inventory is another one when a crashed run is mended: what it reaches goes back, the rest is named."""

import signal

import pytest

from tests.e2e.judge import claims, sound
from tests.testbed import Testbed

pytestmark = pytest.mark.real


def killed_while_jira1_restarts(bed: Testbed) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("restart.begun", node="jira1")
    run.send(signal.SIGKILL)
    run.result()


@pytest.mark.soak
def test_the_partner_of_a_pair_was_taken_out_and_is_gone_for_ever(bed: Testbed) -> None:
    killed_while_jira1_restarts(bed)
    kept, lost = (f"tcp://{balancer.host}:9990" for balancer in bed.scim)
    bed.write_inventory(balancers={"scim-lb": {"endpoints": [kept]}})
    recovered = bed.rollsafe("recover", "--yes", home=bed.folder / "another-machine")
    bed.settle()
    finished = sound(bed, recovered, 40)
    assert f"the claim names endpoint {lost} of balancer scim-lb" in finished["message"]
    assert f"add --forget {lost}" in finished["message"]
    assert states(bed) == {bed.web.endpoint: "ready", bed.scim[0].endpoint: "ready", bed.scim[1].endpoint: "drain"}
    assert lost in bed.rollsafe("run", "--yes").finished["message"], "whoever comes next hears of it, too"
    let_go = bed.rollsafe("recover", "--yes", "--forget", lost)
    assert let_go.exit == 0, let_go.text
    assert f"Let go of, as you said, and left as they are: scim of jira1 (scim/jira1 on {lost})" in let_go.text
    assert claims(bed) == []


@pytest.mark.soak
def test_an_endpoint_that_only_has_another_name_is_not_let_go_of(bed: Testbed) -> None:
    killed_while_jira1_restarts(bed)
    old, new = (f"tcp://{bed.scim[1].host}:{port}" for port in (9990, 9999))
    bed.write_inventory(balancers={"scim-lb": {"endpoints": [f"tcp://{bed.scim[0].host}:9990", new]}})
    refused = bed.rollsafe("recover", "--yes", "--forget", old)
    assert refused.exit == 30, refused.text
    assert f"it may be what this inventory calls {new}" in refused.finished["message"]
    bed.write_inventory()
    recovered = bed.rollsafe("recover", "--yes")
    bed.settle()
    sound(bed, recovered, 0)


@pytest.mark.soak
def test_the_node_in_hand_was_taken_out_of_the_inventory(bed: Testbed) -> None:
    killed_while_jira1_restarts(bed)
    bed.write_inventory(nodes={"jira1": None})
    recovered = bed.rollsafe("recover", "--yes")
    bed.settle()
    finished = sound(bed, recovered, 30)
    assert "This inventory does not have jira1" in finished["message"]
    assert not [event for event in recovered.events if event["type"] == "step.waiting" and event.get("node") == "jira1"]
    bed.write_inventory()
    bed.observer.start()
    recovered = bed.rollsafe("recover", "--yes")
    bed.settle()
    assert recovered.exit == 0, recovered.text
    assert bed.all_up()


def states(bed: Testbed) -> dict[str, str]:
    """jira1 on every endpoint, as the observer sees it last."""
    return {endpoint: state for (endpoint, node), state in bed.observer.samples[-1].admin().items() if node == "jira1"}
