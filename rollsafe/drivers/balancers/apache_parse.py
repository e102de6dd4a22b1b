"""Apache's balancer-manager page, as text in and readings out. Nothing here touches a socket.

Sources: mod_proxy_balancer.c of httpd 2.4 and runs of 2.4.71. The XML says the states; only the HTML says whether
a member is checked by mod_proxy_hcheck (column `HC Method`), and, before 2.4.66 or so, the nonce.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

from rollsafe.errors import BalancerError
from rollsafe.model.reading import AdminState, Check, PoolReading, SeatReading

NS = "{http://httpd.apache.org}"
HEADING = re.compile(r"<h1>Load Balancer Manager for ([^<]*)</h1>")
_LINK = re.compile(r'<a href="[^"?]*\?([^"]*)"')
_ROW = re.compile(r"<tr>(.*?)</tr>", re.DOTALL | re.IGNORECASE)
_CELL = re.compile(r"<t[dh][^>]*>(.*?)</t[dh]>", re.DOTALL | re.IGNORECASE)

# the words of a member's status that this driver writes, and the letter that sets each
FLAGS = {"N": "Drn", "D": "Dis"}
STOPPED = "Stop"


@dataclass(frozen=True, slots=True)
class Page:
    """What only the HTML page says."""

    server_name: str  # as the server itself spells it: its check of the Referer compares with this
    nonces: Mapping[str, str]  # by pool
    checked: frozenset[tuple[str, str]]  # (pool, member's URL) with a check of mod_proxy_hcheck


@dataclass(frozen=True, slots=True)
class Worker:
    """One member's row of the XML."""

    name: str  # its URL
    words: frozenset[str]
    host: str
    port: str
    busy: int
    elected: int

    def flag(self, letter: str) -> bool:
        """Is the flag set that `w_status_LETTER` sets?"""
        return FLAGS[letter] in self.words

    @property
    def admin(self) -> AdminState:
        """What people told Apache: `Dis` and `Stop` let nobody in, `Drn` only clients with a route cookie."""
        if self.words & {"Dis", STOPPED}:
            return AdminState.MAINT
        return AdminState.DRAIN if self.flag("N") else AdminState.READY


@dataclass(frozen=True, slots=True)
class Pool:
    """One balancer of the XML. `nonce` None: this version's XML does not tell it."""

    name: str
    nonce: str | None
    workers: tuple[Worker, ...]


def parse_page(html: str) -> Page | None:
    """The HTML page; None where the text is no balancer-manager page."""
    heading = HEADING.search(html)
    if heading is None:
        return None
    nonces: dict[str, str] = {}
    checked: set[tuple[str, str]] = set()
    columns: list[str] = []
    for row in _ROW.findall(html):
        cells = _CELL.findall(row)
        if "Worker URL" in cells:
            columns = cells
        elif len(cells) == len(columns) and "HC Method" in columns:
            link = _query(row)
            if cells[columns.index("HC Method")].strip().upper() not in ("NONE", ""):
                checked.add((link.get("b", ""), link.get("w", "")))
    for match in _LINK.finditer(html):
        link = _fields(match.group(1))
        if "b" in link:
            nonces.setdefault(link["b"], link.get("nonce", ""))
    return Page(unescape(heading.group(1)), nonces, frozenset(checked))


def parse_xml(text: str) -> dict[str, Pool] | None:
    """The XML, by pool; None where the text is none. Raises BalancerError for XML that was cut or makes no sense."""
    if not text.lstrip().startswith("<?xml"):
        return None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # Apache writes none: an entity bomb would
        raise BalancerError("the balancer-manager's XML declares entities, which Apache never does: is it Apache?")
    try:
        root = ET.fromstring(text)  # noqa: S314 - no entities (just seen), bounded in size
        return {pool.name: pool for pool in _pools(root)}
    except (ET.ParseError, ValueError) as error:
        raise BalancerError(f"the balancer-manager's XML was cut or makes no sense: {error}") from error


def pool_reading(pool: Pool, nonce: str, checked: frozenset[tuple[str, str]]) -> PoolReading:
    """The reading. A new nonce means a restart: the counts of requests begin at 0, with old ones still in flight."""
    seats = tuple(_seat(worker, has_check=(pool.name, worker.name) in checked) for worker in pool.workers)
    process = hashlib.sha256(nonce.encode()).hexdigest()[:12] if nonce else None  # the nonce itself is a secret
    return PoolReading(pool.name, seats, process=process)


def check_of(worker: Worker, *, has_check: bool) -> Check:
    """What Apache says of a member's health. `Ok` without mod_proxy_hcheck only means *not yet failed*.

    `Err` is a failed request. Only requests of clients clear it, so on a member that gets none it says nothing.
    """
    if "HcFl" in worker.words:
        return Check.DOWN
    if STOPPED in worker.words:
        return Check.RISING if has_check else Check.NOT_CHECKED  # a stopped member is not checked
    if "Err" in worker.words and (has_check or worker.admin is AdminState.READY):
        return Check.DOWN
    if "Init" not in worker.words and has_check:
        return Check.RISING
    return Check.UP if has_check else Check.NOT_CHECKED


def _seat(worker: Worker, *, has_check: bool) -> SeatReading:
    return SeatReading(
        seat=worker.name,
        admin=worker.admin,
        check=check_of(worker, has_check=has_check),
        active=worker.busy,
        address=f"[{worker.host}]:{worker.port}" if ":" in worker.host else f"{worker.host}:{worker.port}",
        total=worker.elected,
        raw=" ".join(sorted(worker.words)),
        restore={letter: "1" if worker.flag(letter) else "0" for letter in FLAGS},
    )


def _pools(root: ET.Element) -> Iterator[Pool]:
    if root.tag != f"{NS}manager":
        raise ValueError(f"the root is {root.tag}")
    for balancer in root.iter(f"{NS}balancer"):
        name = _text(balancer, "name").removeprefix("balancer://")
        nonce = balancer.find(f"{NS}nonce")
        workers = tuple(_worker(worker) for worker in balancer.iter(f"{NS}worker"))
        yield Pool(name, None if nonce is None else nonce.text or "", workers)


def _worker(worker: ET.Element) -> Worker:
    return Worker(
        name=_text(worker, "name"),
        words=frozenset(_text(worker, "status").split()),
        host=_text(worker, "hostname"),
        port=_text(worker, "port"),
        busy=int(_text(worker, "busy")),
        elected=int(_text(worker, "elected")),
    )


def _text(element: ET.Element, name: str) -> str:
    found = element.find(f"{NS}{name}")
    if found is None or found.text is None:
        raise ValueError(f"<{name}> is missing")
    return found.text.strip()


def _query(row: str) -> dict[str, str]:
    match = _LINK.search(row)
    return _fields(match.group(1)) if match else {}


def _fields(query: str) -> dict[str, str]:
    parts = parse_qs(unescape(query), keep_blank_values=True)
    return {name: values[0] for name, values in parts.items()}


def is_manager(url: str) -> bool:
    """Does the address look like one of a balancer-manager?"""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
