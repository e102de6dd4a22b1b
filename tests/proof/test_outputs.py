"""Every output of real runs at once: all are written at every exit, SIGTERM included, and none holds a secret."""

import json
import signal
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.testbed import Testbed
from tests.testbed.apache import PASSWORD
from tests.testbed.bed import TOKEN

pytestmark = pytest.mark.real
NOTIFY = "notify-canary-55d1"
CANARIES = (TOKEN, PASSWORD, NOTIFY)
REPORTS = {"--html": "r.html", "--markdown": "r.md", "--junit": "r.xml", "--json": "r.json", "--events": "r.jsonl"}


class Inbox(BaseHTTPRequestHandler):
    """The other end of notifications and traces."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, body))  # type: ignore[attr-defined]  # made below
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def inbox() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Inbox)
    server.got = []  # type: ignore[attr-defined]  # what came
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


class ProcessList:
    """All command lines of this machine, which here is also every remote one, looked at again and again."""

    def __init__(self) -> None:
        self.bad: set[str] = set()
        self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "ProcessList":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.looks += 1
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = entry.read_text(errors="replace")
                except OSError:
                    continue
                if any(canary in line for canary in CANARIES):
                    self.bad.add(line.replace("\0", " "))


def everything(folder: Path) -> dict[str, bytes]:
    """All that rollsafe wrote; the bed's own settings of nodes, balancers and clients hold the secrets on purpose."""
    home = [*(folder / "home").rglob("*"), *(folder / "claims").rglob("*"), *(folder / "out").rglob("*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in home if path.is_file()}


def outputs(folder: Path, name: str) -> list[str]:
    (folder / "out" / name).mkdir(parents=True)
    files = [word for option, file in REPORTS.items() for word in (option, str(folder / "out" / name / file))]
    return ["-vv", "--log-file", str(folder / "out" / name / "r.log"), *files]


def test_no_output_holds_a_secret_and_sigterm_leaves_every_report(
    tmp_path: Path, inbox: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("apprise", reason="the extra rollsafe[notify] is not installed")
    pytest.importorskip("opentelemetry.sdk", reason="the extra rollsafe[otel] is not installed")
    port = inbox.server_port
    address = f"json://ola:{NOTIFY}@127.0.0.1:{port}/notify"
    extra = {
        "NOTIFY": address,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "ROLLSAFE_METRICS_FILE": str(tmp_path / "bed" / "out" / "r.prom"),
        "PYTHONWARNINGS": "default",  # Apprise imports what Python is about to drop
    }
    shell = Testbed.environment.fget  # type: ignore[attr-defined]  # the property itself
    monkeypatch.setattr(Testbed, "environment", property(lambda bed: {**shell(bed), **extra}))
    overrides = {"notify": ["env:NOTIFY"]}
    with Testbed(tmp_path / "bed", scim="apache", load=False, overrides=overrides) as bed, ProcessList() as processes:
        run = bed.start("run", "--yes", *outputs(bed.folder, "killed"))
        run.wait_for("write.done", node="jira1", service="web")
        run.send(signal.SIGTERM)
        stopped = run.result()
        assert stopped.exit in (20, 30, 40), stopped.text
        every_report(bed.folder / "out" / "killed", stopped.exit)
        if stopped.exit != 20:
            assert bed.rollsafe("recover", "--yes").exit == 0
        good = bed.rollsafe("run", "--yes", "--nodes", "jira1", "-o", "text", *outputs(bed.folder, "good"))
        assert good.exit == 0, good.text
        every_report(bed.folder / "out" / "good", 0)
        chain = bed.rollsafe("report", "--export", str(bed.folder / "out" / "chain.jsonl"), "-o", "text")
        assert chain.exit == 0, chain.text
        written = everything(bed.folder)
    written |= {
        f"{r.command} {name}": getattr(r, name).encode() for r in (stopped, good) for name in ("stdout", "stderr")
    }
    got: list[tuple[str, bytes]] = inbox.got  # type: ignore[attr-defined]  # what came
    written |= {f"sent to {path} ({n})": body for n, (path, body) in enumerate(got)}
    assert {"/notify", "/v1/traces"} <= {path for path, _ in got}
    assert any(name.endswith(".db") for name in written), "the journal was looked at"
    assert len(written["out/good/r.log"]) > 1000, "-vv says a lot"
    leaks = [(name, canary) for name, body in written.items() for canary in CANARIES if canary.encode() in body]
    assert leaks == []
    assert processes.looks > 20
    assert processes.bad == set()


def every_report(folder: Path, exit_code: int) -> None:
    """All are there, whole, and say how it ended."""
    assert f"(exit {exit_code})" in (folder / "r.html").read_text()
    assert f"(exit {exit_code})" in (folder / "r.md").read_text()
    assert json.loads((folder / "r.json").read_text())["exit_code"] == exit_code
    assert (ET.parse(folder / "r.xml").getroot().get("failures") == "0") is (exit_code == 0)
    assert json.loads((folder / "r.jsonl").read_text().splitlines()[-1])["exit_code"] == exit_code
    assert not [path.name for path in folder.iterdir() if path.name.endswith(".new")]
