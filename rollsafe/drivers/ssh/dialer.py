"""From settings to an authenticated connection: every hop checked, the whole of it within one limit."""

import logging
import socket
import sys
from dataclasses import dataclass, field

import paramiko

from rollsafe.drivers.resolving import Address, resolve
from rollsafe.drivers.ssh.client_config import ClientConfig, Target
from rollsafe.drivers.ssh.deadline import Deadline
from rollsafe.drivers.ssh.keys import KeyRing, Offer
from rollsafe.drivers.ssh.known_hosts import KnownHosts
from rollsafe.drivers.ssh.transport import ChannelRefused, ChannelTimeout, SshTransport
from rollsafe.errors import Effect, ShellError
from rollsafe.model.settings import SshSettings
from rollsafe.model.wording import ended

_log = logging.getLogger(__name__)
KEEPALIVE_S = 10  # idle connections die in firewalls, mostly after a minute
GONE_S = 30  # a peer that acknowledges nothing for so long is gone


@dataclass(slots=True)
class Line:
    """An open chain of connections: the last one is the destination's."""

    transports: list[SshTransport] = field(default_factory=list)

    @property
    def last(self) -> SshTransport:
        """The destination's own."""
        return self.transports[-1]

    def alive(self) -> bool:
        """Are all of them?"""
        return all(one.is_active() for one in self.transports)

    def close(self) -> None:
        """Close them, the farthest first."""
        for one in reversed(self.transports):
            one.end()


def dial(settings: SshSettings, keys: KeyRing, config: ClientConfig) -> Line:
    """Connect. Raises ShellError with effect NONE: nothing was sent to any command."""
    deadline = Deadline(settings.connect_timeout_s)
    line = Line()
    before: Target | None = None
    try:
        for target in config.chain(settings):
            sock = _reach(line, before, target, deadline)
            line.transports.append(_handshake(sock, target, before, deadline))
            _authenticate(line.last, settings, target, keys, deadline)
            line.last.set_keepalive(KEEPALIVE_S)
            before = target
    except BaseException:
        line.close()
        raise
    _log.debug("connected to %s", before.label if before else settings.host)
    return line


def refused(message: str) -> ShellError:
    """An error of connecting: nothing happened there."""
    return ShellError(message, effect=Effect.NONE)


def _reach(line: Line, before: Target | None, target: Target, deadline: Deadline) -> socket.socket | paramiko.Channel:
    if before is None:
        return _tcp(target, deadline)
    try:
        return line.last.open_tcp(target.address, target.port, deadline=deadline)
    except ChannelRefused as error:
        raise refused(
            f"the jump host {before.label} can't reach {target.address}:{target.port}: {ended(str(error))} "
            f"Is the address right as seen from there, and does its sshd allow AllowTcpForwarding?"
        ) from error
    except ChannelTimeout as error:
        raise refused(
            f"the jump host {before.label} did not reach {target.address}:{target.port} within {deadline.seconds:g} s"
        ) from error
    except (EOFError, OSError, paramiko.SSHException) as error:
        raise refused(
            f"the connection to the jump host {before.label} broke before it reached {target.address}:{target.port}: "
            f"{error or 'end of file'}"
        ) from error


def _tcp(target: Target, deadline: Deadline) -> socket.socket:
    where = f"{target.address}:{target.port}"
    failure: OSError | None = None
    for family, kind, protocol, _, address in _resolve(target, deadline):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(deadline.left(), 0.001))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
            continue
        _tune(sock)
        return sock
    if isinstance(failure, ConnectionRefusedError):
        raise refused(
            f"{where} refuses the connection: is sshd running there, and is {target.port} its port?"
        ) from failure
    if isinstance(failure, TimeoutError):
        raise refused(
            f"{where} did not answer within {deadline.seconds:g} s: is the machine up, and does a firewall let "
            f"this machine through?"
        ) from failure
    raise refused(f"{where} can't be reached: {failure.strerror if failure else 'no address'}") from failure


def _resolve(target: Target, deadline: Deadline) -> list[Address]:
    try:
        return resolve(target.address, target.port, deadline.left())
    except TimeoutError as error:
        raise refused(
            f"the name {target.address} was not resolved within {deadline.seconds:g} s: is DNS up?"
        ) from error
    except OSError as error:
        raise refused(f"the name {target.address} is not known: {error}") from error


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        # with the keep-alive packets: a peer that vanished is noticed, not only one that said good-bye
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_S * 1000)


