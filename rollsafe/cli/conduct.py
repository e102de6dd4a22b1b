"""What run, resume, recover and the commands by hand share: listeners, journal, signals, reports, the exit code.

The engine works on a thread of its own, so that the main thread can always hear a signal, and can end the process in
time even where a call hangs.
"""

import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollsafe.assembly import Assembled, assemble
from rollsafe.cli.clashes import refuse_journal
from rollsafe.cli.common import Output, colours, inventory_words, now_touching, tell
from rollsafe.cli.ending import EngineBroke, judge, now_reported
from rollsafe.cli.exits import ExitCode
from rollsafe.cli.forced import forced_ending
from rollsafe.cli.interrupt import hangup_is_ignored
from rollsafe.cli.listening import outside_listeners
from rollsafe.cli.probe_news import ProbeNews
from rollsafe.cli.who import holder, run_id, who
from rollsafe.cli.words import mend_command
from rollsafe.clock import SystemClock
from rollsafe.config.load import Loaded, find_inventory, load_inventory
from rollsafe.config.secrets import check_secret_references, resolve_all
from rollsafe.engine.log import RunLog
from rollsafe.engine.orders import Orders
from rollsafe.engine.runclock import RunClock
from rollsafe.engine.session import Session, finish, finish_now
from rollsafe.engine.traces import Traces
from rollsafe.errors import InvalidInput, JournalError, Refused
from rollsafe.journal.store import Store, open_store
from rollsafe.journal.writer import NoJournal
from rollsafe.model.plan import Plan
from rollsafe.model.reading import ProbeSummary
from rollsafe.model.record import Record
from rollsafe.planner.outcome import Ending
from rollsafe.planner.readings import Order
from rollsafe.planner.state import RunState
from rollsafe.ports import JournalWriter, Listener

if TYPE_CHECKING:
    from rollsafe.reporting.jsonl import JsonLines
    from rollsafe.reporting.reports import ReportPaths

END_WITHIN_S = 4.2  # after SIGTERM or the second SIGINT the process ends within 5 s
GONE_WITHIN_S = 4.8  # the same, with reports written and whoever listens outside still being waited for
LOOK_EVERY_S = 0.1


@dataclass(slots=True)
class Options:
    """The common options of the commands that change something."""

    inventory: list[Path] | None = None
    output: Output = Output.TEXT
    verbose: int = 0
    no_color: bool = False
    reason: str = ""
    run_id: str | None = None
    events: Path | None = None
    html: Path | None = None
    junit: Path | None = None
    markdown: Path | None = None
    json: Path | None = None
    wait_for_lock_s: float = 0.0
    forget: frozenset[str] = field(default_factory=frozenset)

    def reports(self) -> "ReportPaths":
        """Which reports are wanted, and where."""
        from rollsafe.reporting.reports import ReportPaths

        return ReportPaths(self.html, self.markdown, self.junit, self.json)


