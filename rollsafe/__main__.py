"""`rollsafe`, and `python -m rollsafe`."""

import atexit
import gc
import os
import signal
import sys
import threading


def main() -> None:
    """Run the command line and end the process with its exit code (see the contract in README: Exit codes)."""
    _end(run())


def run() -> int:
    """Run the command line; returns the exit code."""
    _open_what_is_closed()
    gc.set_threshold(100_000, 20, 20)  # imports make no garbage, and looking for it takes a tenth of a start
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # what is installed beside us changes no reading of an inventory
    # Whoever is told to end while it still imports is told so once there is somebody to say it: Ending hears them.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    from rollsafe.cli.app import run_command_line
    from rollsafe.cli.interrupt import hear_interrupts

    return run_command_line(sys.argv[1:], hear_interrupts)


def _end(code: int) -> None:
    """End the process without taking the interpreter apart, which takes a sixth of a second and frees what goes anyway.

    A thread that must end first, or a stream that can't be written any more, is left to Python's own ending.
    """
    others = [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]
    if others:
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)
    os._exit(code)


def _open_what_is_closed() -> None:
    """A caller may have closed stdin, stdout or stderr (`>&-`): then no file of ours may take its place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


if __name__ == "__main__":
    main()