def _handshake(
    sock: socket.socket | paramiko.Channel, target: Target, before: Target | None, deadline: Deadline
) -> SshTransport:
    known = KnownHosts(target.known_hosts)
    transport = SshTransport(sock, known.types_for(target.host_key_name, target.port))
    left = max(deadline.left(), 0.001)
    transport.banner_timeout = transport.handshake_timeout = left
    try:
        transport.start_client(timeout=left)
        if not transport.initial_kex_done:
            raise TimeoutError  # noqa: TRY301 - paramiko returns in silence when the time is up
        key = transport.get_remote_server_key()
        known.check(
            target.host_key_name,
            target.port,
            key.get_name(),
            key.asbytes(),
            reached_through=before.label if before else "",
        )
    except (paramiko.SSHException, EOFError, OSError, ValueError) as error:
        transport.end()
        raise refused(_why_no_handshake(transport, target, deadline, error)) from error
    except BaseException:
        transport.end()
        raise
    return transport


def _why_no_handshake(transport: SshTransport, target: Target, deadline: Deadline, error: Exception) -> str:
    where = f"{target.address}:{target.port}"
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return f"{where} and this machine have no SSH algorithm in common: {error}"
    if deadline.passed or isinstance(error, TimeoutError):
        if not transport.remote_version:
            return (
                f"{where} accepted the connection and gave no SSH greeting within {deadline.seconds:g} s: either no "
                f"sshd listens there, or it hangs (no memory, a stuck disk)"
            )
        return f"{where} did not finish the SSH handshake within {deadline.seconds:g} s"
    if not transport.remote_version:
        return (
            f"{where} closed the connection before it said anything ({error or 'end of file'}): either it is no "
            f"sshd, or it turns this machine away (MaxStartups, PerSourcePenalties, TCP wrappers)"
        )
    return f"{where} broke off the SSH handshake: {error or 'it closed the connection'}"


def _authenticate(
    transport: SshTransport, settings: SshSettings, target: Target, keys: KeyRing, deadline: Deadline
) -> None:
    offer = keys.offer(settings, target, timeout_s=max(deadline.left(), 0.001))
    try:
        tried: list[str] = []
        for candidate in offer.candidates:
            transport.auth_timeout = max(deadline.left(), 0.001)
            tried.append(candidate.label)
            try:
                rest = transport.auth_publickey(target.user, candidate.key)
            except paramiko.BadAuthenticationType as error:
                raise refused(
                    f"{target.label} takes no keys, only {', '.join(error.allowed_types)}: allow PubkeyAuthentication "
                    f"in its sshd_config"
                ) from error
            except (paramiko.SSHException, EOFError, OSError) as error:
                _stop_trying(transport, target, tried, deadline, error)
                continue
            if not rest:
                return
            raise refused(f"{target.label} wants {', '.join(rest)} besides a key, which rollsafe can't give")
        raise refused(_why_not_let_in(target, tried, offer))
    finally:
        offer.close()


def _stop_trying(
    transport: SshTransport, target: Target, tried: list[str], deadline: Deadline, error: Exception
) -> None:
    if deadline.passed:
        raise refused(
            f"{target.label} did not decide on the key {tried[-1]} within {deadline.seconds:g} s (an agent that asks, "
            f"or a directory server that hangs)"
        ) from error
    if not transport.is_active():
        raise refused(
            f"{target.label} closed the connection after {len(tried)} keys ({'; '.join(tried)}): if that is too many, "
            f"name one with `ssh.private_key`, or set IdentitiesOnly in ~/.ssh/config"
        ) from error


def _why_not_let_in(target: Target, tried: list[str], offer: Offer) -> str:
    shown = (
        f"tried {'; '.join(tried)}" if tried else "there was no key to try: set `ssh.private_key`, or start an agent"
    )
    unusable = f" Not usable: {'; '.join(offer.unusable)}." if offer.unusable else ""
    return (
        f"{target.label} lets this user in with none of its keys: {shown}.{unusable} Is the public key in "
        f"~{target.user}/.ssh/authorized_keys there, and is the user right?"
    )
