"""Does it fit together? What no single key can say: names that must exist, twins, and counts that can't be met."""

from rollsafe.config.problems import KeyPath, Problems, did_you_mean, listed
from rollsafe.model.cluster import Cluster, Node

MANY_NODES = 20


def check_fit(problems: Problems, cluster: Cluster) -> None:
    """Add every problem and warning that shows only on the whole."""
    _balancers(problems, cluster)
    _pools(problems, cluster)
    _nodes(problems, cluster)
    _min_ready(problems, cluster)
    _probes(problems, cluster)


def _balancers(problems: Problems, cluster: Cluster) -> None:
    names = [balancer.name for balancer in cluster.balancers]
    for service in cluster.services:
        if service.balancer not in names:
            guess = did_you_mean(service.balancer, names)
            sentence = f'"{service.balancer}" is not among the balancers ({listed(names)}){guess}'
            problems.error(("services", service.name, "balancer"), sentence)
    for name in names:
        if name not in {service.balancer for service in cluster.services}:
            problems.warn(("balancers", name), "no service names this balancer: it is never read or written")


def _pools(problems: Problems, cluster: Cluster) -> None:
    seen: dict[tuple[str, str], str] = {}
    for service in cluster.services:
        for pool in service.pools:
            other = seen.setdefault((service.balancer, pool), service.name)
            if other != service.name:
                sentence = f'the pool "{pool}" of {service.balancer} is the service "{other}"\'s too: each pool has one'
                problems.error(("services", service.name, "pool"), sentence)


def _nodes(problems: Problems, cluster: Cluster) -> None:
    live = cluster.live_nodes
    if not live:
        problems.error(("nodes",), "every node is excluded: there is nothing to restart")
    elif len(live) == 1:
        problems.warn(("nodes",), "one node alone can't stay reachable while it restarts: run needs --accept-outage")
    elif len(live) > MANY_NODES:
        problems.warn(
            ("nodes",), f"{len(live)} nodes: a cluster has 2 to {MANY_NODES} as a rule; a run takes them one by one"
        )
    twins = {twin for service in cluster.services for twin in _twins(live, service.name)}
    for name, sentence in {twin[0]: twin[1] for twin in sorted(twins, reverse=True)}.items():
        problems.error(("nodes", name, "host"), sentence)
    _members(problems, cluster)
    told = {name for name, _ in twins}
    seen: dict[tuple[object, ...], str] = {}
    for node in live:
        restart = (node.ssh.host, node.ssh.port, node.restart.unit, node.restart.command)
        other = seen.setdefault(restart, node.name)
        if other != node.name and node.name not in told:
            sentence = f'is restarted on the same machine, in the same way, as "{other}": both would go down at once'
            problems.error(("nodes", node.name), sentence)


def _members(problems: Problems, cluster: Cluster) -> None:
    """Two nodes with one member: a run would drain the one, and restart the other."""
    seen: dict[tuple[str, str], str] = {}
    for node in cluster.live_nodes:
        for service, member in node.members.items():
            other = seen.setdefault((service, member), node.name)
            if other != node.name:
                sentence = f'"{member}" is "{other}"\'s member of {service} too: each node has its own'
                problems.error(("nodes", node.name, "members", service), sentence)


def _twins(live: tuple[Node, ...], service: str) -> list[tuple[str, str]]:
    """Nodes that have another's address, each with the sentence for it."""
    seen: dict[tuple[str, int], str] = {}
    found = []
    for node in live:
        address = (node.host, node.ports[service])
        other = seen.setdefault(address, node.name)
        if other != node.name and address[1]:
            whose = f'{address[0]}:{address[1]} is "{other}"\'s {service} too'
            found.append((node.name, f"{whose}: each node has its own host or port"))
    return found


def _min_ready(problems: Problems, cluster: Cluster) -> None:
    total = len(cluster.live_nodes)
    if total < 2:
        return
    for service in cluster.services:
        path: KeyPath = ("services", service.name, "min_ready")
        needed = service.min_ready.of(total - 1, total)
        if needed > total - 1:
            sentence = (
                f"{service.min_ready} asks for {needed} members while one is out, but there are {total - 1} others"
            )
            problems.error(path, sentence)
        if needed == 0:
            told = f"{service.min_ready} is taken as 1: nobody makes an outage unless run is given --accept-outage"
            problems.warn(path, told)


def _probes(problems: Problems, cluster: Cluster) -> None:
    probed = {probe.service for probe in cluster.probes}
    for service in cluster.services:
        if service.name not in probed:
            problems.warn(("services", service.name), "has no probe: nobody watches it from outside during a run")
