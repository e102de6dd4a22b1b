"""The scripts of a restart. None holds a single quote or a backslash, see script.py.

A restart leaves three files beside the claim, named by run, epoch and revision: CLAIM.restart-KEY.begun, .out and
.status. All are made under the lock. Where .begun is there and .status is not, the restart goes on as long as somebody
holds the lock; where nobody does, it was cut off (the machine itself was restarted).
"""

# what: $mark and $state (none, running, ended, lost) of the restart KEY, or of the only one there is where KEY is empty
_STATE = """
umask 007
uptime_s() {
  up=
  { read -r up _ </proc/uptime; } 2>/dev/null
  echo "${up%.*}"
}
find_mark() {
  mark=
  if [ -n "$1" ]; then mark=$file.restart-$1; return; fi
  for one in "$file".restart-*.begun; do
    if [ -e "$one" ]; then mark=${one%.begun}; fi
  done
}
look() {
  find_mark "$1"
  status= state=none
  if [ -z "$mark" ] || [ ! -e "$mark.begun" ]; then return; fi
  state=running
  if [ ! -e "$mark.status" ] && flock -n -o "$lock" true; then state=lost; fi
  if [ -e "$mark.status" ]; then read -r status <"$mark.status"; state=ended; fi
}
"""

# $1 expected first line; $2 key; $3 seconds to wait; $4 the command; $5 DETACHED; $6 INNER; $7 uptime of the node in
# seconds past which it is too late (empty: never)
BEGIN = """
mask=$(umask)
umask 007
need flock setsid sync head
folder look || { answer fenced; exit 0; }
no_link "$file" "$lock"
{ setsid sh -c "$5" rollsafe "$file" "$1" "$2" "$3" "$mask" "$4" "$6" "$7" </dev/null 2>/dev/null & } | {
  word=
  IFS= read -r word
  case $word in
    begun | fenced | busy | late) answer "$word" ;;
    failed*) fail "${word#failed }" ;;
    *) unsure "the restart script ended without a word" ;;
  esac
}
"""

# It lives on without the SSH session: own session (setsid), no terminal, no stream of the channel.
DETACHED = """
trap "" HUP
flock -o -w "$4" -E 75 "$1.lock" sh -c "$7" rollsafe "$@"
case $? in
  0) ;;
  75) echo busy ;;
  *) echo "failed the lock $1.lock could not be taken" ;;
esac
"""

# Under the lock: compare, then act. flock -o keeps the lock's file to itself, so what the command starts has no part
# in it. An order that was held up on its way rests on old readings: the node's own clock tells, which nobody sets.
# The answer goes out before the command starts; if nobody listens any more (PIPE), the restart goes on.
# Where its lock was let go, and the claim has ended meanwhile, nobody asks how it ended, and no file is left behind.
INNER = """
file=$1 expected=$2 mark=$1.restart-$3
say() { trap "" PIPE; echo "$1"; trap - PIPE; }
line=
if [ -f "$file" ] && [ ! -L "$file" ]; then IFS= read -r line <"$file"; fi
if [ "$line" != "$expected" ]; then say fenced; exit 0; fi
if [ -e "$mark.begun" ]; then say begun; exit 0; fi
up=
if [ -n "$8" ]; then { read -r up _ </proc/uptime; } 2>/dev/null; fi
if [ -n "$up" ] && [ "${up%.*}" -gt "$8" ]; then say late; exit 0; fi
rm -f "$file".restart-*
if { : >"$mark.out" && echo "$$" >"$mark.begun" && sync "$mark.begun"; } 2>/dev/null; then :; else
  rm -f "$mark.begun" "$mark.out"
  say "failed nothing can be written beside $file: is the disk full, or read-only?"
  exit 0
fi
say begun
exec >/dev/null
( umask "$5"; exec sh -c "$6" >>"$mark.out" 2>&1 </dev/null )
code=$?
if [ ! -e "$mark.begun" ]; then exit 0; fi
echo "$code" >"$mark.new" && mv -f -T "$mark.new" "$mark.status"
exit 0
"""

PROGRESS = (
    _STATE
    + """
folder look || { answer none; exit 0; }
no_link "$file" "$lock"
look "$1"
answer "$state"
echo "$status"
if [ -n "$mark" ] && [ -f "$mark.out" ]; then tail -c 4096 "$mark.out"; fi
exit 0
"""
)

# What: $inner, the shell that waits for the command, and $holder, the flock that holds the lock meanwhile.
_OVERDUE = (
    _STATE
    + """
overdue() {
  folder look || { answer none; exit 0; }
  no_link "$file" "$lock"
  look "$1"
  if [ "$state" != running ]; then answer "$state"; exit 0; fi
  inner= holder= comm=
  read -r inner <"$mark.begun"
  { read -r _ comm _ holder _ <"/proc/$inner/stat"; } 2>/dev/null
  if [ "$comm" = "(sh)" ]; then { read -r _ comm _ <"/proc/$holder/stat"; } 2>/dev/null; fi
  if [ "$comm" != "(flock)" ]; then answer alive; exit 0; fi
}
"""
)

# The command has done its work and does not end: the lock is let go, and the command left alone (it may be the server).
LET_GO = (
    _OVERDUE
    + """
overdue "$1"
kill -KILL "$holder" 2>/dev/null
for _ in 1 2 3 4 5; do
  if flock -n -o "$lock" true; then answer lost; exit 0; fi
  sleep 1
done
answer alive
"""
)

