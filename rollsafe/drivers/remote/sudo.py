"""How a command is made root's, and the line that permits it."""

import re
import shlex

_PLAIN = re.compile(r"[A-Za-z0-9_./@%+=:,-]+(?: +[A-Za-z0-9_./@%+=:,-]+)*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def plain(command: str) -> bool:
    """Is it one program with words, which sudo can run as it stands? Anything else needs a shell around it."""
    return _PLAIN.fullmatch(command.strip()) is not None and _ASSIGNMENT.match(command.strip()) is None


def sudo_words(command: str) -> str:
    """What stands behind `sudo -n`, ready for a shell: the command itself, or a shell that runs it."""
    return command.strip() if plain(command) else f"sh -c {shlex.quote(command)}"


def as_root(command: str) -> str:
    """A shell text that runs `command` as root: with sudo -n, unless it is root's already."""
    return f'if [ "$(id -u)" = 0 ]; then {_bare(command)}; else exec sudo -n {sudo_words(command)}; fi'


def sudoers_line(user: str, command: str) -> str:
    """The line for /etc/sudoers.d (sudoers(5): these four signs are escaped in a command's words)."""
    words = command.strip() if plain(command) else f"/bin/sh -c {command}"
    program, _, rest = words.partition(" ")
    escaped = re.sub(r"([,:=\\])", r"\\\1", rest)
    return f"{user} ALL=(root) NOPASSWD: {program}{' ' + escaped if rest else ''}"


def _bare(command: str) -> str:
    return f"exec {command.strip()}" if plain(command) else f"exec sh -c {shlex.quote(command)}"
