"""HAProxy by its runtime API (2.0 and later), where a write's good answer is silence and proves nothing."""

import math
import re
from typing import TYPE_CHECKING

from rollsafe.drivers.balancers.deadline import Deadline
from rollsafe.drivers.balancers.haproxy_parse import pool_reading, read_tables
from rollsafe.drivers.balancers.haproxy_wire import Wire
from rollsafe.errors import BalancerError, Effect, InvalidInput, MayOnlyLook, NoSuchPool
from rollsafe.model.reading import Found, PoolReading
from rollsafe.model.settings import BalancerSettings, EndpointSettings
from rollsafe.model.wording import ended
from rollsafe.ports import Balancer

if TYPE_CHECKING:
    from rollsafe.drivers.balancers import SshFor

# What HAProxy itself allows in a name (configuration.txt, section 2.1 "Proxy names"); `;` would begin a second command.
NAME = re.compile(r"[A-Za-z0-9_.:-]+\Z")


class HaproxyBalancer:
    """One HAProxy process's runtime socket. Safe to call from several threads: each call has its own connection."""

    def __init__(self, balancer: BalancerSettings, endpoint: EndpointSettings, ssh_for: "SshFor") -> None:
        """Connects to nothing yet. Raises InvalidInput for an address or an option that this driver does not know."""
        if balancer.options:
            raise InvalidInput(
                [f"balancers.{balancer.name}.{key}: the haproxy driver has no such option" for key in balancer.options]
            )
        self._wire = Wire(endpoint, ssh_for)
        self._url = endpoint.url
        # whom each seat tracks, as last read: the configuration of a process does not change under it
        self._parents: dict[tuple[str, str], str | None] = {}

    def read(self, pool: str) -> PoolReading:
        """All servers of a backend. One line asks for all tables, so that they are of one process and moment."""
        return self._read(pool, self._wire.deadline())

    def _read(self, pool: str, deadline: Deadline) -> PoolReading:
        _named("backend", pool)
        text = self._wire.ask(f"show servers state {pool}; show stat {pool} 4 -1; show info; show table", deadline)
        self._complain(text, pool, deadline)
        try:
            reading = pool_reading(read_tables(text, pool), pool)
        except BalancerError as error:
            raise BalancerError(f"{self._url}: {error}") from error
        known = {key: parent for key, parent in self._parents.items() if key[0] != pool}
        self._parents = known | {(pool, seat.seat): seat.inherited for seat in reading.seats}
        return reading

    def write(self, pool: str, seat: str, to: Found, *, within_s: float = math.inf) -> None:
        """Set a server's admin state. HAProxy keeps it in one word, so `to.restore` is always empty and not needed."""
        _named("backend", pool)
        _named("server", seat)
        deadline = self._wire.deadline(within_s)
        if (pool, seat) not in self._parents:
            try:
                self._read(pool, deadline)
            except BalancerError as error:
                raise BalancerError(str(error), effect=Effect.NONE) from error  # nothing but reading was tried
        self._refuse(pool, seat)
        answer = self._wire.ask(f"set server {pool}/{seat} state {to.admin.value}", deadline).strip()
        if answer:
            raise BalancerError(self._reason(answer, f"{pool}/{seat}"), effect=Effect.NONE)

    def may_write(self) -> bool:
        """May this socket set admin states, as far as it tells? False: it does not tell. Changes nothing.

        Raises MayOnlyLook where it says so. Source: management.txt, section 9.3, `show cli level`.
        """
        answer = self._wire.ask("show cli level", self._wire.deadline()).strip()
        if answer in ("user", "operator"):
            raise MayOnlyLook(
                f"{self._url}: this socket may only look (its level is {answer}): give its `stats socket` line "
                "`level admin`.",
                effect=Effect.NONE,
            )
        return answer == "admin"

    def _refuse(self, pool: str, seat: str) -> None:
        """Raises BalancerError for a seat that is not there, or that follows another."""
        if (pool, seat) not in self._parents:
            seats = ", ".join(sorted(name for in_pool, name in self._parents if in_pool == pool))
            raise BalancerError(
                f"{self._url}: backend {pool} has no server {seat}; it has: {seats or 'none'}.", effect=Effect.NONE
            )
        parent = self._parents[pool, seat]
        if parent is not None:
            raise BalancerError(
                f"{self._url}: {pool}/{seat} follows {parent} (`track`), so its state is decided there and nothing was "
                f"written. Name the backend of {parent} as the pool, or give {pool}/{seat} a `check` of its own.",
                effect=Effect.NONE,
            )

    def _complain(self, text: str, pool: str, deadline: Deadline) -> None:
        """Raises BalancerError where the answer is a refusal."""
        head = text.lstrip("\n").partition("\n")[0].strip()
        if head in ("Can't find backend.", "No such proxy.", "No such backend."):
            listed = self._wire.ask("show backend", deadline).split()
            pools = ", ".join(word for word in listed if word not in ("#", "name"))
            raise NoSuchPool(
                f"{self._url}: there is no backend {pool}; there are: {pools or 'none'}", effect=Effect.NONE
            )
        if head.startswith(("Permission denied", "Unknown command")):
            raise BalancerError(self._reason(head, f"backend {pool}"), effect=Effect.NONE)

    def _reason(self, answer: str, what: str) -> str:
        text = " ".join(answer.split())[:300]
        if "Permission denied" in answer:
            return (
                f"{self._url}: HAProxy refused to touch {what}: {ended(text)} This socket may only look: "
                "give its `stats socket` line `level admin`."
            )
        return f"{self._url}: HAProxy refused to touch {what}: {text}"


_conforms: type[Balancer] = HaproxyBalancer


def _named(kind: str, name: str) -> None:
    """Raises BalancerError for a name that HAProxy can't have, before it can become a second command."""
    if not NAME.match(name):
        raise BalancerError(
            f"{name!r} can't be the name of a {kind} in HAProxy: names hold A-Z a-z 0-9 . : _ - only.",
            effect=Effect.NONE,
        )