class Conductor:
    """One execution: made before the first question to the cluster, closed after the last line."""

    def __init__(self, options: Options) -> None:
        self.options = options
        _refuse_bad_paths(options)
        self.clock = SystemClock()
        self.loaded: Loaded = load_inventory(find_inventory(options.inventory), check_secret_references)
        for warning in self.loaded.warnings:
            tell(f"warning: {warning}")
        self.cluster = self.loaded.cluster
        refuse_journal(self.cluster.state)
        resolve_all(self.cluster, self.loaded.named)
        self.who = who(options.reason, self.clock)
        self.run = run_id(options.run_id, self.clock)
        self.orders = Orders()
        self.run_clock = RunClock(self.clock)
        self.assembled: Assembled = assemble(self.cluster, self.clock)
        self.mend = mend_command(self.loaded.paths)
        self._listeners: list[Listener] = []
        self._events: JsonLines | None = None
        self._closers: list[Callable[[], None]] = []
        self._kept: list[Record] = []
        self._stores: list[Store] = []
        self._warned_of_journal = False
        self._ordered_s = math.inf  # when the process was told to end at once

    # --- the journal -------------------------------------------------------------------------------------------

    def store(self) -> Store:
        """The journal's store. Raises JournalError or InvalidInput."""
        if not self._stores:
            self._stores.append(open_store(self.cluster.state))
        return self._stores[0]

    def begin(self, plan: Plan | None) -> JournalWriter:
        """A new run in the journal. Raises InvalidInput where its name is known, JournalError for a broken store."""
        self._open_events()  # what can't be written must not use up the run's name
        return self.store().start_run(self.run, self.cluster.name, plan, self.who, self.run_clock.stamp())

    def begin_anyhow(self) -> JournalWriter:
        """As `begin`, for what must not depend on a journal: without one, a put-back's intents go into the claim."""
        try:
            return self.begin(None)
        except JournalError as error:
            tell(f"warning: without a journal: {error}")
            self._warned_of_journal = True
            return NoJournal(error)

    # --- conducting --------------------------------------------------------------------------------------------

    def session(self, log: RunLog) -> Session:
        """What the engine works with."""
        return Session(
            cluster=self.cluster,
            world=self.assembled.world,
            clock=self.run_clock,
            log=log,
            orders=self.orders,
            who=self.who,
            holder=holder(),
            mend=self.mend,
            budget=self.assembled.budget,
            wait_for_lock_s=self.options.wait_for_lock_s,
            forget=self.options.forget,
        )

    def log(self, journal: JournalWriter, *, state: RunState | None = None, first_seq: int = 1) -> RunLog:
        """The run's log, with every listener that the options ask for."""
        if not self._listeners:
            self._listeners = self._make_listeners()
        return RunLog(self.run, self.run_clock, journal, self._listeners, state=state, first_seq=first_seq)

    def conduct(self, log: RunLog, work: Callable[[Session], Ending]) -> int:
        """Let the engine work, hear signals meanwhile, and return the exit code. The last record is run.finished."""
        now_touching()
        news = ProbeNews(log, self.clock, self.run_clock, self.assembled.budget, self.clock.wake)
        self.assembled.watch.listen(news.changed, news.seen)
        endings: list[Ending] = []
        failures: list[BaseException] = []
        session = self.session(log)

        def body() -> None:
            try:
                endings.append(work(session))
            except BaseException as error:  # noqa: BLE001 - carried to the main thread, which ends with it
                failures.append(error)

        with _Signals(self.orders, self.clock):
            thread = threading.Thread(target=body, name="engine", daemon=True)
            thread.start()
            self._await(thread, log)
        if failures:
            raise self._failed(log, session.traces, failures[0]) from failures[0]
        if not endings:
            self._forced(log, session.traces)
            self._finish_outputs(log)
            _leave(self._told_code())
        self._finish_outputs(log)
        return endings[0].exit_code

    def refuse(self, error: Refused, mode: str = "run") -> int:
        """A refusal before the plan could be made: told, recorded and reported like every other ending."""
        log = self.log(self.begin_anyhow())
        words = {"cluster": self.cluster.name, "mode": mode, "who": self.who.who, "host": self.who.host}
        log.write("run.started", f"{mode} of {self.cluster.name}", data={**words, "reason": self.who.reason})
        finish(log, self.run_clock, Ending("refused", 10, str(error)), ())
        self._finish_outputs(log)
        return 10

    def close(self) -> None:
        """Let go of connections and files."""
        for close in self._closers:
            close()
        self.assembled.close()
        for store in self._stores:
            store.close()

    # --- within ------------------------------------------------------------------------------------------------

    def _await(self, thread: threading.Thread, log: RunLog) -> None:
        while thread.is_alive():
            thread.join(LOOK_EVERY_S)
            if self.orders.order is Order.NOW:
                now_s = self.clock.monotonic()
                self._leave_in_time(now_s)
                if now_s - self._ordered_s > END_WITHIN_S and not log.over:
                    return

    def _forced(self, log: RunLog, traces: Traces) -> None:
        """The engine hangs in a call and there is no time left: say what is known."""
        log.close()
        ending = forced_ending(log.state, traces, mend=self.mend, at_s=self.run_clock.at_s())
        finish_now(log, self.run_clock, ending, self._summaries())

    def _failed(self, log: RunLog, traces: Traces, error: BaseException) -> EngineBroke:
        """The engine gave up: every output ends with the exit code that the process will have. What is known to be out
        is named all the same."""
        log.close()
        code, text = judge(error, touched=True, inventory=inventory_words(self.loaded.paths))
        known = forced_ending(log.state, traces, mend=self.mend, at_s=self.run_clock.at_s())
        ending = Ending(code.outcome, int(code), text, known.nodes, unread=known.unread)
        if known.left_out:
            out = ", ".join(dict.fromkeys(entry["node"] for entry in known.left_out))
            ending = replace(known, message=f"{out} was out of service when it was last seen. {text}")
        finish_now(log, self.run_clock, ending, self._summaries())
        self._finish_outputs(log)
        return EngineBroke(ending.exit_code, ending.message)

    def _summaries(self) -> tuple[ProbeSummary, ...]:
        return self.assembled.watch.summaries()

    def _make_listeners(self) -> list[Listener]:
        from rollsafe.reporting.jsonl import JsonLines

        listeners: list[Listener] = [_Keeper(self._kept)]
        if self.options.output is Output.JSON:
            lines = JsonLines(sys.stdout)
            listeners.append(lines)
            self._closers.append(lines.close)
        else:
            listeners.append(self._text_listener())
        if (events := self._open_events()) is not None:
            listeners.append(events)
        for listener, close in outside_listeners(self.cluster):
            listeners.append(listener)
            self._closers.append(close)
        return listeners

    def _open_events(self) -> "JsonLines | None":
        """The file of --events, opened once; None where none is wanted. Raises InvalidInput."""
        path = self.options.events
        if self._events is None and path is not None:
            from rollsafe.reporting.jsonl import JsonLines

            events = self._events = JsonLines.to_file(path)
            self._closers.append(lambda: _close_events(events, path))
        return self._events

    def _text_listener(self) -> Listener:
        plain = self.options.verbose > 0  # -v logs to the same terminal, and would tear the picture
        if not plain and sys.stdout.isatty() and os.environ.get("TERM") not in (None, "", "dumb"):
            from rich.console import Console

            from rollsafe.reporting.live import LiveView

            live = LiveView(Console(no_color=not colours(self.options.no_color)), self.clock)
            self._closers.append(live.close)
            return live
        from rollsafe.reporting.lines import PlainLines

        lines = PlainLines(sys.stdout, verbose=self.options.verbose > 0)
        self._closers.append(lines.close)
        return lines

    def _finish_outputs(self, log: RunLog) -> None:
        if self.orders.order is Order.NOW:
            self._leave_in_time(self.clock.monotonic())
        now_reported()
        options = self.options
        if options.html or options.junit or options.markdown or options.json:
            from rollsafe.reporting.reports import write_reports

            paths = options.reports()
            for problem in write_reports(paths, self._kept):
                tell(f"warning: {problem}")
        if log.broken is not None and not self._warned_of_journal:
            tell(f"warning: the journal is incomplete: {log.broken}")
        self.close()

    def _leave_in_time(self, now_s: float) -> None:
        """From the order to end at once on: whatever hangs (a call, the journal's disk, a stalled reader, a report on a
        slow machine) gets 5 s and no more."""
        if self._ordered_s < now_s:
            return  # it was given already
        self._ordered_s = now_s
        timer = threading.Timer(GONE_WITHIN_S, lambda: _gone(self._told_code()))
        timer.daemon = True
        timer.start()

    def _told_code(self) -> int:
        """The exit code that the last record told; 40 where there was no time for one."""
        last = next((record for record in reversed(self._kept) if record.type == "run.finished"), None)
        return int(last.data["exit_code"]) if last is not None else int(ExitCode.UNKNOWN)


