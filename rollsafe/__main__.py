"""`rollsafe`, and `python -m rollsafe`."""

import sys


def main() -> None:
    """Run the command line and end the process with its exit code (see the contract in README: Exit codes)."""
    from rollsafe.cli.app import run_command_line

    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
