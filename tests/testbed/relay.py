"""A wire that can be cut: stands before one admin API, and refuses, hangs, resets or dawdles when a test says so."""

import socket
import struct
import threading
import time
from contextlib import suppress

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
SLOW_S = 2.3  # longer than a look waits, and shorter than the time-out of an endpoint
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with time 0: close sends RST


class Relay:
    """Listens at `host:port` and carries each connection to `(host, to_port)`, as long as `mode` is `pass`."""

    def __init__(self, host: str, port: int, to_port: int) -> None:
        self.host, self.port, self._to = host, port, (host, to_port)
        self.mode = "pass"
        self.carried = 0
        self._held: list[socket.socket] = []
        self._listener: socket.socket | None = None

    def start(self) -> None:
        self._listener = socket.create_server((self.host, self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self._listener,), name="relay", daemon=True).start()

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in self._held:
            connection.close()
        self._held.clear()

    def become(self, mode: str) -> None:
        """pass | refuse | hang | reset | 404 | slow. `refuse` closes the port; the others keep it open."""
        self.mode = mode
        if mode == "refuse":
            # shutdown wakes the accept; close alone would leave one more connection to come through
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr] # none: an AttributeError is right
            self.stop()
        elif self._listener is None:
            self.start()
        if mode == "pass":
            for connection in self._held:
                connection.close()
            self._held.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self.mode == "hang":
                self._held.append(client)
            elif self.mode == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.close()
            elif self.mode == "404":
                client.recv(65536)
                client.sendall(NOT_FOUND)
                client.close()
            else:
                carry = self._dawdle if self.mode == "slow" else self._carry
                threading.Thread(target=carry, args=(client,), daemon=True).start()

    def _dawdle(self, client: socket.socket) -> None:
        time.sleep(SLOW_S)
        self._carry(client)

    def _carry(self, client: socket.socket) -> None:
        self.carried += 1
        try:
            server = socket.create_connection(self._to, 5)
        except OSError:
            client.close()
            return
        back = threading.Thread(target=pump, args=(server, client), daemon=True)
        back.start()
        pump(client, server)
        back.join(70)
        client.close()
        server.close()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Carry bytes until the source ends, then say so to the sink."""
    with suppress(OSError):
        source.settimeout(60)
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
