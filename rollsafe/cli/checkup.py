"""What `doctor` does: the look that plan takes, told as a checklist from the ground up."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rollsafe.assembly import Assembled, assemble
from rollsafe.cli.common import inventory_words, part_of
from rollsafe.cli.exits import ExitCode
from rollsafe.cli.listening import outside_problems
from rollsafe.cli.looking import UNPROVEN, NodeSight, Sight, look, painter, print_json, print_lines, said
from rollsafe.clock import SystemClock
from rollsafe.config.load import find_inventory, load_inventory
from rollsafe.config.playbook import load_playbook
from rollsafe.config.secrets import secrets_of
from rollsafe.engine.preflight import AGAIN_S
from rollsafe.engine.runclock import RunClock
from rollsafe.errors import Effect, InvalidInput, JournalError, PortError, Refused
from rollsafe.journal.place import nearest, on_network, store_path, try_room
from rollsafe.model.cluster import Cluster
from rollsafe.model.reading import PoolReading, Unread
from rollsafe.model.secret import Secret
from rollsafe.planner.expand import pools_of
from rollsafe.planner.latency import too_slow
from rollsafe.planner.matching import match_all
from rollsafe.reporting.doctor_view import Answer, Item, doctor_json, doctor_lines
from rollsafe.reporting.status_view import claim_words

WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Ground:
    """What needs no network: the inventory holds. `whole`: with the nodes that are not asked about, too."""

    cluster: Cluster
    whole: Cluster
    warnings: tuple[str, ...]
    playbook: str
    named: str  # ` -i FILE`, where the inventory is not the usual one


class Checkup:
    """One `doctor`. Raises InvalidInput where inventory or playbook does not hold."""

    def __init__(self, inventory: list[Path] | None, playbook: str, nodes: tuple[str, ...] | None) -> None:
        loaded = load_inventory(find_inventory(inventory))
        steps = load_playbook(playbook, loaded.paths[-1].parent)
        self.ground = Ground(
            part_of(loaded.cluster, nodes), loaded.cluster, loaded.warnings, steps.name, inventory_words(loaded.paths)
        )
        self._clock = SystemClock()
        self._run_clock = RunClock(self._clock)

    def show(self, *, as_json: bool, no_color: bool) -> int:
        """Check everything and show it. Raises Refused (10) or PortError (40) after that, where not all is in order."""
        items = self._items()
        code, message = _ending(items)
        stamp = self._run_clock.stamp()
        if as_json:
            print_json(doctor_json(self.ground.cluster.name, items, stamp, code.outcome, int(code), message))
        else:
            print_lines(doctor_lines(items, painter(no_color)))
        if code is ExitCode.REFUSED:
            raise Refused(message)
        if code is ExitCode.UNKNOWN:
            raise PortError(message, effect=Effect.NONE)
        if not as_json:
            print_lines([message])
        return int(code)

    def _items(self) -> list[Item]:
        ground = self.ground
        secrets = list(_secrets(ground.cluster))
        items = [*_inventory(ground), *secrets, *_journal(ground.cluster)]
        if any(item.answer is Answer.NO for item in secrets):
            return [*items, Item("network", "", Answer.UNREAD, "nothing was asked: first mend the secrets")]
        items += [Item("listeners", "", Answer.UNKNOWN, text) for text in outside_problems(ground.cluster)]
        assembled: Assembled = assemble(ground.cluster, self._clock)
        try:
            sight = look(
                assembled,
                ground.cluster,
                self._run_clock,
                rights=True,
                probes=True,
                within_s=WITHIN_S,
                again_s=AGAIN_S,
            )
        finally:
            assembled.close()
        return [
            *items,
            *_nodes(ground.cluster, sight, ground.named),
            *_endpoints(ground.cluster, sight),
            *_members(ground, sight),
            *_health(ground.cluster, sight),
            *_probes(sight),
        ]


def _inventory(ground: Ground) -> Iterator[Item]:
    cluster = ground.cluster
    names = ", ".join(node.name for node in cluster.live_nodes)
    yield Item("inventory", cluster.name, Answer.OK, f"it holds: nodes {names}; playbook {ground.playbook}")
    for warning in ground.warnings:
        yield Item("inventory", "", Answer.UNKNOWN, warning)


def _secrets(cluster: Cluster) -> Iterator[Item]:
    told: dict[str, Item] = {}
    for secret in secrets_of(cluster):
        if secret.reference not in told:
            told[secret.reference] = _secret(secret)
    yield from told.values()


def _secret(secret: Secret) -> Item:
    try:
        secret.reveal()
    except InvalidInput as error:
        return Item("secrets", "", Answer.NO, str(error))
    return Item("secrets", secret.reference, Answer.OK, "it can be read")


def _journal(cluster: Cluster) -> Iterator[Item]:
    """Could a run write its journal? Neither file nor folder stays behind."""
    file = store_path(cluster.state)
    if on_network(file):
        text = "it lies on a network file system, where SQLite's WAL can't work: name another `state`"
        yield Item("journal", str(file), Answer.NO, text)
        return
    there = nearest(file)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        text = f"{there} may not be written to by this user: name another `state`, or change its rights"
        yield Item("journal", str(file), Answer.NO, text)
    else:
        yield _journal_with_room(file, cluster)


def _journal_with_room(file: Path, cluster: Cluster) -> Item:
    try:
        try_room(file)
    except JournalError as error:
        return Item("journal", str(file), Answer.NO, str(error))
    if not file.exists():
        return Item("journal", str(file), Answer.OK, "it will be made by the first run")
    return _journal_that_is(file, cluster)


def _journal_that_is(file: Path, cluster: Cluster) -> Item:
    from rollsafe.journal.store import open_store

    if not os.access(file, os.W_OK):
        return Item("journal", str(file), Answer.NO, "this user may not write to it: change its rights")
    try:
        with open_store(cluster.state) as store:
            rows = store.runs(1)
    except JournalError as error:
        return Item("journal", str(file), Answer.NO, str(error))
    last = f"; the last run was {rows[0].run}" if rows else ""
    return Item("journal", str(file), Answer.OK, f"it may be written to{last}")


def _nodes(cluster: Cluster, sight: Sight, named: str) -> Iterator[Item]:
    services = tuple(service.name for service in cluster.services)
    for name, seen in sight.nodes.items():
        topic = f"node {name}"
        if seen.unreachable:
            yield Item(topic, "ssh", Answer.UNREAD, seen.unreachable.removeprefix(f"{name}: "))
            continue
        yield Item(topic, "ssh", Answer.OK, "reached; its host key is the known one")
        no = sight.unprovable(name, services)
        unprovable = f"{no.reason}. To change it: {no.remedy}" if no is not None else ""
        yield _right(topic, "what runs", seen.identity or unprovable, "the restart's proof can be read")
        yield _right(topic, "rights", seen.rights, "the restart and the claim are allowed")
        yield _claim(topic, seen, named)


def _right(topic: str, where: str, problem: str, good: str) -> Item:
    if problem:
        return Item(topic, where, Answer.NO, problem.removeprefix(f"{topic.removeprefix('node ')}: "))
    return Item(topic, where, Answer.OK, good)


def _claim(topic: str, seen: NodeSight, named: str) -> Item:
    if isinstance(seen.claim, Unread):
        return Item(topic, "claim", Answer.NO, seen.claim.reason)
    if seen.claim is None:
        return Item(topic, "claim", Answer.OK, "there is none")
    told = claim_words(seen.claim, "ended" if seen.claim.released else "unknown")
    return Item(
        topic, "claim", Answer.NO, f"{told}. Look: rollsafe status{named}; a dead one's: rollsafe recover{named}"
    )


def _endpoints(cluster: Cluster, sight: Sight) -> Iterator[Item]:
    for key in pools_of(cluster):
        pool = sight.readings.pools[key]
        topic, where = f"balancer {key[0]}", f"{key[1]} pool {key[2]}"
        if isinstance(pool, Unread):
            yield Item(topic, where, Answer.NO if pool.for_good else Answer.UNREAD, pool.reason)
        elif inherited := [seat for seat in pool.seats if seat.inherited]:
            text = f"{inherited[0].seat} follows {inherited[0].inherited}: name that one as the pool"
            yield Item(topic, where, Answer.NO, text)
        else:
            yield Item(topic, where, Answer.OK, f"read, {len(pool.seats)} members")
    for endpoint, no in too_slow(sight.readings.pools).items():
        yield Item(f"balancer {endpoint[0]}", "latency", Answer.NO, f"{no.reason}: {no.remedy}")
    for key2, verdict in sight.admin.items():
        answer = Answer.UNKNOWN if verdict.warning == UNPROVEN else Answer.OK if verdict.allowed else Answer.NO
        unread = all(isinstance(p, Unread) for k, p in sight.readings.pools.items() if k[:2] == key2)
        if not unread:  # that nobody answers was said above
            yield Item(f"balancer {key2[0]}", "admin right", answer, verdict.reason)


def _members(ground: Ground, sight: Sight) -> Iterator[Item]:
    asked = {node.name for node in ground.cluster.live_nodes}
    for key, service in pools_of(ground.whole).items():
        pool = sight.readings.pools[key]
        if not isinstance(pool, PoolReading):
            continue
        for node, member, problem in match_all(ground.whole, service, key[0], key[1], pool):
            where = f"{node} {service.name}"
            if node in asked and problem:
                yield Item("members", where, Answer.NO, problem)
            elif node in asked and member is not None:
                yield Item("members", where, Answer.OK, f"{member.pool}/{member.seat} on {member.endpoint}")


def _health(cluster: Cluster, sight: Sight) -> Iterator[Item]:
    for node in cluster.live_nodes:
        for service in cluster.services:
            where = f"{node.name} {service.name}"
            reading = sight.readings.health.get((node.name, service.name))
            if reading is None:
                yield Item("health", where, Answer.UNREAD, f"no answer within {WITHIN_S:g} s")
                continue
            evidence = reading.evidence
            status = f"HTTP {evidence.status}" if evidence.status is not None else evidence.detail
            seen = " ".join(part for part in (reading.state, status) if part)
            if reading.healthy:
                yield Item("health", where, Answer.OK, seen)
            else:
                yield Item("health", where, Answer.NO, f"{seen} {evidence.excerpt}".strip())


def _probes(sight: Sight) -> Iterator[Item]:
    for name, sample in sight.probes:
        good = sample is not None and sample.good
        yield Item("probes", name, Answer.OK if good else Answer.NO, said(sample))


def _ending(items: list[Item]) -> tuple[ExitCode, str]:
    noes = [i for i in items if i.answer is Answer.NO]
    unread = [i for i in items if i.answer is Answer.UNREAD]
    told = "; ".join(f"{i.topic}{' ' + i.where if i.where else ''}: {i.detail}" for i in [*unread, *noes])
    if not told:
        good = sum(1 for i in items if i.answer is Answer.OK)
        return ExitCode.DONE, f"All {good} checks are in order."
    only_secrets = all(i.topic == "network" for i in unread)
    if unread and not (noes and only_secrets):
        return ExitCode.UNKNOWN, f"{len(unread)} of {len(items)} checks got no answer, {len(noes)} said no: {told}"
    return ExitCode.REFUSED, f"{len(noes)} of {len(items)} checks said no: {told}"
