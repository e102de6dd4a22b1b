"""What fails now and then, for the whole run: every second or third call of one kind. No streak of failures ever grows
long, so that only a limit on the whole ends what would go on for ever."""

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.model.cluster import Cluster
from rollsafe.rehearsal.faults import Fault, Way
from rollsafe.rehearsal.miniature import opening, shorten
from rollsafe.rehearsal.play import Stage, trace
from rollsafe.rehearsal.points import Point
from rollsafe.rehearsal.sample import small_cluster, with_slow_answers

SITES = (
    "balancer.read web-lb",
    "balancer.read scim-lb tcp://scim-lb2",
    "balancer.write",
    "claim.read",
    "claim.read n2",
    "claim.swap n1",
    "restarter",
    "check n1",
    "check n2",
)
WAYS = (Way.REFUSED, Way.TIMEOUT_BEFORE, Way.TIMEOUT_AFTER, Way.SLOW)
FOR_EVER = 100_000


def stage() -> Stage:
    """Three nodes, SCIM behind a pair; a slow answer takes longer than a look waits."""
    cluster, steps = shorten(with_slow_answers(small_cluster(endpoints=2), 2.4), EACH_NODE)
    return Stage(cluster, Engine(cluster, steps), start=opening(cluster))


def longest_s(cluster: Cluster) -> float:
    """What all limits of all nodes allow, and the claim's own."""
    policy, drains_s = cluster.policy, sum(service.drain.timeout_s for service in cluster.services)
    waits_s = policy.start_timeout_s + policy.healthy_for_s + policy.put_back_timeout_s + policy.soak_s
    return len(cluster.live_nodes) * (drains_s + waits_s + policy.gate_timeout_s) + 60.0


@pytest.mark.parametrize("every", [2, 3])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("site", SITES)
def test_what_fails_now_and_then_breaks_nothing_and_ends_in_time(site: str, way: Way, every: int) -> None:
    there = stage()
    played, operator = trace(there, Point("fault", site, faults=(Fault(way, 1, site, FOR_EVER, every),)))
    assert played.violations == [], played.message
    assert played.as_found
    assert operator.records[-1].at_s < longest_s(there.cluster), played.message
