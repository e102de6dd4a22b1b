"""Questions on a real terminal: what comes after an answer that never came begins on a line of its own."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

INVENTORY = """cluster: jira-prod
product: jira
nodes: {a: 127.0.0.1, b: 127.0.0.2}
ssh: {port: 1, user: nobody}
balancers: {lb: {driver: haproxy, endpoints: ["tcp://127.0.0.1:1"]}}
services: {scim: {port: 1, balancer: lb, pool: scim, tenants: [{id: t}]}}
"""
CTRL_C, CTRL_D = b"\x03", b"\x04"


def typed(folder: Path, line: str, question: str, answer: bytes) -> tuple[int, str]:
    """A command that is run in a terminal of its own, and the answer to its question; its exit code, and all that was
    to be seen."""
    near, far = pty.openpty()
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "TERM": "dumb", "COLUMNS": "200"}
    words = [sys.executable, "-m", "rollsafe", *line.split()]
    child = subprocess.Popen(
        ["setsid", "--ctty", *words], cwd=folder, env=env, stdin=far, stdout=far, stderr=far, close_fds=True
    )
    os.close(far)
    seen, sent, end = b"", False, time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([near], [], [], 0.5)[0]:
            try:
                seen += os.read(near, 4096)
            except OSError:
                break  # it has ended
        if not sent and question.encode() in seen:
            time.sleep(0.5)  # nobody types before it is waited for; a Ctrl-C just then would need a second one
            os.write(near, answer)
            sent = True
    os.close(near)
    return child.wait(10), seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("answer", [CTRL_C, CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.parametrize(
    ("line", "question"),
    [("recover", "Put back whatever a run left out of jira-prod? [y/N] "), ("init -f new.yml", "Product (")],
)
def test_what_follows_an_answer_that_never_came_begins_a_line(
    tmp_path: Path, line: str, question: str, answer: bytes
) -> None:
    (tmp_path / "inventory.yml").write_text(INVENTORY)
    code, seen = typed(tmp_path, line, question, answer)
    asked = next(one for one in seen.splitlines() if one.startswith(question))
    assert asked.endswith((" ", ": ", "^C")), seen
    assert code in (10, 40), seen
