"""The one place where a command ends: every failure becomes a sentence on stderr, the last JSON line, an exit code."""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import typer

from rollsafe.cli.clashes import Clash
from rollsafe.cli.exits import ExitCode
from rollsafe.cli.last_reports import ACTING, last_reports
from rollsafe.cli.stdout import SPELLED, SafeStdout, show_every_sign
from rollsafe.cli.words import inventory_said, value, values
from rollsafe.clock import SystemClock
from rollsafe.errors import InvalidInput, InvariantBroken, JournalError, PortError, Refused, RollsafeError
from rollsafe.model.secret import hide

QUOTING = frozenset({"runs", "show", "report", "schema"})  # they print what was: it gets no ending of now
MENDING = frozenset({"resume", "recover"})  # they are asked for where another run may have left a node out
TYPER_INTERRUPTED = 130  # what typer makes of a Ctrl-C that we did not see first

LOOK = "What it left is not known: look with `rollsafe status{inventory}`, and mend with `rollsafe recover{inventory}`."

_touched = False
_reported = False


class Carried(Exception):
    """An error on its way through typer, which would otherwise swallow or reword it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class EngineBroke(Exception):
    """A defect ended the engine, and the ending is told already: with this exit code and sentence. It has a cause."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def now_touching() -> None:
    """To be called before anything can be written: from now on an unexpected failure ends in 40, not 1 or 10."""
    global _touched  # noqa: PLW0603 - one process is one command; the fact outlives every object that could hold it
    _touched = True


def now_reported() -> None:
    """To be called when a run ends its own reports and events: the ending has nothing to add to them."""
    global _reported  # noqa: PLW0603 - as in now_touching
    _reported = True


def unknown_command(name: str, known: Sequence[str]) -> str:
    """The sentence for a command that does not exist."""
    near = get_close_matches(name, known, n=1)
    return f"There is no command {name!r}." + (f" Did you mean {near[0]!r}?" if near else "")


