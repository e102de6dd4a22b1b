"""HAProxy's runtime API as version 2.6 prints it: one line of commands joined by `;`, one reply each, then the end.

Every text, column and blank line was read off the real program, and tests/lab/test_like_haproxy.py compares the two.
"""

import os
import time
from collections.abc import Callable
from typing import Protocol

from rollsafe.lab.seat import CHECKS, FMAINT, UNKNOWN, Seat

VERSION = "2.6.12-lab"

HEADER = (
    "pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,bck,"
    "chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,"
    "check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,"
    "req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,"
    "agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,"
    "agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,"
    "cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,"
    "used_conn_cur,need_conn_est,uweight,agg_server_status,agg_server_check_status,agg_check_status,-,"
    "ssl_sess,ssl_reused_sess,ssl_failed_handshake,h2_headers_rcvd,h2_data_rcvd,h2_settings_rcvd,h2_rst_stream_rcvd,"
    "h2_goaway_rcvd,h2_detected_conn_protocol_errors,h2_detected_strm_protocol_errors,h2_rst_stream_resp,h2_goaway_resp,"
    "h2_open_connections,h2_backend_open_streams,h2_total_connections,h2_backend_total_streams,h1_open_connections,"
    "h1_open_streams,h1_total_connections,h1_total_streams,h1_bytes_in,h1_bytes_out,h1_spliced_bytes_in,"
    "h1_spliced_bytes_out,"
)
COLUMNS = HEADER.split(",")
FRONTEND, BACKEND, SERVER = 1, 2, 4  # bits of the type in `show stat`

# The columns of a server that are 0 where nothing has happened.
COUNTED = (
    "qcur qmax scur smax stot bin bout dresp econ eresp wretr wredis bck lbtot rate rate_max hrsp_1xx hrsp_2xx"
    " hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other req_tot cli_abrt srv_abrt qtime ctime rtime ttime wrew connect reuse eint"
    " qtime_max ctime_max rtime_max ttime_max idle_conn_cur safe_conn_cur used_conn_cur srv_icur"
)

STATE_COLUMNS = (
    "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight"
    " srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state"
    " bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr"
    " srv_agent_addr srv_agent_port"
)

HELP = """\
  disable server (DEPRECATED)             : disable a server for maintenance (use 'set server' instead)
  enable server  (DEPRECATED)             : enable a disabled server (use 'set server' instead)
  set server <bk>/<srv> [opts]            : change a server's state, weight, address or ssl
  show backend                            : list backends in the current running config
  show info [desc|json|typed|float]*      : report information about the running process
  show servers state [<backend>]          : dump volatile server information (all or for a single backend)
  show stat [desc|json|no-maint|typed|up]*: report counters for each proxy and server
  show version                            : show version of the current process
  help [<command>]                        : list matching or all commands
  quit                                    : disconnect
"""


class Backend(Protocol):
    """What the runtime API shows and changes."""

    name: str
    seats: list[Seat]
    cookie_name: str
    started: float

    @property
    def pid(self) -> int:
        """The process that answers."""

    def totals(self) -> dict[str, int]:
        """Counters of the frontend."""


FRONTEND_ID, BACKEND_ID = 2, 3  # HAProxy numbers its proxies in the order of the file; the first is the socket's own


