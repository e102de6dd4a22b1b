"""The claim on one node, over SSH. Every change is made under the node's flock, by a script that compares first.

The lock file is never removed: who waits for a lock on a removed file would hold a lock that nobody else sees.
"""

from rollsafe.drivers.remote.claim_codec import MOST_BYTES, decode, encode, first_line
from rollsafe.drivers.remote.script import NAME, Answer, Question, ask, run_script
from rollsafe.drivers.ssh.connection import SshConnection
from rollsafe.errors import ClaimError, Effect, ShellError
from rollsafe.model.claim import ClaimRecord, Token

LOCK_WAIT_S = 5.0  # longer than any change takes; a restart holds the lock for minutes
_SCRIPT_S = 15.0  # what a script may take besides waiting for the lock

_READ = """
show() { answer ok; head -c "$1" <&3; }
folder look || { answer missing; exit 0; }
no_link "$file"
if gone "$file"; then answer missing; exit 0; fi
if [ ! -f "$file" ]; then fail "$file is no plain file: look who made it, and remove it"; fi
if show "$1" 3<"$file" 2>/dev/null; then exit 0; fi
if gone "$file"; then answer missing; exit 0; fi
fail "$file can not be read by $(id -un): add this user to the group of $dir"
"""

# $1 create, replace or remove; $2 the expected first line; $3 the number of bytes on stdin; $4 seconds to wait; $5 the
# script that runs under the lock. stdin is read before the lock is taken: a stalled network must not hold it.
_CHANGE = """
umask 007
tidy() { rm -f "$tmp"; }
need flock sync mktemp head wc
if [ "$1" = create ]; then folder make; else folder look || { answer missing; exit 0; }; fi
no_link "$file" "$lock"
tmp=
if [ "$1" != remove ]; then
  find "$dir" -maxdepth 1 -type f -name ".claim.*" -mmin +60 -exec rm -f {} + 2>/dev/null
  tmp=$(mktemp "$dir/.claim.XXXXXX" 2>&1) || fail "the claim folder $dir can not be written: $tmp"
  trap "exit 3" HUP INT TERM
  trap tidy EXIT
  said=$( { cat >"$tmp"; } 2>&1 && chmod 660 "$tmp" 2>&1 && sync "$tmp" 2>&1 ) ||
    fail "the claim could not be written to $dir: ${said:-is the disk full?}"
  if [ "$(wc -c <"$tmp")" -ne "$3" ]; then fail "the claim arrived cut short, and was thrown away"; fi
fi
said=$(flock -o -w "$4" -E 75 "$lock" sh -c "$5" rollsafe "$1" "$2" "$tmp" "$dir" "$file" 2>&1 </dev/null)
case $? in
  10) answer ok ;;
  11) answer other ;;
  12) answer missing ;;
  13) answer exists ;;
  20) fail "the claim could not be changed: $said" ;;
  21) unsure "the claim was changed, but may not be on the disk yet: $said" ;;
  22) fail "$file became a symbolic link: look who did that" ;;
  75) answer busy ;;
  *) fail "the lock $lock could not be taken: $said" ;;
esac
exit 0
"""

_UNDER_LOCK = """
act=$1 expected=$2 tmp=$3 dir=$4 file=$5
if [ -L "$file" ]; then exit 22; fi
if [ "$act" = create ]; then
  if [ -e "$file" ]; then exit 13; fi
  ln -T "$tmp" "$file" || { [ -e "$file" ] && exit 13; exit 20; }
  sync "$dir" || exit 21
  exit 10
fi
if [ ! -e "$file" ]; then exit 12; fi
if [ ! -f "$file" ]; then echo "$file is no plain file: look who made it, and remove it"; exit 20; fi
if [ ! -r "$file" ]; then echo "$file can not be read by $(id -un): add this user to the group of $dir"; exit 20; fi
line=
IFS= read -r line <"$file"
if [ "$line" != "$expected" ]; then exit 11; fi
if [ "$act" = remove ]; then
  rm -f "$file" || exit 20
  rm -f "$file".restart-*
else
  mv -f -T "$tmp" "$file" || exit 20
fi
sync "$dir" || exit 21
exit 10
"""

