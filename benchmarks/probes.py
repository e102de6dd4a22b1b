"""What probing costs: 10 Hz with a new connection each time, over plain HTTP and over TLS. CPU, memory, rhythm.

    python -m benchmarks.probes [SECONDS]       default 20; exits 1 past a limit, or where memory grows

The baseline is the least that such a request can cost in Python: a bare socket, and for TLS a whole handshake with the
certificate verified. It is measured in the same run, before and after, so that a busy machine slows both; of each the
cheapest slice counts, for other programs only ever add. Over plain HTTP the whole must stay within 2 % of a core. Over
TLS, where the handshake itself weighs most, what rollsafe adds must, and the whole must stay within twice the baseline.
The transport is the one that a run uses.

The server runs in a process of its own, so that only the prober is measured. An hour costs what a minute does, for
nothing in a watch grows with time; the second half of the run is held against the first to see that.
"""

import gc
import http.server
import multiprocessing
import resource
import socket
import ssl
import sys
import tempfile
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rollsafe.clock import SystemClock
from rollsafe.drivers.http import make_transport
from rollsafe.model.reading import Evidence, ProbeSample
from rollsafe.model.settings import Expectation, ProbeSettings
from rollsafe.probes.batch import EVERY_S
from rollsafe.probes.http_probe import HttpProbe
from rollsafe.probes.ledger import Ledger
from rollsafe.probes.watch import Watch

RATE_HZ = 10
LIMIT = 0.02  # of a core
TIMES_TLS = 2.0  # the baseline
SLICES = 5
GROWTH_KIB = 512  # allocator's play; 36,000 samples kept would be tens of MB


class Handler(http.server.BaseHTTPRequestHandler):
    """Says that it runs."""

    def do_GET(self) -> None:
        """Answer."""
        body = b'{"state": "RUNNING"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def serve(port: Any, certificate: str | None) -> None:
    """The server's process."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    port.value = server.server_address[1]
    server.serve_forever()


def certificate(folder: Path, host: str = "127.0.0.1") -> Path:
    """A key and a certificate for the host that lives an hour."""
    whose = x509.IPAddress(ip_address(host)) if host.startswith("127.") else x509.DNSName(host)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(hours=1)
        )
        .add_extension(x509.SubjectAlternativeName([whose]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()) + made.public_bytes(pem))
    return file


def measure(seconds: float, pem: Path | None) -> bool:
    """One watch at 10 Hz. True where it is cheap enough."""
    port = multiprocessing.Value("i", 0)
    process = multiprocessing.Process(target=serve, args=(port, str(pem) if pem else None), daemon=True)
    process.start()
    while not port.value:
        time.sleep(0.01)
    url = f"{'https' if pem else 'http'}://127.0.0.1:{port.value}/status"
    expect = Expectation(json={"state": "RUNNING"})
    settings = ProbeSettings("web", "main", url, expect=expect, interval_s=1 / RATE_HZ, timeout_s=10.0)
    verify = ssl.create_default_context(cafile=str(pem)) if pem else False
    clock = SystemClock()
    floors = [bare(port.value, seconds / 8, verify) for _ in range(2)]
    transport = make_transport(timeout_s=10.0, ca_file=str(pem) if pem else None, tls=bool(pem), keepalive=False)
    with transport:
        watch = Watch([(settings, HttpProbe(settings, transport, clock))], clock)
        watch.start()
        time.sleep(seconds / 4)  # the first connections load code
        peak = memory_kib()
        share = min(sleeping(seconds * 3 / 4 / SLICES) for _ in range(SLICES))
        grown = memory_kib() - peak
        summary = watch.summaries()[0]
        watch.stop()
    floor = min(*floors, *(bare(port.value, seconds / 8, verify) for _ in range(2)))
    process.terminate()
    process.join()
    print(
        f"{'https' if pem else 'http':5}  {share:5.2%} of a core  baseline {floor:5.2%}  {share / floor:.1f} x  "
        f"{grown:5d} KiB more  {summary.probes} probes  {summary.failed} failed  "
        f"latest {summary.late_s * 1000:.1f} ms late"
    )
    cheap = share - floor < LIMIT and share < TIMES_TLS * floor if pem else share < LIMIT
    return cheap and grown < GROWTH_KIB and summary.failed == 0


def sleeping(seconds: float) -> float:
    """The share of a core that this process takes while this thread sleeps."""
    before, began = time.process_time(), time.monotonic()
    time.sleep(seconds)
    return (time.process_time() - before) / (time.monotonic() - began)


def bare(port: int, seconds: float, verify: Any) -> float:
    """The baseline: the share of a core that 10 requests a second cost without any library."""
    before, began = time.process_time(), time.monotonic()
    for i in range(int(seconds * RATE_HZ)):
        time.sleep(max(0.0, began + i / RATE_HZ - time.monotonic()))
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            stream = verify.wrap_socket(connection, server_hostname="127.0.0.1") if verify else connection
            stream.sendall(b"GET /status HTTP/1.0\r\n\r\n")
            while stream.recv(4096):
                pass
    return (time.process_time() - before) / (time.monotonic() - began)


def memory_kib() -> int:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def an_hour_in_memory() -> bool:
    """An hour at 10 Hz in virtual time, twice: the second must at no moment need more than the first did."""
    ledger = Ledger(ProbeSettings("web", "main", "http://x", interval_s=1 / RATE_HZ), 0.0)

    def hour(number: int) -> int:
        gc.collect()  # the interpreter keeps freed tuples for later use, up to a bound that takes many hours to reach
        tracemalloc.reset_peak()
        for i in range(3600 * RATE_HZ):
            at = number * 3600 + i / RATE_HZ
            good = i % 7 != 0
            sample = ProbeSample("web", "main", at, at, good, 0.01, Evidence(200, "x" * 200, 0.01))
            ledger.answered(ledger.sent(at, at), sample, at + 0.01)
            if i % (EVERY_S * RATE_HZ) == 0:
                ledger.batch()  # as a watch takes it for the journal
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    first, second = hour(0), hour(1)
    tracemalloc.stop()
    print(f"hour   {first / 1024:.0f} KiB at most in the first, {second / 1024:.0f} KiB in the second (1 of 7 failed)")
    return second < first * 1.1


def main() -> int:
    """Measure, print, judge."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory() as folder:
        good = [measure(seconds, None), measure(seconds, certificate(Path(folder))), an_hour_in_memory()]
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
