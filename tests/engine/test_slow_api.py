"""An admin API that never answers within a look's limit: the run would stop with its first node out, so none begins."""

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.rehearsal.faults import Fault, Way
from rollsafe.rehearsal.judgement import Ended
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.sample import small_cluster, with_slow_answers
from rollsafe.rehearsal.world import SimWorld

READ = "balancer.read web-lb"


def slow(answers_s: float, *faults: Fault) -> tuple[SimWorld, Operator, Ended]:
    """A run of a cluster, one of whose endpoints takes so long wherever a fault says that it is slow."""
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim = SimWorld(with_slow_answers(cluster, answers_s))
    operator = sim.operator(faults=list(faults))
    return sim, operator, Engine(sim.cluster, steps)("run", operator, sim.world(operator), "r")


@pytest.mark.parametrize("answers_s", [2.4, 4.0])
def test_a_run_is_refused_before_its_claim_with_the_time_the_limit_and_the_remedy(answers_s: float) -> None:
    sim, operator, ended = slow(answers_s, Fault(Way.SLOW, site=READ, times=100_000))
    assert ended.exit_code == 10, ended.message
    assert ended.message.startswith("nothing was touched: latency: tcp://web-lb1:9999 answers in ")
    assert f"answers in {answers_s:.2f}" in ended.message or f"answers in {answers_s + 0.01:.2f}" in ended.message
    assert "a run needs it within 1.5 s. To change it: see why it is slow" in ended.message
    assert ended.message.count("latency") == 1, "once, and not for each node"
    assert not sim.outside.acts
    assert all(node.claim is None for node in sim.nodes.values())
    told = [r for r in operator.records if r.type == "gate.checked" and r.data["gate"] == "latency"]
    assert [(r.balancer, r.endpoint, r.data["allowed"]) for r in told] == [("web-lb", "tcp://web-lb1:9999", False)]


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_slow_answer_among_fast_ones_refuses_nothing(times: int) -> None:
    _, operator, ended = slow(2.4, Fault(Way.SLOW, site=READ, times=times))
    assert ended.exit_code == 0, ended.message
    assert not [r for r in operator.records if r.type == "gate.checked" and r.data["gate"] == "latency"]


@pytest.mark.parametrize("answers_s", [1.6, 2.3, 3.0, 4.0])
@pytest.mark.parametrize("step", ["drain", "maint", "restart", "healthy", "ready"])
def test_one_that_becomes_slow_in_the_middle_holds_its_node_no_longer_than_the_gates_may(
    answers_s: float, step: str
) -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim = SimWorld(with_slow_answers(cluster, answers_s))
    operator = sim.operator()
    operator.hooks.append(lambda _: _become_slow_at(operator, step))
    ended = Engine(sim.cluster, steps)("run", operator, sim.world(operator), "r")
    times = {(r.type, r.node): r.at_s for r in operator.records}
    policy, drains_s = cluster.policy, sum(service.drain.timeout_s for service in cluster.services)
    longest_s = drains_s + policy.gate_timeout_s + policy.start_timeout_s + policy.put_back_timeout_s
    assert times["node.finished", "n1"] - times["node.started", "n1"] < longest_s, ended.message
    assert (ended.exit_code, sim.as_found()) == (20, True), ended.message
    assert len(sim.nodes["n1"].restarts) == (0 if step in ("drain", "maint") else 1)


def _become_slow_at(operator: Operator, step: str) -> None:
    if not operator.faults and any(r.type == "step.started" and r.data["step"] == step for r in operator.records):
        operator.faults.append(Fault(Way.SLOW, site=READ, times=100_000))
