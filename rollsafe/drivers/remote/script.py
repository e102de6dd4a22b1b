"""Run one small POSIX sh script on a host and get its answer.

A script answers with a line `rollsafe:WORD` on stdout, and may print more after it. What a login shell prints before (a
greeting, a broken profile) is passed over. Exit 0: an answer. Exit 3: it failed, and has changed nothing. Exit 4: it
failed, and may have changed something. The text after `rollsafe:failed` says why.
"""

import re
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from rollsafe.drivers.ssh.connection import Completed, SshConnection
from rollsafe.errors import Effect, ShellError

CHANGED_NOTHING = 3
MARK = b"\nrollsafe:"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")

# $1 the claim folder; $2 CLUSTER.NODE
PREAMBLE = """
set -u
PATH=${PATH:-/usr/bin:/bin}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
export PATH
dir=$1 file=$1/$2.json lock=$1/$2.json.lock listed=
answer() { printf "\nrollsafe:%s\n" "$1"; }
fail() { printf "\nrollsafe:failed\n%s\n" "$1"; exit 3; }
unsure() { printf "\nrollsafe:failed\n%s\n" "$1"; exit 4; }
need() {
  for tool in "$@"; do
    command -v "$tool" >/dev/null 2>&1 ||
      fail "the program $tool is missing there (packages util-linux, coreutils, findutils)"
  done
}
gone() {
  if [ -e "$1" ]; then return 1; fi
  case $(LC_ALL=C; { : <"$1"; } 2>&1) in *"No such file"*) return 0 ;; esac
  said=$(LC_ALL=C ls -ld "$1" 2>&1) && return 1
  case $said in *"No such file"*) return 0 ;; esac
  fail "$1 can not be looked at by $(id -un): $said"
}
folder() {
  if [ -L "$dir" ]; then fail "the claim folder $dir is a symbolic link: name the real folder as claim_dir"; fi
  if [ ! -d "$dir" ]; then
    if ! gone "$dir"; then fail "$dir is no folder: name another claim_dir, or remove it"; fi
    if [ "$1" = look ]; then return 1; fi
    said=$(mkdir -m 2770 "$dir" 2>&1) || [ -d "$dir" ] || fail "the claim folder can not be made: $said"
  fi
  if [ ! -x "$dir" ]; then fail "$(id -un) may not enter the claim folder $dir: add this user to its group"; fi
  set -- ${listed:-$(ls -ldn "$dir")}
  case $1 in
    ????????w*) fail "everybody may write to the claim folder $dir, so a claim in it proves nothing: chmod o-w $dir" ;;
  esac
  if [ "$3" != 0 ] && [ "$3" != "$(id -u)" ]; then
    fail "the claim folder $dir belongs to another user (uid $3), who could forge claims.
To share it in a group: chown root:GROUP $dir && chmod 2770 $dir, as root"
  fi
  return 0
}
no_link() {
  for name in "$@"; do
    if [ -L "$name" ]; then fail "$name is a symbolic link, which rollsafe never makes: look who did, and remove it"; fi
  done
}
"""


# Several questions look at the folder in the same moment.
_LIST_ONCE = """
if [ -d "$dir" ] && [ ! -L "$dir" ]; then listed=$(ls -ldn "$dir" 2>/dev/null) || listed=; fi
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a script answered."""

    word: str
    rest: bytes

    @property
    def text(self) -> str:
        """The rest, for people."""
        return self.rest.decode(errors="replace").strip()


@dataclass(frozen=True, slots=True)
class Question:
    """A script that only asks, and the arguments behind the claim folder and CLUSTER.NODE."""

    script: str
    arguments: tuple[str, ...] = ()
    timeout_s: float = 15.0
    output_limit: int = 65536


def run_script(
    connection: SshConnection,
    place: Sequence[str],
    script: str,
    arguments: Sequence[str] = (),
    *,
    stdin: bytes = b"",
    timeout_s: float,
    output_limit: int = 65536,
) -> Answer:
    """Run PREAMBLE and `script` with `arguments`. Raises ShellError for everything that is no answer."""
    command = f"set -- {_words(place)}\n{PREAMBLE}set -- {_words(arguments)}\n{script}"
    done = connection.run_standing(command, stdin=stdin, timeout_s=timeout_s, output_limit=output_limit)
    return _understood(done)


def ask(connection: SshConnection, place: Sequence[str], question: Question) -> Answer | ShellError:
    """The answer, or what went wrong."""
    try:
        return run_script(
            connection,
            place,
            question.script,
            question.arguments,
            timeout_s=question.timeout_s,
            output_limit=question.output_limit,
        )
    except ShellError as error:
        return error


def ask_all(
    connection: SshConnection, place: Sequence[str], questions: Sequence[Question]
) -> list[Answer | ShellError]:
    """The answer to each, or what went wrong with it, in one round trip.

    Raises ShellError where nothing can be said of any: they share one limit, the sum of theirs.
    """
    end = f"rollsafe-part:{secrets.token_hex(8)}:"
    parts = "".join(f'(\nset -- {_words(q.arguments)}\n{q.script})\nprintf "%s%s\\n" {end} "$?"\n' for q in questions)
    done = connection.run_standing(
        f"set -- {_words(place)}\n{PREAMBLE}{_LIST_ONCE}{parts}",
        timeout_s=sum(q.timeout_s for q in questions),
        output_limit=sum(q.output_limit for q in questions),
    )
    heard = re.split(re.escape(end).encode() + rb"(\d+)\n", done.stdout)
    if len(heard) != 2 * len(questions) + 1:
        raise ShellError(_no_answer(done))
    parts_heard = zip(heard[:-1:2], heard[1::2], strict=True)
    return [_told(Completed(int(status), said, done.stderr)) for said, status in parts_heard]


def _told(done: Completed) -> Answer | ShellError:
    try:
        return _understood(done)
    except ShellError as error:
        return error


def _words(arguments: Sequence[str]) -> str:
    return " ".join(shlex.quote(word) for word in arguments)


def _understood(done: Completed) -> Answer:
    said = b"\n" + done.stdout
    if done.exit_status == 0 and MARK in said:
        word, _, rest = said.split(MARK, 1)[1].partition(b"\n")
        return Answer(word.decode(errors="replace"), rest)
    if MARK in said:
        text = said.rsplit(MARK, 1)[1].partition(b"\n")[2].decode(errors="replace").strip()
        effect = Effect.NONE if done.exit_status == CHANGED_NOTHING else Effect.UNKNOWN
        raise ShellError(" ".join(text.split("\n")), effect=effect)
    raise ShellError(_no_answer(done))


def _no_answer(done: Completed) -> str:
    return (
        f"the script gave no answer (exit status {done.exit_status}): {done.complaint or done.stdout[-200:]!r}. Is the "
        f"login shell there sh, bash, zsh or fish, without a forced command?"
    )
