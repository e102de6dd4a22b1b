"""Real balancers and small nodes on loopback, each in its own folder, on free ports, stopped by its own pid."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

MODULES = Path("/usr/lib/apache2/modules")


def need(name: str, package: str) -> str:
    """Where a program is. In CI a missing one is a failure, elsewhere a skip that says what to install."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is not None:
        return found
    text = f"{name} is not installed: apt install {package}"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def eventually(question: Callable[[], Any], what: str, timeout_s: float = 10.0) -> Any:
    """Ask until the answer is true; that answer. Fails with `what` after the time."""
    deadline = time.monotonic() + timeout_s
    while not (answer := question()):
        if time.monotonic() > deadline:
            pytest.fail(f"after {timeout_s:g} s still not: {what}")
        time.sleep(0.02)
    return answer


class Node:
    """A small web server: `/status` says whether it is healthy, `/slow` answers when it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.healthy = True
        self.release = threading.Event()
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/slow"):
                    node.release.wait(20)
                status = 503 if self.path.startswith("/status") and not node.healthy else 200
                body = node.name.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                return  # a balancer's check that hangs up is no news

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


class Product:
    """One balancer process; `config` is its configuration file's text."""

    def __init__(self, folder: Path, front: int) -> None:
        self.folder = folder
        self.front = front
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def pid(self) -> int:
        return self._processes[-1].pid

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def get(self, path: str = "/", cookie: str = "", timeout_s: float = 20.0) -> str:
        """The body of a request through the balancer: the node's name."""
        headers = {"Cookie": cookie} if cookie else {}
        with urlopen(Request(f"http://127.0.0.1:{self.front}{path}", headers=headers), timeout=timeout_s) as answer:
            return str(answer.read().decode())

    def reached(self, count: int = 6, cookie: str = "") -> set[str]:
        """Which nodes new requests reach."""
        return {self.get(cookie=cookie) for _ in range(count)}

    def stop(self) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                try:
                    process.wait(3)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(3)

    def _spawn(self, *command: str) -> None:
        with (self.folder / "log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
            )


class Haproxy(Product):
    """HAProxy with its admin socket at `admin.sock` in its folder."""

    @property
    def socket(self) -> Path:
        return self.folder / "admin.sock"

    def start(self, *more: str) -> None:
        self._spawn(need("haproxy", "haproxy"), "-db", "-f", str(self.folder / "haproxy.cfg"), *more)
        eventually(lambda: f"Pid: {self.pid}\n" in self._pid_line(), f"start of haproxy: {self.log}")

    def reload(self) -> None:
        """As its service does: a new process takes over; the old one ends when its last request has."""
        self.start("-sf", str(self.pid))

    def ask(self, line: str) -> str:
        """What a person types on the socket."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(3)
            sock.connect(str(self.socket))
            sock.sendall(line.encode() + b"\n")
            answer = b""
            while chunk := sock.recv(65536):
                answer += chunk
        return answer.decode()

    def _pid_line(self) -> str:
        try:
            return self.ask("show info")
        except OSError:
            return ""


class Apache(Product):
    """Apache httpd with its balancer-manager at `/balancer-manager` of its front."""

    @property
    def manager(self) -> str:
        return f"http://127.0.0.1:{self.front}/balancer-manager"

    def start(self) -> None:
        self._spawn(need("apache2", "apache2"), "-f", str(self.folder / "httpd.conf"), "-DFOREGROUND")
        eventually(self.listens, f"start of httpd: {self.log}")

    def reload(self) -> None:
        """As log rotation does: a graceful restart."""
        before = self.log.count("resuming normal operations")
        os.kill(self.pid, signal.SIGUSR1)
        eventually(lambda: self.log.count("resuming normal operations") > before, "graceful restart of httpd")

    def restart(self) -> None:
        self.stop()
        self.start()

    def listens(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.front)) == 0


HAPROXY_HEAD = """
global
    stats socket {folder}/admin.sock mode 600 level admin
    stats socket {folder}/operator.sock mode 600 level operator
    {globals}
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    retries 0
frontend front
    bind 127.0.0.1:{front}
    default_backend web
"""

APACHE_HEAD = """
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/httpd.pid
ServerName {server_name}
Listen 127.0.0.1:{front}
ErrorLog {folder}/log
StartServers 1
ServerLimit 2
ThreadsPerChild 16
MaxRequestWorkers 32
{modules}
<Location /balancer-manager>
    SetHandler balancer-manager
    {access}
</Location>
ProxyPass /balancer-manager !
"""

APACHE_MODULES = [
    *("mpm_event", "authn_core", "authz_core", "authz_host", "authz_user", "authn_file", "auth_basic"),
    *("proxy", "proxy_http", "proxy_balancer", "slotmem_shm", "lbmethod_byrequests", "proxy_hcheck"),
]


def start_haproxy(folder: Path, backends: str, *, global_lines: str = "") -> Haproxy:
    """A real HAProxy with these `backend` sections (`web` is the front's)."""
    need("haproxy", "haproxy")
    folder.mkdir(parents=True, exist_ok=True)
    product = Haproxy(folder, free_port())
    head = HAPROXY_HEAD.format(folder=folder, front=product.front, globals=global_lines)
    (folder / "haproxy.cfg").write_text(head + backends + "\n")
    try:
        product.start()
    except BaseException:
        product.stop()
        raise
    return product


def start_apache(
    folder: Path, balancers: str, *, access: str = "Require all granted", server_name: str = "localhost"
) -> Apache:
    """A real httpd with these `<Proxy balancer://…>` sections and ProxyPass lines."""
    need("apache2", "apache2")
    folder.mkdir(parents=True, exist_ok=True)
    product = Apache(folder, free_port())
    modules = "\n".join(
        f"LoadModule {name}_module {MODULES}/mod_{name}.so"
        for name in APACHE_MODULES
        if (MODULES / f"mod_{name}.so").exists()
    )
    text = APACHE_HEAD.format(
        folder=folder, front=product.front, modules=modules, access=access, server_name=server_name
    )
    (folder / "httpd.conf").write_text(text + balancers + "\n")
    try:
        product.start()
    except BaseException:
        product.stop()
        raise
    return product
