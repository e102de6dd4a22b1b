"""HAProxy's tables, as text in and readings out. Nothing here touches a socket.

Sources: HAProxy's doc/management.txt (`show servers state`, `show stat`, `show info`) and runs of 2.6.
Columns are found by their header's name: versions add and move them.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass

from rollsafe.errors import BalancerError
from rollsafe.model.reading import AdminState, Check, PoolReading, SeatReading

# srv_admin_state, printed in decimal. 0x04 says only that the configuration file had `disabled`: a member that was
# made ready since then still carries it. 0x20 is a name that does not resolve: nobody's order, but nobody gets in.
FORCED_MAINT, INHERITED_MAINT, FORCED_DRAIN, INHERITED_DRAIN, UNRESOLVED = 0x01, 0x02, 0x08, 0x10, 0x20

# srv_op_state
STOPPED, STOPPING = 0, 3

# srv_check_state, srv_agent_state
CONFIGURED, ENABLED = 0x02, 0x04

PASSED = ("L4OK", "L6OK", "L7OK", "PROCOK")
UNSURE_S = (
    5  # with `fall 1` a member that left maint looks fully healthy before its first check (HAProxy's longest usual)
)

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Tables:
    """The answers that make one reading."""

    state: tuple[Row, ...]
    stat: Mapping[str, Row]  # by server name
    info: Mapping[str, str]
    stick_table: bool = False  # the backend has one of its own name


def read_tables(text: str, pool: str) -> Tables:
    """Take apart `show servers state B; show stat B 4 -1; show info; show table`. Raises BalancerError where one of the
    first three is missing; the last one names all stick tables, or is an older version's or a lower level's no."""
    state: tuple[Row, ...] | None = None
    stat: dict[str, Row] | None = None
    info: dict[str, str] = {}
    stick_table = any(line.startswith(f"# table: {pool},") for line in text.splitlines())
    for section in text.split("\n\n"):
        lines = section.strip("\n").split("\n")
        if len(lines) > 1 and lines[1].startswith("# be_id"):
            state = tuple(_state_row(lines[1], line) for line in lines[2:])
        elif lines[0].startswith("# pxname"):
            stat = {row["svname"]: row for row in _stat_rows(lines) if row["pxname"] == pool}
        elif any(line.startswith("Pid:") for line in lines):
            info = dict(_info_pair(line) for line in lines if ":" in line)
    if state is None or stat is None or not info:
        raise BalancerError(f"HAProxy's answer about backend {pool} makes no sense: it begins {text[:120]!r}")
    names = {row["srv_name"] for row in state if row["be_name"] == pool}
    if names != set(stat):
        raise BalancerError(f"HAProxy's two lists of backend {pool} differ: {sorted(names)} and {sorted(stat)}")
    return Tables(state, stat, info, stick_table)


def pool_reading(tables: Tables, pool: str) -> PoolReading:
    """The reading of one backend. Raises BalancerError for a number that is none."""
    try:
        seats = tuple(_seat(row, tables.stat[row["srv_name"]]) for row in tables.state if row["be_name"] == pool)
        uptime = float(tables.info["Uptime_sec"]) if "Uptime_sec" in tables.info else None
    except (KeyError, ValueError) as error:
        raise BalancerError(f"HAProxy's answer about backend {pool} lacks or garbles a column: {error}") from error
    cookies = any(row.get("cookie") for row in tables.stat.values())
    return PoolReading(pool, seats, process=tables.info["Pid"], uptime_s=uptime, pinned=cookies or tables.stick_table)


def admin_state(mask: int) -> AdminState:
    """What people told HAProxy, by the decimal mask."""
    if mask & (FORCED_MAINT | INHERITED_MAINT):
        return AdminState.MAINT
    return AdminState.DRAIN if mask & (FORCED_DRAIN | INHERITED_DRAIN) else AdminState.READY


def check_of(state: Row, stat: Row) -> Check:
    """What HAProxy's own check says, kept apart from the admin state. UP only when the last check passed and nothing
    of `rise` and `fall` is owed: after maint HAProxy shows an old result, and sends traffic on its strength."""
    mask = int(state["srv_admin_state"])
    agent = int(state.get("srv_agent_state", "0")) & CONFIGURED
    checked = int(state["srv_check_state"]) & CONFIGURED
    if mask & UNRESOLVED:
        return Check.DOWN
    if not (checked or agent or stat.get("tracked")):
        return Check.NOT_CHECKED
    if mask & (FORCED_MAINT | INHERITED_MAINT):
        return Check.RISING  # in maint no check runs: whatever it said is old
    return _running_check(state, stat, checked=bool(checked))


def _running_check(state: Row, stat: Row, *, checked: bool) -> Check:
    operation = int(state["srv_op_state"])
    if operation == STOPPED:
        return Check.RISING if "/" in stat["status"].partition(" (")[0] else Check.DOWN
    if operation == STOPPING:
        return Check.DOWN  # the node asked for no new clients (http-check disable-on-404)
    if not checked:
        return Check.UP  # an agent's or the tracked server's word, which HAProxy has put into the operational state
    if not int(state["srv_check_state"]) & ENABLED:
        return Check.NOT_CHECKED  # somebody typed `disable health`
    return Check.UP if _full_health(state, stat) else Check.RISING


def _full_health(state: Row, stat: Row) -> bool:
    word = stat["check_status"].removeprefix("* ")  # a star: the next check is under way, this is the last one's result
    if word not in PASSED or "/" in stat["status"]:
        return False
    rise, fall = stat.get("check_rise", ""), stat.get("check_fall", "")
    if rise and fall and int(state["srv_check_health"]) < int(rise) + int(fall) - 1:
        return False
    return fall != "1" or int(state["srv_time_since_last_change"]) >= UNSURE_S


def _seat(state: Row, stat: Row) -> SeatReading:
    mask = int(state["srv_admin_state"])
    return SeatReading(
        seat=state["srv_name"],
        admin=admin_state(mask),
        check=check_of(state, stat),
        active=int(stat["scur"]) + int(stat["qcur"] or "0"),
        address=_address(state, stat),
        total=int(stat["stot"]) if stat.get("stot") else None,
        counts="connections" if stat.get("mode") == "tcp" else "requests",
        raw=f"{stat['status']}, mask {mask}",
        inherited=_parent(stat, mask),
        unused="weight 0" if state.get("srv_uweight") == "0" else "",  # the old way to drain: it stays ready and UP
    )


def _parent(stat: Row, mask: int) -> str | None:
    """Whom the server tracks. Its state follows that one at any moment, so it is never driven by itself."""
    if stat.get("tracked"):
        return stat["tracked"]
    _, via, parent = stat["status"].partition("(via ")
    if via:
        return parent.rstrip(")")
    return "the server that it tracks" if mask & (INHERITED_MAINT | INHERITED_DRAIN) else None


def _address(state: Row, stat: Row) -> str | None:
    if stat.get("addr"):
        return stat["addr"]
    host, port = state["srv_addr"], state.get("srv_port", "0")
    if host in ("-", ""):
        return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _state_row(header: str, line: str) -> Row:
    names, values = header.removeprefix("# ").split(), line.split(" ")
    if len(values) < len(names):
        raise BalancerError(f"HAProxy's list of servers was cut: {line[:120]!r}")
    return dict(zip(names, values, strict=False))  # some versions print a trailing blank


def _stat_rows(lines: list[str]) -> list[Row]:
    header, *rows = csv.reader([lines[0].removeprefix("# "), *lines[1:]])
    for row in rows:
        if len(row) != len(header):
            raise BalancerError(f"HAProxy's statistics were cut: {','.join(row)[:120]!r}")
    return [dict(zip(header, row, strict=True)) for row in rows]


def _info_pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()
