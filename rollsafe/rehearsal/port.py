"""The ports of rollsafe onto the simulated cluster, as one operator holds them."""

import math

from rollsafe.errors import BalancerError, ClaimError, Effect, ShellError
from rollsafe.model.claim import ClaimRecord, Token
from rollsafe.model.reading import (
    Evidence,
    Found,
    HealthReading,
    IdentityReading,
    PoolReading,
    RestartReading,
)
from rollsafe.ports import Balancer, ClaimFile, HealthCheck, Restarter
from rollsafe.rehearsal.balancers import SimEndpoint
from rollsafe.rehearsal.nodes import LOCK_WAIT_S, SimNode
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.outside import Outside

SSH_LIMIT_S = 15.0


class SimBalancer:
    """ports.Balancer on one simulated endpoint."""

    def __init__(self, operator: Operator, endpoint: SimEndpoint, outside: Outside) -> None:
        self._operator = operator
        self._endpoint = endpoint
        self._outside = outside

    def read(self, pool: str) -> PoolReading:
        """All seats of the pool. Raises BalancerError."""
        endpoint, operator = self._endpoint, self._operator

        def look() -> PoolReading:
            if pool not in endpoint.pools:
                raise BalancerError(f"no pool {pool!r}; there are: {', '.join(endpoint.pools)}", effect=Effect.NONE)
            return endpoint.read(pool)

        reading = operator.call(
            "balancer.read",
            f"{endpoint.balancer} {endpoint.url} {pool}",
            look,
            BalancerError,
            timeout_s=endpoint.timeout_s,
            reach=endpoint.api,
        )
        operator.seen[endpoint.key, pool] = (operator.clock.timeline.now, reading)
        return reading

    def write(self, pool: str, seat: str, to: Found, *, within_s: float = math.inf) -> None:
        """Set the admin state. Raises BalancerError."""
        endpoint, operator = self._endpoint, self._operator

        def tell() -> None:
            if seat not in endpoint.pools.get(pool, {}):
                raise BalancerError(f"no server {seat!r} in {pool!r}", effect=Effect.NONE)
            self._outside.writes(operator, endpoint, pool, seat, to)
            endpoint.restore(pool, seat, to, operator.name)
            operator.wrote[endpoint.key, pool, seat] = operator.clock.timeline.now

        operator.call(
            "balancer.write",
            f"{endpoint.balancer} {endpoint.url} {pool}/{seat} {to.admin.value}",
            tell,
            BalancerError,
            timeout_s=min(endpoint.timeout_s, within_s),
            reach=endpoint.api,
        )


class SimClaimFile:
    """ports.ClaimFile on one simulated node's disk; every change waits for the node's lock, with a limit."""

    def __init__(self, operator: Operator, node: SimNode, outside: Outside) -> None:
        self._operator = operator
        self._node = node
        self._outside = outside

    def read(self) -> ClaimRecord | None:
        """The claim as it is now. Raises ClaimError."""
        node = self._node

        def look() -> ClaimRecord | None:
            if node.claim_damaged:
                raise ClaimError(f"the claim on {node.name} makes no sense", effect=Effect.NONE)
            return node.claim

        return self._operator.call("claim.read", node.name, look, ClaimError, timeout_s=SSH_LIMIT_S, reach=node.ssh)

    def create(self, record: ClaimRecord) -> bool:
        """Make the claim where there is none. Raises ClaimError."""
        node = self._node

        def make() -> bool:
            self._await_lock()
            if node.claim is not None or node.claim_damaged:
                return False
            self._put(record)
            return True

        return self._operator.call("claim.create", node.name, make, ClaimError, timeout_s=SSH_LIMIT_S, reach=node.ssh)

    def swap(self, expected: Token, record: ClaimRecord | None) -> bool:
        """Replace or remove the claim that carries `expected`. Raises ClaimError."""
        node = self._node

        def change() -> bool:
            self._await_lock()
            if not node.carries(expected):
                return False
            self._put(record)
            return True

        return self._operator.call("claim.swap", node.name, change, ClaimError, timeout_s=SSH_LIMIT_S, reach=node.ssh)

    def _put(self, record: ClaimRecord | None) -> None:
        node, operator = self._node, self._operator
        before = node.claim
        node.claim = record
        if record is None:
            return
        self._outside.listed(set(record.entries) - set(before.entries if before else ()))
        if before is None or before.token.holder != record.token.holder or before.token.epoch != record.token.epoch:
            node.claimed_at = operator.clock.timeline.now
        node.claimed_by = operator.name
        operator.token = record.token

    def _await_lock(self) -> None:
        if not await_lock(self._operator, self._node):
            message = f"the lock on {self._node.name} is held for longer than {LOCK_WAIT_S:g} s (a restart runs)"
            raise ClaimError(message, effect=Effect.NONE)


