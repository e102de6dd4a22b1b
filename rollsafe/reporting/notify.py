"""Notifications through Apprise (extra `rollsafe[notify]`): start, hold, stop, node out, done.

They leave from a thread of their own: a notification service that is dead, slow or wrong never delays a run, and its
address, which often is a secret, is never told.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

from rollsafe.errors import InvalidInput
from rollsafe.model.record import Record
from rollsafe.model.wording import in_a_row
from rollsafe.reporting.closing import closing_lines
from rollsafe.reporting.sentences import sentence
from rollsafe.reporting.words import text

MOST_WAITING = 50
LAST_S = 3.0  # the longest that the end of a run waits for what is still to be sent
REPEAT_S = 300.0  # a hold that goes on is told again after so long

Message = tuple[str, str, str]  # title, body, kind (info, success, warning, failure)
Send = Callable[[str, str, str], bool]


class Notifier:
    """A Listener that sends what a person away from the screen wants to know, each way by itself."""

    def __init__(self, *ways: Send) -> None:
        self._lanes = tuple(_Lane(send) for send in ways)
        self._cluster = ""
        self._told: dict[str, float] = {}

    @classmethod
    def to(cls, addresses: Sequence[str]) -> "Notifier":
        """One for Apprise addresses; what goes to one that Apprise does not know counts as lost.

        Raises InvalidInput where the extra is missing.
        """
        services = _services(addresses)
        return cls(*(_by_apprise(service) if service is not None else _lost for service in services))

    @property
    def failed(self) -> int:
        """How many messages are known not to have been delivered, over all ways."""
        return sum(lane.failed for lane in self._lanes)

    def problems(self) -> list[str]:
        """Once it is closed: a sentence for each address that did not take all. The addresses are not told."""
        counts = [(place, lane.asked - lane.delivered, lane.asked) for place, lane in enumerate(self._lanes)]
        return [
            f"notify[{place}]: {lost} of {asked} messages are not known to have been delivered: is the address right, "
            f"and does its service answer this machine?"
            for place, lost, asked in counts
            if lost
        ]

    def hear(self, record: Record) -> None:
        """Queue a message, where the record is worth one."""
        with contextlib.suppress(Exception):
            message = self._message(record)
            for lane in self._lanes if message is not None else ():
                lane.put(message)

    def close(self) -> None:
        """Wait for what is still to be sent, at most three seconds for all ways together; what is left then is lost."""
        for lane in self._lanes:
            lane.put(None)
        waits = threading.Thread(target=self._join, name="notify end", daemon=True)
        waits.start()
        waits.join(LAST_S)

    def _join(self) -> None:
        for lane in self._lanes:
            lane.join()

    def _message(self, record: Record) -> Message | None:
        if record.type == "run.started":
            self._cluster = text(record.data, "cluster")
            return f"rollsafe {self._cluster}: started", sentence(record), "info"
        if record.type == "run.finished":
            outcome = text(record.data, "outcome")
            kind = {"done": "success", "node-out": "failure", "unknown": "failure"}.get(outcome, "warning")
            return f"rollsafe {self._cluster}: {outcome}", "\n".join(closing_lines(record)).strip(), kind
        held = record.type == "run.stopping" or (record.type == "gate.checked" and not record.data.get("allowed"))
        if held and self._news(record):
            word = "stops" if record.type == "run.stopping" else "holds"
            remedy = text(record.data, "remedy") if record.type != "gate.checked" else ""  # a gate's sentence has it
            return f"rollsafe {self._cluster}: {word}", in_a_row(sentence(record), remedy), "warning"
        return None

    def _news(self, record: Record) -> bool:
        key = f"{record.type} {record.node} {text(record.data, 'gate')}"
        before = self._told.get(key)
        if before is not None and record.at_s - before < REPEAT_S:
            return False
        self._told[key] = record.at_s
        return True


class _Lane:
    """One way out, on a thread of its own, which nobody waits for."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._queue: queue.Queue[Message | None] = queue.Queue(MOST_WAITING)
        self.asked = self.delivered = self.failed = 0
        self._thread = threading.Thread(target=self._work, name="notify", daemon=True)
        self._thread.start()

    def put(self, message: Message | None) -> None:
        """Queue it; where too many wait already, it is lost, and counted."""
        self.asked += message is not None
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self.failed += message is not None

    def join(self) -> None:
        """Wait until all is sent."""
        self._thread.join()

    def _work(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                sent = self._send(*message)
            except Exception:  # noqa: BLE001 - a dead service is no event of the run
                sent = False
            self.delivered += sent
            self.failed += not sent


def unusable(addresses: Sequence[str]) -> list[str]:
    """A sentence for each address that Apprise does not know. Raises InvalidInput where the extra is missing."""
    return [  # the address itself is not told
        f"notify[{place}]: is no address that Apprise knows"
        for place, service in enumerate(_services(addresses))
        if service is None
    ]


def _services(addresses: Sequence[str]) -> list[Any]:
    try:
        import apprise
    except ImportError as error:
        raise InvalidInput(["notify: needs Apprise; install it: pip install 'rollsafe[notify]'"]) from error
    logging.getLogger("apprise").propagate = False  # its warnings quote addresses, and most hold a token
    logging.getLogger("apprise").addHandler(logging.NullHandler())
    # The services themselves: `Apprise().notify()` has a pool of threads, for which the end of the process waits.
    return [apprise.Apprise.instantiate(address) for address in addresses]


def _lost(_title: str, _body: str, _kind: str) -> bool:
    return False


def _by_apprise(service: Any) -> Send:
    from apprise import NotifyType

    def send(title: str, body: str, kind: str) -> bool:
        return bool(service.notify(title=title, body=body, notify_type=NotifyType(kind)))

    return send
