"""Why no answer came, as one word for the table and one sentence for the person."""

import errno
import socket
import ssl

from rollsafe.errors import RollsafeError

_ERRNO_WORDS = {
    errno.ECONNREFUSED: ("refused", "nothing listens on the port, or a firewall refuses"),
    errno.ECONNRESET: ("reset", "the connection was reset before the answer was whole"),
    errno.EPIPE: ("reset", "the connection was closed before the question was sent"),
    errno.EHOSTUNREACH: ("unreachable", "no way to the host"),
    errno.ENETUNREACH: ("unreachable", "no way to the network"),
    errno.ETIMEDOUT: ("timed out", "no answer to the connection attempt"),
}

# httpx's own names, so that this module needs no import of it
_CLASS_WORDS = {
    "ConnectTimeout": ("timed out", "no connection in time"),
    "ReadTimeout": ("timed out", "connected, but no answer in time"),
    "WriteTimeout": ("timed out", "connected, but the question could not be sent in time"),
    "PoolTimeout": ("timed out", "earlier questions still hold all connections"),
    "RemoteProtocolError": ("broken", "closed without an answer, or what came is not HTTP"),
    # These texts may quote the header, and so the token: they are never passed on.
    "LocalProtocolError": ("invalid", "the token or a header holds a character that HTTP does not allow"),
    "UnicodeEncodeError": ("invalid", "the token or a header holds a character that HTTP does not allow"),
    "InvalidURL": ("invalid", "the address makes no sense"),
    "UnsupportedProtocol": ("invalid", "the address must begin with http:// or https://"),
}


def failure(error: BaseException) -> tuple[str, str]:
    """(word, sentence) for a failed exchange or connection."""
    if isinstance(error, RollsafeError):
        return "not asked", str(error)
    by_class = _CLASS_WORDS.get(type(error).__name__)
    for cause in _chain(error):
        if found := _by_cause(cause, by_class):
            return found
    if type(error).__name__ == "ProxyError":
        return "proxy", f"the proxy refused: {error}"
    return by_class or ("failed", f"{type(error).__name__}: {error}")


def _by_cause(cause: BaseException, by_class: tuple[str, str] | None) -> tuple[str, str] | None:
    if isinstance(cause, ssl.SSLError):
        return "TLS", _tls(cause)
    if isinstance(cause, socket.gaierror):
        return "no address", f"the name can't be resolved: {cause.strerror}"
    if isinstance(cause, TimeoutError):
        return by_class or ("timed out", "no answer in time")
    return _ERRNO_WORDS.get(cause.errno or 0) if isinstance(cause, OSError) else None


def _tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}; is ca_file right?"
    return f"the TLS handshake failed: {error.reason or error}"


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what led to it, innermost last; at most 10, for a chain could bite its tail."""
    chain: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and len(chain) < 10:
        chain.append(step)
        step = step.__cause__ or step.__context__
    return chain
