"""`rollsafe`, and `python -m rollsafe`."""

import signal
import sys


def main() -> None:
    """Run the command line and end the process with its exit code (see the contract in README: Exit codes)."""
    # Whoever is told to end while it still imports is told so once there is somebody to say it: Ending hears them.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    from rollsafe.cli.app import run_command_line
    from rollsafe.cli.interrupt import hear_interrupts

    sys.exit(run_command_line(sys.argv[1:], hear_interrupts))


if __name__ == "__main__":
    main()