def _close_events(events: "JsonLines", path: Path) -> None:
    """Close the file of --events, and say whether it is whole: a full disk stops no run."""
    events.close()
    if events.dropped:
        tell(f"warning: --events {path} is incomplete: {events.dropped} lines could not be written")


def _refuse_bad_paths(options: Options) -> None:
    """A report that can't be written is told before anything is touched. Raises InvalidInput."""
    if (options.html or options.junit or options.markdown or options.json) and (
        problems := options.reports().problems()
    ):
        raise InvalidInput(problems)


class _Keeper:
    """Keeps the records for the reports."""

    def __init__(self, kept: list[Record]) -> None:
        self._kept = kept

    def hear(self, record: Record) -> None:
        self._kept.append(record)


_ORDERS = {signal.SIGINT: Order.FINISH, signal.SIGHUP: Order.FINISH, signal.SIGTERM: Order.NOW}


class _Signals:
    """Signals become orders, as the contract says, as long as the engine works."""

    def __init__(self, orders: Orders, clock: SystemClock) -> None:
        self._orders = orders
        self._clock = clock
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _ORDERS:
            if not hangup_is_ignored(number):
                self._before[number] = signal.signal(number, self._hear)

    def __exit__(self, *_: object) -> None:
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)  # what comes now comes after the last line

    def _hear(self, number: int, _frame: object) -> None:
        order = _ORDERS[signal.Signals(number)]
        if number == signal.SIGINT and self._orders.order is not Order.NONE:
            order = Order.NOW
        self._orders.give(order, signal.Signals(number).name)
        self._clock.wake()


def _leave(code: int) -> None:
    """End at once: threads that hang in a call are not waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    _gone(code)


def _gone(code: int) -> None:
    os._exit(code)


def ask_or_refuse(question: str, *, yes: bool) -> None:
    """Ask, unless --yes was given. Without a terminal there is no question: it is refused."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("nothing was touched: without a terminal nobody can be asked; give --yes")
    answer = ""
    try:
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):  # Ctrl-D or Ctrl-C: what follows begins a line of its own
            sys.stderr.write("\n")
            sys.stderr.flush()
    if answer.strip().lower() not in ("y", "yes"):
        raise Refused("nothing was touched: the question was answered with no")