_MAY_CLAIM = """
need flock sync mktemp head wc find setsid cat chmod ln mkdir mv rm
if folder look; then
  no_link "$file" "$lock"
  if [ ! -w "$dir" ]; then
    said=$(LC_ALL=C mktemp "$dir/.claim.XXXXXX" 2>&1) && rm -f "$said"
    case $said in
      *"Read-only file system"*)
        fail "the claim folder $dir is on a read-only file system: mount it writable, or name another claim_dir"
        ;;
    esac
    fail "$(id -un) may not write to the claim folder $dir: add this user to its group"
  fi
else
  up=${dir%/*}/
  if [ ! -d "$up" ]; then fail "$up is missing: claim_dir, $dir, must be the last folder of a path that exists"; fi
  if [ ! -w "$up" ]; then
    fail "the claim folder $dir can not be made: $(id -un) may not write to $up, or it is read-only. Make it there"
  fi
fi
flock -o -w 1 -E 75 9 9</dev/null || fail "the flock there knows no -o, -w and -E: install the one of util-linux"
answer ok
"""


READ = Question(_READ, (str(MOST_BYTES + 1),), output_limit=2 * MOST_BYTES)
MAY_CLAIM = Question(_MAY_CLAIM)


class SshClaimFile:
    """CLAIM_DIR/CLUSTER.NODE.json on one node. Implements ports.ClaimFile; raises ClaimError."""

    def __init__(
        self, connection: SshConnection, claim_dir: str, cluster: str, node: str, *, lock_wait_s: float = LOCK_WAIT_S
    ) -> None:
        self._connection, self._node, self._wait = connection, node, lock_wait_s
        self._place = place(claim_dir, cluster, node)

    def read(self) -> ClaimRecord | None:
        """The claim as it is now, without taking the lock: the file is only ever replaced whole."""
        return self.read_from(ask(self._connection, self._place, READ))

    def read_from(self, answer: Answer | ShellError) -> ClaimRecord | None:
        """The claim, from the answer to READ. Raises ClaimError."""
        if isinstance(answer, ShellError):
            raise self._error(answer) from answer
        if answer.word == "missing":
            return None
        try:
            return decode(answer.rest)
        except ClaimError as error:
            raise ClaimError(
                f"{self._node}: {'/'.join(self._place)}.json is {error}. Look who wrote it; it is never overwritten",
                effect=Effect.NONE,
            ) from error

    def create(self, record: ClaimRecord) -> bool:
        """Make the claim where there is none. False: there is one."""
        return self._change("create", "", encode(record))

    def swap(self, expected: Token, record: ClaimRecord | None) -> bool:
        """Replace (or remove) the claim that carries `expected`. False: it carries another, or is not there."""
        if record is None:
            return self._change("remove", first_line(expected), b"")
        return self._change("replace", first_line(expected), encode(record))

    def may_claim(self) -> None:
        """Could a claim be made there? Changes nothing. Raises ClaimError with what is missing."""
        self.may_claim_from(ask(self._connection, self._place, MAY_CLAIM))

    def may_claim_from(self, answer: Answer | ShellError) -> None:
        """The same, from the answer to MAY_CLAIM."""
        if isinstance(answer, ShellError):
            raise self._error(answer) from answer

    def _change(self, act: str, expected: str, data: bytes) -> bool:
        arguments = [act, expected, str(len(data)), f"{self._wait:g}", _UNDER_LOCK]
        try:
            limit_s = self._wait + _SCRIPT_S
            answer = run_script(self._connection, self._place, _CHANGE, arguments, stdin=data, timeout_s=limit_s)
        except ShellError as error:
            raise self._error(error) from error
        if answer.word == "busy":
            raise ClaimError(
                f"{self._node}: the claim's lock has been held by somebody else for {self._wait:g} s: most likely the "
                f"command of a restart still runs there (`pgrep -af {self._place[1]}.json.lock` shows it)",
                effect=Effect.NONE,
            )
        if answer.word not in ("ok", "other", "missing", "exists"):
            raise ClaimError(f"{self._node}: the claim script answered {answer.word!r}, which makes no sense")
        return answer.word == "ok"

    def _error(self, error: ShellError) -> ClaimError:
        return ClaimError(f"{self._node}: {error}", effect=error.effect)


def place(claim_dir: str, cluster: str, node: str) -> tuple[str, str]:
    """The folder and CLUSTER.NODE, as the scripts want them. Raises ClaimError where they would lead elsewhere."""
    if not claim_dir.startswith("/") or claim_dir.strip("/") == "" or "\n" in claim_dir:
        raise ClaimError(f"claim_dir {claim_dir!r} must be the full path of a folder of its own", effect=Effect.NONE)
    for what, name in (("cluster", cluster), ("node", node)):
        if NAME.fullmatch(name) is None:
            raise ClaimError(
                f"the {what}'s name {name!r} can't be part of a file name: use A-Z a-z 0-9 . _ -", effect=Effect.NONE
            )
    return claim_dir.rstrip("/"), f"{cluster}.{node}"
