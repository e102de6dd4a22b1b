"""Does a run tell the truth about its end? (I8 and I9, as an outside observer sees them.)"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rollsafe.rehearsal.balancers import SimEndpoint, SimSeat
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.outside import Outside, Violation


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run says that it ended: what the judgement compares with the truth."""

    exit_code: int
    left_out: Sequence[Mapping[str, object]] = ()
    others: Sequence[Mapping[str, object]] = ()
    message: str = ""


def judge(
    outside: Outside, operator: Operator, ended: Ended, *, mode: str = "run", selected: Sequence[str] = ()
) -> list[Violation]:
    """I8 and I9: compare what a run says of its end with the truth at this moment.

    A command that is refused (10) before it met a dead run, or that could not begin (40), says nothing of what that run
    left out.
    """
    now = outside.timeline.now
    ours = [s for e in outside.endpoints.values() for s in e.seats() if s.out_by_us]
    dead = [n for n in outside.nodes.values() if n.stopped_by in outside.hands and not outside.well(n)]
    acted = any(act.operator == operator.name for act in outside.acts)
    lies: list[str] = []
    code = ended.exit_code
    if code not in (0, 2, 10, 20, 30, 40, 1):
        lies.append(f"exit {code} is no exit code of the contract")
    if code in (0, 20) and (ours or dead):
        names = sorted({s.node.name for s in ours} | {n.name for n in dead})
        lies.append(f"exit {code}, but {', '.join(names)} is out of service by rollsafe's hand")
    if code in (1, 2, 10) and acted:
        lies.append(f"exit {code}, but it wrote to the cluster")
    met = "is claimed by" in ended.message and "it lives" not in ended.message  # a dead run, which it looked at
    if (code == 20 or (code == 10 and met)) and ours:
        lies.append(f"exit {code}, but a run left {ours[0].service} of {ours[0].node.name} out")
    if code == 0:
        lies += [f"exit 0, but {name} was not restarted" for name in selected if not outside.nodes[name].restarts]
    lost = "the claim was taken over" in ended.message  # what the new holder wrote is by other hands
    told = (*ended.left_out, *(ended.others if lost else ()))
    named = {(str(one.get("node")), str(one.get("service")), str(one.get("endpoint"))) for one in told}
    if code == 30 or (code == 40 and (mode == "run" or acted)):
        only = operator.name if code == 40 and mode == "run" and acted else ""  # another may have begun since
        lies += _unnamed(outside, named, ended, only)
    if code == 30 and not ended.left_out:
        lies.append("exit 30, but left_out is empty")
    if code in (0, 10, 20) and ended.left_out:
        lies.append(f"exit {code}, but left_out names {ended.left_out[0].get('node')}")
    stays = ("could not be removed again", "Its claim stays. To clear it:")  # said, with the command that clears it
    if (mode == "run" or code != 10) and not any(words in ended.message for words in stays):
        late = [seat for _, seat in outside.late]  # for what came late, who woke names the command: no claim can
        kept = any(all(seat is not it for it in late) for seat in ours)
        lies += _claims(outside, operator, code, kept or bool(dead))
    return [Violation("I9", now, lie) for lie in lies]


def _unnamed(outside: Outside, named: set[tuple[str, str, str]], ended: Ended, only: str) -> list[str]:
    """What rollsafe left out and does not name; what it could not read counts where it says so with exit 40. `only`: by
    this operator."""
    lies, code = [], ended.exit_code
    for endpoint in outside.endpoints.values():
        readable = endpoint.api == "ok"
        for seat in endpoint.seats():
            where = (seat.node.name, seat.service, endpoint.url)
            told = any(words in ended.message for words in _unread(endpoint, seat))
            ours = seat.out_by_us and only in ("", seat.set_by)
            if ours and where not in named and not told and (readable or code == 30):
                lies.append(f"exit {code}: {seat.service} of {seat.node.name} on {endpoint.url} is out and not named")
    return lies


def _unread(endpoint: SimEndpoint, seat: SimSeat) -> tuple[str, ...]:
    """How the last line says that it does not know of a member."""
    member = f"({seat.pool}/{seat.seat} on {endpoint.url})"
    return member, f"{seat.node.name} was not looked at", "its claim could not be read again"


def _claims(outside: Outside, operator: Operator, code: int, something_out: bool) -> list[str]:
    """A run that is over leaves no claim; one that leaves a node out keeps it."""
    token = operator.token
    if token is None:
        return []
    held = [n for n in outside.nodes.values() if n.claim is not None and n.claim.token.run == token.run]
    open_ = [n.name for n in held if n.claim is not None and not n.claim.done and n.ssh == "ok"]
    if code in (0, 10, 20) and open_:
        return [f"exit {code}, but the claim of {token.run} still stands on {', '.join(open_)}"]
    if code == 30 and something_out and not held:
        return ["exit 30 with a node out, but no claim is left for recover"]
    return []
