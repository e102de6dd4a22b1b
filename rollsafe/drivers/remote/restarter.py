"""Restarts one node over SSH, fenced by its claim, and tells which incarnation runs."""

import shlex
from dataclasses import replace
from math import ceil

from rollsafe.drivers.remote.claim_codec import first_line
from rollsafe.drivers.remote.claim_file import LOCK_WAIT_S, place
from rollsafe.drivers.remote.restart_scripts import (
    BEGIN,
    COMMAND_IDENTITY,
    DETACHED,
    END,
    INNER,
    LET_GO,
    MAY_RESTART,
    PROGRESS,
    READINGS,
    UNIT_IDENTITY,
)
from rollsafe.drivers.remote.script import MARK, Answer, Question, ask, run_script
from rollsafe.drivers.remote.sudo import as_root, plain, sudo_words, sudoers_line
from rollsafe.drivers.ssh.connection import SshConnection
from rollsafe.errors import ClaimError, Effect, ShellError
from rollsafe.model.claim import Token
from rollsafe.model.reading import IdentityReading, RestartReading
from rollsafe.model.settings import RestartSettings

_SCRIPT_S = 15.0
_RUN_S = 10  # what an identity command is given
_IDENTITY_S = 3.0 * _RUN_S  # with sudo it is run twice; and the way there
_DIFFERS = MARK + b"differs\n"
_RUNS = ("active", "activating", "reloading", "refreshing", "deactivating")  # ActiveState while there is a process


