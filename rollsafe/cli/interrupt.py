"""SIGINT, SIGTERM and SIGHUP where no run hears them yet, or none ever will: each ends the command as Ctrl-C does."""

import signal
import threading

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def hear_interrupts() -> None:
    """From now on the first of these signals raises KeyboardInterrupt, and the others don't disturb the ending."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in HEARD:
        if not hangup_is_ignored(number):
            signal.signal(number, _interrupted)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, set(HEARD))  # what came while we imported comes now


def hangup_is_ignored(number: int) -> bool:
    """Was this process started by nohup? Then it outlives its terminal, as its operator wants it to."""
    return number == signal.SIGHUP and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def _interrupted(_number: int, _frame: object) -> None:
    for number in HEARD:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
