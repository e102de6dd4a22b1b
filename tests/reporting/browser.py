"""A headless Chromium, spoken to over a pipe in its DevTools protocol: no port, no driver, no other package."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 60.0  # of one command, on a busy machine
# Nothing of it may look for the network, or write anywhere but into its profile.
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]


# The protocol wants its pipes there.
ON_3_AND_4 = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
for number, end in enumerate(ends, 3):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


def need_browser() -> str:
    """The program, or the test is skipped; on a CI machine it must be there."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        assert not os.environ.get("CI"), "Chromium is missing: scripts/set-up-programs installs it"
        pytest.skip("Chromium is not installed (scripts/set-up-programs)")
    return found


class Browser:
    """One page. `with Browser(tmp_path) as browser: browser.open(file, width=390)`."""

    def __init__(self, folder: Path) -> None:
        program = need_browser()
        to_it, self._out = os.pipe()
        self._in, from_it = os.pipe()
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", ON_3_AND_4, str(to_it), str(from_it), program, *OPTIONS]
        self._log = (folder / "chromium.log").open("w")
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={folder / 'profile'}"],
            pass_fds=(to_it, from_it),
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "HOME": str(folder)},
        )
        os.close(to_it)
        os.close(from_it)
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        try:
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Log", "Runtime"):
                self.ask(f"{domain}.enable")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        os.close(self._out)
        os.close(self._in)
        self._log.close()

    def open(self, page: Path, *, width: int = 1280, height: int = 900, dark: bool = False, media: str = "") -> None:
        """Load the page anew. Its policy forbids scripts; ours, which only look, are let past it."""
        self.ask("Page.setBypassCSP", enabled=True)
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.events.clear()
        self.ask("Page.navigate", url=page.as_uri())
        self._until("Page.loadEventFired")

    def look(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """The whole page as PNG."""
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def printed(self) -> bytes:
        """The page as PDF, A4."""
        answer = self.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)
        return base64.b64decode(answer["data"])

    def press(self, key: str) -> None:
        """One key, as from a keyboard."""
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"Enter": "\r"}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)

    def cpu_s(self) -> float:
        """The time that all its processes have computed so far: what opening costs, however busy the machine is."""
        parents: dict[int, int] = {}
        ticks: dict[int, int] = {}
        for file in Path("/proc").glob("[0-9]*/stat"):
            try:
                words = file.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(file.parent.name)] = int(words[1])
            ticks[int(file.parent.name)] = int(words[11]) + int(words[12])

        def ours(pid: int) -> bool:
            while pid > 1 and pid != self._process.pid:
                pid = parents.get(pid, 0)
            return pid == self._process.pid

        return sum(many for pid, many in ticks.items() if ours(pid)) / os.sysconf("SC_CLK_TCK")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command, and its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            answer = self._next(deadline_s, method)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def _until(self, event: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not any(one["method"] == event for one in self.events):
            self._next(deadline_s, event)

    def _next(self, deadline_s: float, wanted: str) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline_s - time.monotonic()))
            assert ready, f"Chromium does not answer: {wanted}"
            chunk = os.read(self._in, 1 << 20)
            assert chunk, f"Chromium has ended: {wanted}"
            self._rest += chunk
        line, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message