class SshRestarter:
    """One node's restart. Implements ports.Restarter; raises ShellError."""

    def __init__(
        self,
        connection: SshConnection,
        claim_dir: str,
        cluster: str,
        node: str,
        settings: RestartSettings,
        *,
        lock_wait_s: float = LOCK_WAIT_S,
    ) -> None:
        self._connection, self._node, self._settings, self._wait = connection, node, settings, lock_wait_s
        self._key = ""  # of the restart that this object began; else the only one that is there counts
        try:
            self._place = place(claim_dir, cluster, node)
        except ClaimError as error:
            raise ShellError(str(error), effect=Effect.NONE) from error

    def begin(self, token: Token, *, until_s: float | None = None) -> bool:
        """Start the restart under the lock if the claim carries `token`; at most once for each token.

        True: the token was compared, and the command starts. False: another token, nothing was done. A lost answer is
        a ShellError with effect UNKNOWN: the restart may come until the lock's wait is over, or never.
        """
        try:
            expected = first_line(token)
        except ClaimError as error:
            raise ShellError(f"{self._node}: {error}", effect=Effect.NONE) from error
        self._key = f"{token.run}.{token.epoch}.{token.revision}"
        until = "" if until_s is None else str(int(until_s))
        arguments = [expected, self._key, f"{self._wait:g}", self._command(), DETACHED, INNER, until]
        try:
            limit_s = self._wait + _SCRIPT_S
            answer = run_script(self._connection, self._place, BEGIN, arguments, timeout_s=limit_s)
        except ShellError as error:
            raise self._error(error) from error
        if answer.word == "busy":
            raise ShellError(
                f"{self._node}: the claim's lock has been held by somebody else for {self._wait:g} s, so the restart "
                f"was not begun: another restart may be under way there",
                effect=Effect.NONE,
            )
        if answer.word == "late":
            raise ShellError(
                f"{self._node}: the order to restart was held up on its way there, so it rests on readings that are "
                f"too old, and was not obeyed",
                effect=Effect.NONE,
            )
        return answer.word == "begun"

    def progress(self) -> RestartReading:
        """Has the restart's command ended, how, and the last 4 KiB that it said.

        finished with exit status None: it was cut off before it ended, mostly because the machine itself restarted.
        """
        answer = self._answer(ask(self._connection, self._place, Question(PROGRESS, (self._key,))))
        status, _, said = answer.rest.decode(errors="replace").partition("\n")
        if answer.word == "none":
            return RestartReading(finished=False, output="no restart was begun there", begun=False)
        if answer.word == "ended" and status.isdigit():
            return RestartReading(True, int(status), self._explained(int(status), said.strip()))
        if answer.word == "lost":
            why = "[the restart was cut off before its end: was the machine itself restarted?]"
            return RestartReading(True, None, f"{said.strip()}\n{why}".strip())
        return RestartReading(finished=False, output=said.strip())

    def let_go(self) -> None:
        """The restart is proven and its command does not end: give its lock up, and leave the command alone."""
        if self._answer(ask(self._connection, self._place, Question(LET_GO, (self._key,)))).word == "alive":
            raise ShellError(f"{self._node}: the restart command does not end, and its lock could not be let go")

    def end(self) -> bool:
        """The command did not restart the node in its time: end it, so that it can't do so later. False: it runs on."""
        return self._answer(ask(self._connection, self._place, Question(END, (self._key,)))).word != "alive"

    def identity(self, *, again_s: float | None = None) -> IdentityReading:
        """Which incarnation runs: the unit's InvocationID, or what `restart.identity` prints.

        `job` is True while a systemd job is pending or the unit is being stopped, `ours` while our own command runs.
        `again_s`: the command is run again after so long, in the same question; an InvocationID needs no second look.
        """
        return self.identity_from(ask(self._connection, self._place, self.identity_question(again_s)))

    def identity_question(self, again_s: float | None = None) -> Question:
        """What `identity` asks. Raises ShellError where the inventory tells no way."""
        unit, command = self._settings.unit, self._settings.identity
        if unit:
            return Question(UNIT_IDENTITY, (unit,))
        if not command:
            raise ShellError(
                f"{self._node}: restart.identity is not set, so no restart can be proved", effect=Effect.NONE
            )
        with_sudo = f"exec sudo -n {sudo_words(command)}" if self._settings.sudo else ""
        if again_s is None:
            return Question(COMMAND_IDENTITY, (command, with_sudo, "", READINGS, str(_RUN_S)), _IDENTITY_S)
        both_s = str(2 * _RUN_S + ceil(again_s))
        limit_s = 3 * _IDENTITY_S + 2 * again_s
        return Question(COMMAND_IDENTITY, (command, with_sudo, f"{again_s:g}", READINGS, both_s), limit_s)

    def identity_from(self, told: Answer | ShellError) -> IdentityReading:
        """The identity, from the answer to `identity_question`. Raises ShellError."""
        answer, unit = self._answer(told), self._settings.unit
        uptime, _, rest = answer.rest.partition(b"\n")
        answer = Answer(answer.word, rest)
        reading = self._unit_identity(unit, answer) if unit else self._command_identity(answer)
        return replace(reading, uptime_s=float(uptime) if uptime.isdigit() else None)

    def may_restart(self) -> None:
        """Could the restart be done? Changes nothing. Raises ShellError that names what to add."""
        self.may_restart_from(ask(self._connection, self._place, self.may_restart_question()))

    def may_restart_question(self) -> Question:
        """What `may_restart` asks."""
        unit, command = self._settings.unit or "", self._settings.command or ""
        wanted = f"systemctl restart {shlex.quote(unit)}" if unit else sudo_words(command)
        program = command.split()[0] if plain(command) else "sh"
        return Question(MAY_RESTART, (wanted if self._settings.sudo else "", unit, program))

    def may_restart_from(self, told: Answer | ShellError) -> None:
        """The same as `may_restart`, from the answer to `may_restart_question`."""
        answer = self._answer(told)
        if answer.word == "ok":
            return
        user, _, said = answer.text.partition("\n")
        why = "sudo is not installed" if answer.word == "nosudo" else f"sudo says: {said}"
        raise ShellError(
            f"{self._node}: {user} may not restart there ({why}). {self._remedy(user)}", effect=Effect.NONE
        )

    def _command(self) -> str:
        if self._settings.unit:
            unit = shlex.quote(self._settings.unit)
            if self._settings.sudo:
                return as_root(f"systemctl restart {unit}")
            return f"exec systemctl --no-ask-password restart {unit}"
        command = self._settings.command or "false"
        return as_root(command) if self._settings.sudo else command

    def _unit_identity(self, unit: str, answer: Answer) -> IdentityReading:
        shown = dict(line.split("=", 1) for line in answer.text.splitlines() if "=" in line)
        if shown.get("LoadState") == "not-found":
            raise ShellError(f"{self._node}: systemd there knows no unit {unit}", effect=Effect.NONE)
        active, sub = shown.get("ActiveState", ""), shown.get("SubState", "")
        if not active:
            raise ShellError(f"{self._node}: systemctl show {unit} makes no sense: {answer.text[:200]!r}")
        pending = shown.get("Job", "0") not in ("", "0")
        identity = (shown.get("InvocationID") or None) if active in _RUNS else None
        state = f"{active} ({sub})" if sub else active
        return IdentityReading(
            identity=identity,
            job=pending or active == "deactivating",
            state=state,
            ours=answer.word == "running",
            lacks="" if identity else f"systemd tells no InvocationID of {unit}, which is {state}",
        )

    def _command_identity(self, answer: Answer) -> IdentityReading:
        before, _, now = answer.rest.rpartition(_DIFFERS)
        text, status = self._printed(now)
        ended = "printed nothing" if status == "0" else f"ended with exit status {status}"
        return IdentityReading(
            identity=text,
            state="running" if text else f"exit status {status}",
            ours=answer.word == "running",
            was=self._printed(before)[0] if before and text else None,
            lacks="" if text else f"restart.identity ({self._settings.identity}) {ended}",
        )

    def _printed(self, raw: bytes) -> tuple[str | None, str]:
        """What the command printed, where it ended well, and its exit status."""
        said, _, status = raw.decode(errors="replace").strip().rpartition("exit:")
        if not status.isdigit():
            raise ShellError(f"{self._node}: restart.identity printed more than 8 KiB", effect=Effect.NONE)
        return (said.strip() or None) if status == "0" else None, status

    def _explained(self, status: int, said: str) -> str:
        if status != 0 and self._settings.sudo and "sudo: " in said:
            return f"{said}\n[{self._remedy('USER')}]"
        return said

    def _remedy(self, user: str) -> str:
        unit = self._settings.unit
        command = f"/usr/bin/systemctl restart {unit}" if unit else self._settings.command or ""
        line = sudoers_line(user, command)
        return f"As root there, visudo -f /etc/sudoers.d/rollsafe and add: {line}"

    def _answer(self, told: Answer | ShellError) -> Answer:
        if isinstance(told, ShellError):
            raise self._error(told) from told
        return told

    def _error(self, error: ShellError) -> ShellError:
        return ShellError(f"{self._node}: {error}", effect=error.effect)