class Runtime:
    """The commands, over one backend with its frontend (`NAME-in`)."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._commands: list[tuple[str, Callable[[list[str]], str]]] = [
            ("show info", self._show_info),
            ("show stat", self._show_stat),
            ("show servers state", self._show_servers_state),
            ("show backend", lambda _: f"# name\n{backend.name}\n"),
            ("show table", lambda _: ""),
            ("show version", lambda _: f"{VERSION}\n"),
            ("set server", self._set_server),
            ("disable server", lambda words: self._order(words, "maint")),
            ("enable server", lambda words: self._order(words, "ready")),
            ("help", lambda _: f"The following commands are valid at this level:\n{HELP}"),
        ]

    def answer(self, line: str) -> str:
        """The replies to one line of commands."""
        replies = []
        for command in line.split(";"):
            words = command.split()
            if words == ["quit"]:
                break
            replies.append(self._one(words) + "\n")
        return "".join(replies)

    def _one(self, words: list[str]) -> str:
        if not words:
            return f"Unknown command. Please enter one of the following commands only:\n{HELP}"
        for name, act in self._commands:
            length = len(name.split())
            if words[:length] == name.split():
                return act(words[length:])
        return f"Unknown command, but maybe one of the following ones is a better match:\n{HELP}"

    # --- writes: success says nothing ---

    def _set_server(self, words: list[str]) -> str:
        seat = self._seat(words)
        if isinstance(seat, str):
            return seat
        if words[1:2] != ["state"]:
            return (
                "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr"
                " | check-port | fqdn | health | ssl | state | weight\n"
            )
        state = words[2] if len(words) > 2 else ""
        if state not in ("ready", "drain", "maint"):
            return "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n"
        seat.order(state)
        return ""

    def _order(self, words: list[str], state: str) -> str:
        seat = self._seat(words)
        if isinstance(seat, str):
            return seat
        seat.order(state)
        return ""

    def _seat(self, words: list[str]) -> Seat | str:
        pool, slash, name = (words[0] if words else "").partition("/")
        if not slash:
            return "Require 'backend/server'.\n"
        if pool not in (self._backend.name, f"#{BACKEND_ID}"):
            return "No such backend.\n"
        return next((seat for seat in self._backend.seats if seat.name == name), "No such server.\n")

    # --- reads ---

    def _show_info(self, _: list[str]) -> str:
        age = int(time.monotonic() - self._backend.started)
        totals = self._backend.totals()
        facts = {
            "Name": "HAProxy",
            "Version": VERSION,
            "Release_date": "2026/10/17",
            "Nbthread": 1,
            "Nbproc": 1,
            "Process_num": 1,
            "Pid": self._backend.pid,
            "Uptime": f"{age // 86400}d {age // 3600 % 24}h{age // 60 % 60:02}m{age % 60:02}s",
            "Uptime_sec": age,
            "CurrConns": totals.get("scur", 0),
            "CumConns": totals.get("conn_tot", 0),
            "CumReq": totals.get("req_tot", 0),
            "node": os.uname().nodename,
            "Stopping": 0,
            "Jobs": 2,
            "Listeners": 2,
        }
        return "".join(f"{name}: {value}\n" for name, value in facts.items())

    def _show_servers_state(self, words: list[str]) -> str:
        if words and words[0] != self._backend.name:
            return "Can't find backend.\n"
        rows = "".join(self._state_row(seat) for seat in self._backend.seats)
        return f"1\n# {STATE_COLUMNS}\n{rows}"

    def _state_row(self, seat: Seat) -> str:
        in_maint = bool(seat.admin & FMAINT)
        check_state = 0x06 | (0x08 if in_maint else 0) | (0x01 if seat.checking else 0)  # enabled, paused, in progress
        facts: list[object] = [BACKEND_ID, self._backend.name, seat.sid, seat.name, seat.host]
        facts += [2 if seat.running else 0, seat.admin, 1, 1, int(time.monotonic() - seat.changed)]
        facts += [CHECKS[seat.check.status][0], UNKNOWN if seat.checking else seat.result, seat.health, check_state, 0]
        facts += [0, 0, "-", seat.port, "-", 0, 0, "-", "-", 0]
        return " ".join(str(fact) for fact in facts) + "\n"

    def _show_stat(self, words: list[str]) -> str:
        kinds = FRONTEND | BACKEND | SERVER
        names = (self._backend.name, f"{self._backend.name}-in")
        only = ""
        if len(words) >= 3:  # `show stat {POOL|NUMBER|-1} TYPES SERVER`
            only, kinds = words[0], int(words[1]) if words[1].lstrip("-").isdigit() else 0
            numbers = {str(FRONTEND_ID): names[1], str(BACKEND_ID): names[0], "-1": ""}
            only = numbers.get(only, only)
            if only and only not in names:
                return "No such proxy.\n"
        rows = []
        if kinds & FRONTEND and only in ("", names[1]):
            rows.append(self._frontend_row(names[1]))
        if only in ("", names[0]):
            rows += [self._server_row(seat) for seat in self._backend.seats] if kinds & SERVER else []
            rows += [self._backend_row()] if kinds & BACKEND else []
        return f"# {HEADER}\n" + "".join(rows)

    def _server_row(self, seat: Seat) -> str:
        cells: dict[str, object] = dict.fromkeys(COUNTED.split(), 0)
        since = int(time.monotonic() - seat.changed)
        cells |= {"svname": seat.name, "status": seat.status, "sid": seat.sid, "type": 2, "act": 1, "weight": 1}
        cells |= {"chkfail": seat.failed_checks, "chkdown": seat.downs, "lastchg": since, "downtime": 0}
        cells |= {"addr": f"{seat.host}:{seat.port}", "cookie": seat.cookie, "need_conn_est": 1, "uweight": 1}
        cells |= {"lastsess": -1 if seat.last_session is None else int(time.monotonic() - seat.last_session)}
        cells |= seat.counts
        if not seat.admin & FMAINT:
            cells |= self._check_cells(seat)
        return self._row(cells)

    @staticmethod
    def _check_cells(seat: Seat) -> dict[str, object]:
        check = seat.check
        first = check.status == "INI"
        return {
            "check_status": f"* {check.status}" if seat.checking else check.status,
            "check_code": ("0" if check.code else "") if seat.checking else check.code,
            "check_duration": "" if first else check.duration_ms,
            "check_desc": CHECKS[check.status][1],
            "last_chk": "" if seat.checking else check.detail,
            "check_rise": seat.rise,
            "check_fall": seat.fall,
            "check_health": seat.health,
        }

    def _backend_row(self) -> str:
        seats = self._backend.seats
        serving = sum(seat.takes_new for seat in seats)
        cells: dict[str, object] = {"svname": "BACKEND", "sid": 0, "type": 1, "status": "UP" if serving else "DOWN"}
        cells |= {
            "act": serving,
            "weight": serving,
            "bck": 0,
            "cookie": self._backend.cookie_name,
            "algo": "roundrobin",
        }
        for column in ("qcur", "scur", "stot", "req_tot", "lbtot", "econ", "eresp", "hrsp_2xx", "hrsp_4xx", "hrsp_5xx"):
            cells[column] = sum(seat.counts.get(column, 0) for seat in seats)
        return self._row(cells)

    def _frontend_row(self, name: str) -> str:
        cells: dict[str, object] = {"pxname": name, "svname": "FRONTEND", "iid": FRONTEND_ID, "sid": 0, "type": 0}
        cells |= {"status": "OPEN", "slim": 200, **self._backend.totals()}
        return self._row(cells)

    def _row(self, cells: dict[str, object]) -> str:
        known: dict[str, object] = {"pxname": self._backend.name, "pid": 1, "iid": BACKEND_ID, "mode": "http", "-": "-"}
        known |= dict.fromkeys(("ssl_sess", "ssl_reused_sess", "ssl_failed_handshake"), 0)
        known |= cells
        return ",".join(str(known.get(column, "")) for column in COLUMNS) + "\n"