# The command did not do its work in its time: it and what it waits for are ended. What it has sent into the background
# is no child of it any more, and is left alone. Who is whose child, /proc tells: many small machines have no ps.
END = (
    _OVERDUE
    + """
parents() {
  for one in /proc/[0-9]*/stat; do
    line=
    { IFS= read -r line <"$one"; } 2>/dev/null
    case $line in *") "*) ;; *) continue ;; esac
    set -- ${line##*) }
    echo "${line%% *} $2"
  done
}
children() {
  tree=" $inner " more=1
  while [ -n "$more" ]; do
    more=
    while read -r child parent; do
      case $tree in *" $child "*) continue ;; esac
      case $tree in *" $parent "*) tree="$tree$child " more=1 ;; esac
    done <<LIST
$(parents)
LIST
  done
}
overdue "$1"
children
doomed=${tree#" $inner "}
for word in TERM KILL; do
  for one in $doomed; do kill -"$word" "$one" 2>/dev/null; done
  for _ in 1 2 3; do
    if [ -e "$mark.status" ]; then answer ended; exit 0; fi
    sleep 1
  done
done
answer alive
"""
)

# $1 the unit; systemctl(1): InvocationID is new for each start; Job is there only while one is pending
UNIT_IDENTITY = (
    _STATE
    + """
command -v systemctl >/dev/null 2>&1 || fail "there is no systemctl there: set restart.command and restart.identity"
state=none
if folder look; then no_link "$file" "$lock"; look ""; fi
said=$(systemctl show "$1" -p LoadState -p InvocationID -p Job -p ActiveState -p SubState 2>&1) ||
  fail "systemctl show $1 failed: $said"
answer "$state"
uptime_s
echo "$said"
"""
)

# $1 the command; $2 seconds after which it is run again, or empty: once is enough. Run in the end by one sh, under one
# time limit: each program more costs a node as much as reading a file.
READINGS = (
    'once() { ( command=$1; set --; eval "$command" ); code=$?; echo; echo "exit:$code"; return "$code"; }; '
    'once "$1" || exit 0; if [ -z "$2" ]; then exit 0; fi; echo rollsafe:again; '
    'if [ "$2" != 0 ]; then sleep "$2"; fi; once "$1"; exit 0'
)

# $1 the command; $2 the same with sudo, or empty; $3 as $2 of READINGS; $4 READINGS; $5 its time limit in seconds. A
# node that was restarted between two readings tells the same the third time.
COMMAND_IDENTITY = (
    _STATE
    + """
asked() {
  code=0
  if command -v timeout >/dev/null 2>&1; then
    timeout "$5" sh -c "$4" sh "$1" "$3" || code=$?
  else
    sh -c "$4" sh "$1" "$3" || code=$?
  fi
  echo
  if [ "$code" != 0 ]; then echo "exit:$code"; fi
}
bounded() {
  said=$( { asked "$@"; } 2>/dev/null </dev/null | head -c 16500 ) second=
  case $said in
    *"
rollsafe:again
"*)
      second=${said#*"
rollsafe:again
"}
      said=${said%%"
rollsafe:again
"*}
      ;;
  esac
  if [ "${#said}" -gt 8192 ] || [ "${#second}" -gt 8192 ]; then said= second=; fi
}
told() {
  case $said in *[![:space:]]*"exit:0") return 0 ;; esac
  return 1
}
look_there() {
  bounded "$1" "" "$3" "$4" "$5"
  if ! told && [ -n "$2" ] && [ "$(id -u)" != 0 ]; then bounded "$2" "" "$3" "$4" "$5"; fi
}
state=none
if folder look; then no_link "$file" "$lock"; look ""; fi
look_there "$@"
was=$said
if [ -n "$3" ] && told; then
  said=$second
  if [ "$said" != "$was" ]; then
    was=$said
    if [ "$3" != 0 ]; then sleep "$3"; fi
    look_there "$1" "$2" "" "$4" "$5"
  fi
fi
answer "$state"
uptime_s
if [ "$said" != "$was" ]; then
  echo "$was"
  answer differs
fi
echo "$said"
"""
)

# $1 what sudo is asked about (empty: no sudo); $2 the unit (empty: a command); $3 the command's program
MAY_RESTART = """
need flock setsid sync head tail mv rm sleep
if [ -n "$2" ]; then
  command -v systemctl >/dev/null 2>&1 || fail "there is no systemctl there: set restart.command and restart.identity"
  case $(systemctl show "$2" -p LoadState 2>&1) in
    LoadState=not-found*) fail "systemd there knows no unit $2: systemctl list-units --type=service shows the names" ;;
    LoadState=masked*) fail "the unit $2 is masked there: systemctl unmask $2" ;;
    LoadState=*) ;;
    *) fail "systemctl there gives no answer about $2" ;;
  esac
elif [ -n "$3" ] && [ -z "$1" ]; then
  command -v "$3" >/dev/null 2>&1 || fail "there is no program $3 there that $(id -un) may run"
fi
if [ -n "$1" ] && [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null 2>&1 || { answer nosudo; id -un; exit 0; }
  if said=$(LC_ALL=C sh -c "sudo -n -l $1" 2>&1 </dev/null); then :; else
    answer denied
    id -un
    echo "$said" | head -n 3
    exit 0
  fi
fi
answer ok
"""
