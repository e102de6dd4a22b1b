"""Names into addresses, with a limit: getaddrinfo has none, and a dead name server takes it half a minute."""

import socket
import threading

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]


def resolve(host: str, port: int, within_s: float) -> list[Address]:
    """The addresses to try, in order. Raises OSError only: TimeoutError past the limit, gaierror for no such name."""
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
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
    return answer  # type: ignore[return-value]  # getaddrinfo's answer, as it came
