"""Names into addresses, with a limit: getaddrinfo has none, and a dead name server takes it half a minute."""

import socket
import threading

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]


def resolve(host: str, port: int, within_s: float) -> list[Address]:
    """The addresses to try, in order. Raises OSError only: TimeoutError past the limit, gaierror for no such name."""
    try:  # an address asks no name server, and needs no thread: rollsafe connects many times a second
        return _asked(host, port, socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return _asked_aside(host, port, within_s)


def _asked(host: str, port: int, flags: int = 0) -> list[Address]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)  # type: ignore[return-value]  # IPv4 or 6


def _asked_aside(host: str, port: int, within_s: float) -> list[Address]:
    answers: list[list[Address] | OSError | UnicodeError] = []

    def ask() -> None:
        try:
            answers.append(_asked(host, port))
        except (OSError, UnicodeError) as error:
            answers.append(error)

    asking = threading.Thread(target=ask, name="resolve", daemon=True)
    asking.start()
    asking.join(within_s)
    if not answers:
        raise TimeoutError(f"the name {host} was not resolved in time")
    answer = answers[0]
    if isinstance(answer, OSError):
        raise answer
    if isinstance(answer, UnicodeError):  # an empty label, or one of more than 63 signs
        raise socket.gaierror(socket.EAI_NONAME, f"{host} can't be the name of a host") from answer
    return answer
