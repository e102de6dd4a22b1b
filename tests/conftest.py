"""What every test stands on: what this machine has, and that no test depends on the user's own settings."""

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

REAL_PROGRAMS = {"haproxy": "haproxy", "sshd": "openssh-server", "ssh-keygen": "openssh-client", "setsid": "util-linux"}
WAIT_LONG = ("crash", "e2e", "lab", "proof")  # folders of tests that wait for real programs, half a minute each
COMPUTE_LONG = ("search", "rehearsal", "golden")  # folders of tests that keep a core busy for long
ON_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")


def find_program(name: str) -> str | None:
    """Where a program of the distribution is; the sbin folders are searched, too."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")


def missing_programs() -> list[str]:
    """The packages to install before the tests marked `real` can run."""
    return sorted(package for program, package in REAL_PROGRAMS.items() if find_program(program) is None)


class ToldAtOnce:
    """A failure is shown when it happens: a log that is cut off, or a run that breaks down, shows it all the same.

    So are the numbers that a test recorded as `told`: what a worker prints reaches nobody.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._failed: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        told = [text for name, text in report.user_properties if name == "told"] if report.when == "call" else []
        if told and terminal is not None:
            terminal.write_line("\n" + "\n".join(told))
        if report.failed and terminal is not None:
            self._failed.append(f"{report.nodeid} ({report.when})")
            terminal.ensure_newline()
            terminal.write_line(f"FAILED {self._failed[-1]}\n{report.longreprtext}")

    def pytest_unconfigure(self) -> None:
        for failed in self._failed:
            print(f"failed: {failed}")


def pytest_configure(config: pytest.Config) -> None:
    """Failures are told by the process that the person sees, never by a worker of it."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(ToldAtOnce(config))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Soak tests run only when they are asked for by their marker."""
    skipped = [item for item in items if item.get_closest_marker("soak")]
    if skipped and "soak" not in (config.option.markexpr or ""):
        config.hook.pytest_deselected(items=skipped)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]
    if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
        items[:] = spread(items, workers)


def spread(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """The long tests first, so that none of them is begun when all others are done; and those that wait for real
    programs beside those that compute. Each worker begins with one of as many equal shares, and steals afterwards."""
    waiting: list[list[pytest.Item]] = [[] for _ in range((workers + 1) // 2)]
    for place, item in enumerate(item for item in items if waits_long(item)):
        waiting[place % len(waiting)].append(item)
    computing: list[pytest.Item] = []
    for _, module in groupby((item for item in items if not waits_long(item)), lambda item: item.path):
        tests = list(module)
        real = [item for item in tests if item.get_closest_marker("real")]
        min(waiting, key=len).extend(real)
        computing += [item for item in tests if item not in real]
    computing.sort(key=lambda item: item.path.parent.name not in COMPUTE_LONG)
    return shared(waiting, computing, workers)


def waits_long(item: pytest.Item) -> bool:
    """Does the test roll a whole cluster of real programs?"""
    return item.path.parent.name in WAIT_LONG and item.get_closest_marker("real") is not None


def shared(waiting: list[list[pytest.Item]], computing: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Equal shares one behind the other; each second one begins with what waits."""
    shares: list[pytest.Item] = []
    total = sum(map(len, waiting)) + len(computing)
    for worker in range(workers):
        share = [] if worker % 2 else waiting[worker // 2]
        room = max((total - len(shares)) // (workers - worker) - len(share), 0)
        shares += [*share, *computing[:room]]
        computing = computing[room:]
    return shares


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that drives real programs is skipped where they are missing; in CI that is a failure, never a skip."""
    if item.get_closest_marker("real") is None:
        return
    if missing := missing_programs():
        text = f"needs {', '.join(missing)}: apt install {' '.join(missing)}"
        if ON_CI:
            pytest.fail(text)
        pytest.skip(text)


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No inventory, run id, proxy or state folder of the user reaches a test."""
    for name in list(os.environ):
        if name.startswith("ROLLSAFE_") or name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name)
    state = tmp_path_factory.getbasetemp() / "state-home"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    Path(state).mkdir(exist_ok=True)


@pytest.fixture
def dead_dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A name server that never answers; the system's own resolver takes no limit."""
    end = threading.Event()

    def silent(*_: object, flags: int = 0, **__: object) -> list[object]:
        if flags & socket.AI_NUMERICHOST:  # for an address no name server is asked
            raise socket.gaierror(socket.EAI_NONAME, "not an address")
        end.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    yield
    end.set()
