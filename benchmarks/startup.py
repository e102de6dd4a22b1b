"""How long `rollsafe --help` takes over a bare `python -c pass`: an operator types it at 2 a.m., a shell completes it.

    python -m benchmarks.startup

Both are run in turns, so that a busy machine slows both; the median of the differences counts. Exit 1 past the limit.
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 21
LIMIT_S = 0.15
BARE = [sys.executable, "-c", "pass"]
HELP = [sys.executable, "-m", "rollsafe", "--help"]


def seconds(command: list[str]) -> float:
    """Wall time of one command."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=30)
    return time.perf_counter() - began


def main() -> int:
    """Measure, print, judge."""
    for command in (BARE, HELP):
        seconds(command)  # the first one writes and reads byte code
    bare, shown = zip(*[(seconds(BARE), seconds(HELP)) for _ in range(ROUNDS)], strict=True)
    over = statistics.median(h - b for b, h in zip(bare, shown, strict=True))
    base = statistics.median(bare)
    print(f"python -c pass   {base * 1000:7.1f} ms   (baseline)")
    print(f"rollsafe --help  {(base + over) * 1000:7.1f} ms   {1 + over / base:.1f} x the baseline")
    verdict = "ok" if over <= LIMIT_S else "TOO SLOW"
    print(f"over the bare    {over * 1000:7.1f} ms   limit {LIMIT_S * 1000:.0f} ms: {verdict}")
    return 0 if over <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