class CommandEnd:
    """Wraps one command. After the `with` block, `exit_code` is what the process ends with."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = list(arguments)
        self._json = wants_json(arguments)
        self._stdout = SafeStdout(sys.stdout)
        self._clock = SystemClock()
        self._began = self._clock.monotonic()
        self.exit_code = int(ExitCode.DONE)

    def __enter__(self) -> Self:
        global _touched, _reported  # noqa: PLW0603 - as in now_touching
        _touched = _reported = False
        self._stdout.__enter__()
        show_every_sign(sys.stderr)
        return self

    def returned(self, value: Any) -> None:
        """What the command returned: an exit code, or None for 0."""
        if value == TYPER_INTERRUPTED:
            raise Carried(KeyboardInterrupt())
        self.exit_code = int(value or 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None and not isinstance(error, SystemExit):
            self._failed(error.error if isinstance(error, Carried) else error)
        elif error is None:
            self._last_line()
        self._stdout.__exit__(None, None, None)
        return not isinstance(error, SystemExit)

    def _failed(self, error: BaseException) -> None:
        code, message = judge(error, touched=_touched, inventory=inventory_said(self._arguments))
        if isinstance(error, KeyboardInterrupt) and code is ExitCode.REFUSED:
            code, message = interrupted(self._arguments, message)
        if not is_expected(error):
            message += self._keep_traceback(error)
        tell(message)
        self.exit_code = int(code)
        last = self._stdout.last_event()
        event = self._last_event(code, message, last)
        if not _reported and not isinstance(error, Clash):
            for problem in last_reports(self._arguments, event):
                if problem not in message:  # it may be why the command ended
                    tell(f"warning: {problem}")
        if self._json and last.get("type") != "run.finished":
            self._stdout.end_line()
            self._stdout.write(json.dumps(event) + "\n")

    def _last_line(self) -> None:
        """A command that only looked has printed what it saw; `run.finished` is the last line of this outcome, too."""
        last = self._stdout.last_event()
        helped = set(self._arguments) & {"-h", "--help", "--version"}
        quoting = bool(set(self._arguments[:1]) & QUOTING)
        if not self._json or helped or quoting or last.get("type") == "run.finished":
            return
        event = self._last_event(ExitCode(self.exit_code), str(last.get("message", "")), last)
        claims = [last.get("claim"), *(last.get("more_claims") or ())]
        dead = [claim for claim in claims if claim and claim["state"] != "alive"]
        event["left_out"] = [entry for claim in dead for entry in claim["left_out"]]
        event["others"] = last.get("others", [])
        self._stdout.write(json.dumps(event) + "\n")

    def _last_event(self, code: ExitCode, message: str, last: dict[str, Any]) -> dict[str, Any]:
        return {
            "time": self._clock.now().isoformat().replace("+00:00", "Z"),
            "run": last.get("run") or run_id(self._arguments),
            "seq": last["seq"] + 1 if isinstance(last.get("seq"), int) else 1,
            "type": "run.finished",
            "outcome": code.outcome,
            "exit_code": int(code),
            "message": message,
            "nodes": {},
            "services": {},
            "duration_s": round(self._clock.monotonic() - self._began, 3),
            "left_out": [],
            "others": [],
        }

    def _keep_traceback(self, error: BaseException) -> str:
        text = hide("".join(traceback.format_exception(error)))
        if any(a.startswith("-v") or a == "--verbose" for a in self._arguments):
            tell(text.rstrip())
            return ""
        from rollsafe.reporting.opening import open_to_write

        path = defect_log(self._arguments)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(open_to_write(path, 0o600), "a", encoding="utf-8", errors=SPELLED) as log:
                log.write(f"{self._clock.now().isoformat()} rollsafe {' '.join(self._arguments[:1])}\n{text}\n")
        except OSError:
            tell(text.rstrip())
            return ""
        return f" The traceback is in {path}; -v shows it."


def judge(error: BaseException, *, touched: bool, inventory: str = "") -> tuple[ExitCode, str]:
    """The exit code and the sentence for an error that no command caught. `touched`: was anything written before?
    `inventory` is the ` -i FILE` of the commands that it tells."""
    look = LOOK.format(inventory=inventory)
    if is_usage(error):
        return ExitCode.INVALID, usage_text(error)
    if isinstance(error, EngineBroke | PortError):
        return ExitCode(error.exit_code) if isinstance(error, EngineBroke) else ExitCode.UNKNOWN, str(error)
    if isinstance(error, KeyboardInterrupt | EOFError | typer.Abort):
        code = ExitCode.UNKNOWN if touched else ExitCode.REFUSED
        return code, f"Interrupted. {look if touched else 'Nothing was touched.'}"
    text = str(error) if isinstance(error, RollsafeError) else hide(f"{type(error).__name__}: {error}")
    if touched:
        return ExitCode.UNKNOWN, f"A defect of rollsafe ended this command: {text}. {look}"
    if isinstance(error, InvalidInput | Refused | JournalError):
        return ExitCode.INVALID if isinstance(error, InvalidInput) else ExitCode.REFUSED, text
    return ExitCode.DEFECT, f"A defect of rollsafe ended this command before its first write: {text}."


def interrupted(arguments: Sequence[str], message: str) -> tuple[ExitCode, str]:
    """The exit code and the sentence for a signal before anything was begun; nobody refused."""
    command = set(arguments[:1])
    if command & MENDING:
        mend = f"rollsafe recover{inventory_said(arguments)}"
        return ExitCode.UNKNOWN, f"{message} What an interrupted run left out was not read: {mend}"
    return (ExitCode.STOPPED if command & ACTING else ExitCode.REFUSED), message


def is_expected(error: BaseException) -> bool:
    """Is the sentence enough, or is there a defect to be found in the traceback?"""
    if isinstance(error, EngineBroke):
        return error.__cause__ is not None and is_expected(error.__cause__)
    if isinstance(error, InvariantBroken):
        return False
    return is_usage(error) or isinstance(error, RollsafeError | KeyboardInterrupt | EOFError | typer.Abort)


def is_usage(error: BaseException) -> bool:
    """Is it typer's word for wrong usage (an unknown option, a bad value)?"""
    return isinstance(error, typer.TyperException) and error.exit_code == int(ExitCode.INVALID)


def usage_text(error: BaseException) -> str:
    """Wrong usage as a sentence, with where help is. No arguments at all print the help, and say so."""
    assert isinstance(error, typer.TyperException)
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "rollsafe"
    text = error.format_message().strip()
    if text.startswith("Usage:"):
        return text
    return f"{text}\nTry `{where} --help`."


def tell(message: str) -> None:
    """A sentence on stderr; a stderr that is gone hurts nobody."""
    try:
        sys.stderr.write(message.rstrip("\n") + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def wants_json(arguments: Sequence[str]) -> bool:
    """Was JSON asked for? Read from the bare words, because this must hold for words that can't be parsed, too."""
    return "json" in values(arguments, "-o", "--output")


def run_id(arguments: Sequence[str]) -> str:
    """The run's name as it was asked for; empty where it was not."""
    return value(arguments, "--run-id") or os.environ.get("ROLLSAFE_RUN_ID", "")


def defect_log(arguments: Sequence[str]) -> Path:
    """Where tracebacks go: the --log-file, else the user's state folder."""
    if named := value(arguments, "--log-file"):
        return Path(named)
    from rollsafe.journal.place import state_folder

    return state_folder() / "defects.log"