class SimRestarter:
    """ports.Restarter: compares the claim under the node's lock, holds it while the command runs, outlives the SSH."""

    def __init__(self, operator: Operator, node: SimNode, outside: Outside) -> None:
        self._operator = operator
        self._node = node
        self._outside = outside
        self._begun: Token | None = None

    def identity(self, *, again_s: float | None = None) -> IdentityReading:
        """Which JVM runs. Raises ShellError."""
        node = self._node

        def look() -> IdentityReading:
            return node.identity(again=again_s is not None)

        return self._operator.call(
            "restarter.identity", node.name, look, ShellError, timeout_s=SSH_LIMIT_S, reach=node.ssh
        )

    def begin(self, token: Token, *, until_s: float | None = None) -> bool:
        """Start the restart where the claim carries the token. Raises ShellError."""
        node, operator = self._node, self._operator
        self._begun = token
        sent_s = operator.clock.timeline.now + operator.aside_s

        def go() -> bool:
            if not await_lock(operator, node):
                raise ShellError(f"the lock on {node.name} is held", effect=Effect.NONE)
            if not node.carries(token):
                return False
            if until_s is not None and operator.clock.timeline.now + operator.aside_s > until_s:
                raise ShellError("the order to restart was held up on its way", effect=Effect.NONE)
            self._outside.restarts(operator, node, sent_s)
            node.restart(operator.name, token)
            return True

        return operator.call("restarter.begin", node.name, go, ShellError, timeout_s=SSH_LIMIT_S, reach=node.ssh)

    def progress(self) -> RestartReading:
        """How far the restart has come. Raises ShellError."""
        node, begun = self._node, self._begun

        def look() -> RestartReading:
            return node.progress(begun)

        return self._operator.call(
            "restarter.progress", node.name, look, ShellError, timeout_s=SSH_LIMIT_S, reach=node.ssh
        )

    def let_go(self) -> None:
        """Give up the lock. Raises ShellError."""
        node = self._node

        def go() -> None:
            node.locked_until = min(node.locked_until, self._operator.clock.timeline.now)

        self._operator.call("restarter.let_go", node.name, go, ShellError, timeout_s=SSH_LIMIT_S, reach=node.ssh)

    def end(self) -> bool:
        """End a command that hangs. Raises ShellError."""
        node = self._node
        self._operator.call(
            "restarter.end", node.name, node.end_command, ShellError, timeout_s=SSH_LIMIT_S, reach=node.ssh
        )
        return True


class SimCheck:
    """ports.HealthCheck of one service on one node."""

    def __init__(self, operator: Operator, node: SimNode, service: str, timeout_s: float) -> None:
        self._operator = operator
        self._node = node
        self._service = service
        self._timeout_s = timeout_s

    def check(self) -> HealthReading:
        """Ask now; never raises."""
        struck = self._operator.told(f"check {self._node.name} {self._service}")
        if struck is None:
            return self._node.look(self._service)
        way, told = struck
        self._operator.pass_time(told.waits * self._timeout_s)
        if told.effect is None:
            return self._node.look(self._service)
        evidence = Evidence(detail=told.words)
        return HealthReading(self._node.name, self._service, False, way.value, evidence=evidence)


def await_lock(operator: Operator, node: SimNode) -> bool:
    """Wait for the node's lock; False where the limit passed first."""
    now = operator.clock.timeline.now
    if operator.late:
        return node.locked_until <= now
    wait = min(node.locked_until - now - operator.aside_s, LOCK_WAIT_S)
    if wait > 0:
        operator.pass_time(wait)
    return node.locked_until <= operator.clock.timeline.now + operator.aside_s


_balancer: type[Balancer] = SimBalancer
_claim: type[ClaimFile] = SimClaimFile
_restarter: type[Restarter] = SimRestarter
_check: type[HealthCheck] = SimCheck
