"""paramiko's Transport with what OpenSSH does and it does not: limits on every wait, and UNIX sockets through SSH."""

import contextlib
import logging
import socket
import threading
from collections.abc import Sequence

import paramiko
from paramiko.common import cMSG_CHANNEL_OPEN, cMSG_CHANNEL_REQUEST

from rollsafe.drivers.ssh.deadline import Deadline

# Its tracebacks are no sentences for a person: ours say the same. Whoever wants them sets up a handler.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

# Cheapest first: all are considered safe, and a run pays for each handshake and byte (RFC 8731, RFC 5647).
_KEX = (
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "mlkem768x25519-sha256",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
)
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
_HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
_WINDOW = 1 << 21
_PACKET = 1 << 15
ADMINISTRATIVELY_PROHIBITED = 1  # RFC 4254, section 5.1
_CHANNEL_OPEN_FAILURE = 92  # RFC 4254, section 9


class ChannelRefused(Exception):
    """The server refused to open a channel: RFC 4254's reason code and the server's own words."""

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class ChannelTimeout(Exception):
    """The server did not answer within the limit: it counts as gone."""


class SshTransport(paramiko.Transport):
    """One SSH connection. `known_types`: the host's key types in known_hosts, which the server is asked for first."""

    def __init__(self, sock: socket.socket | paramiko.Channel, known_types: Sequence[str]) -> None:
        super().__init__(sock, default_window_size=_WINDOW, default_max_packet_size=_PACKET)
        self._ours = sock
        self._preferred_kex = tuple(name for name in _KEX if name in self._kex_info)  # type: ignore[attr-defined]  # not in the stubs
        self._preferred_ciphers = _CIPHERS
        self._preferred_macs = _MACS
        wanted = _host_key_order(known_types)
        self._preferred_keys = wanted
        self._host_key_order = wanted
        self._opening = threading.Lock()
        self._refusals: dict[int, tuple[int, str]] = {}
        self._handler_table[_CHANNEL_OPEN_FAILURE] = self._note_refusal  # type: ignore[attr-defined]  # not in the stubs

    @property
    def preferred_keys(self) -> Sequence[str]:
        """Plain host keys only: certificates of hosts are not checked, so they are not asked for."""
        return self._host_key_order

    def end(self) -> None:
        """Close, whatever state it is in: paramiko's close() leaves the socket open once the peer is gone.

        The socket goes first, or else close() waits until paramiko's own thread looks at it again.
        """
        if isinstance(self._ours, socket.socket):
            with contextlib.suppress(OSError):
                self._ours.shutdown(socket.SHUT_RDWR)
        self.close()
        self._ours.close()

    def open_tcp(self, host: str, port: int, *, deadline: Deadline) -> paramiko.Channel:
        """A TCP connection made by the server (RFC 4254, section 7.2)."""
        message = paramiko.Message()
        message.add_string(host)
        message.add_int(port)
        message.add_string("127.0.0.1")  # the originator: only for the server's log
        message.add_int(0)
        return self._open("direct-tcpip", message, deadline)

    def open_unix(self, path: str, *, deadline: Deadline) -> paramiko.Channel:
        """A connection to a UNIX socket on the server (OpenSSH's PROTOCOL file, section 2.4)."""
        message = paramiko.Message()
        message.add_string(path)
        message.add_string("")  # reserved
        message.add_int(0)  # reserved
        return self._open("direct-streamlocal@openssh.com", message, deadline)

    def open_command(self, *, deadline: Deadline) -> paramiko.Channel:
        """A channel on which one command can be run."""
        return self._open("session", paramiko.Message(), deadline)

    def send_command(self, channel: paramiko.Channel, command: str, *, deadline: Deadline) -> bool:
        """Send the command. False: the server refuses to run any. Raises ChannelTimeout where no answer came."""
        channel.event.clear()
        channel.event_ready = False
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(channel.remote_chanid)
        message.add_string("exec")
        message.add_boolean(True)  # want a reply
        message.add_string(command)
        self._send_user_message(message)  # type: ignore[attr-defined]  # not in the stubs
        if not channel.event.wait(deadline.left()):
            raise ChannelTimeout
        if not channel.event_ready and not self.is_active():
            raise EOFError
        return channel.event_ready

    def _open(self, kind: str, details: paramiko.Message, deadline: Deadline) -> paramiko.Channel:
        # one at a time: it costs one round trip, and the answers can't be mixed up
        if not self._opening.acquire(timeout=max(deadline.left(), 0.001)):
            raise ChannelTimeout
        try:
            number, channel, event = self._register()
            message = paramiko.Message()
            message.add_byte(cMSG_CHANNEL_OPEN)
            message.add_string(kind)
            message.add_int(number)
            message.add_int(_WINDOW)
            message.add_int(_PACKET)
            message.add_bytes(details.asbytes())
            self._send_user_message(message)  # type: ignore[attr-defined]  # not in the stubs
            self._await_answer(event, deadline)
            if number in self._refusals:
                raise ChannelRefused(*self._refusals.pop(number))
            return channel
        finally:
            self._opening.release()

    def _register(self) -> tuple[int, paramiko.Channel, threading.Event]:
        with self.lock:  # as Transport.open_channel does
            number = self._next_channel()  # type: ignore[attr-defined]  # not in the stubs
            channel = paramiko.Channel(number)
            self._channels.put(number, channel)  # type: ignore[attr-defined]  # not in the stubs
            self.channel_events[number] = event = threading.Event()
            self.channels_seen[number] = True
            channel._set_transport(self)  # type: ignore[attr-defined]  # not in the stubs
            channel._set_window(_WINDOW, _PACKET)  # type: ignore[attr-defined]  # not in the stubs
        return number, channel, event

    def _await_answer(self, event: threading.Event, deadline: Deadline) -> None:
        # paramiko sets `active` without waking anybody, so it is looked at from time to time
        while not event.wait(min(0.1, max(deadline.left(), 0.001))):
            if not self.is_active():
                raise EOFError
            if deadline.passed:
                raise ChannelTimeout
        if not self.is_active():
            raise EOFError

    def _note_refusal(self, message: paramiko.Message) -> None:
        number, reason, text = message.get_int(), message.get_int(), message.get_text()
        self._refusals[number] = (reason, text)
        message.rewind()
        self._parse_channel_open_failure(message)  # type: ignore[attr-defined]  # not in the stubs


def _host_key_order(known_types: Sequence[str]) -> tuple[str, ...]:
    known = set(known_types)
    if "ssh-rsa" in known:  # the key's type; the signature's algorithm is one of these (RFC 8332)
        known |= {"rsa-sha2-512", "rsa-sha2-256"}
    return (*(one for one in _HOST_KEYS if one in known), *(one for one in _HOST_KEYS if one not in known))
