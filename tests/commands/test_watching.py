"""`status --watch -o json`: one stream, whose lines count on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.config.test_inventory import SMALL, write


def test_the_lines_of_a_watch_count_on(tmp_path: Path) -> None:
    text = SMALL.replace("10.0.0.", "127.0.0.").replace("product: jira", "product: jira\nssh: {user: nobody, port: 1}")
    command = [sys.executable, "-m", "rollsafe", "status", "--watch", "-o", "json", "-i", str(write(tmp_path, text))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "HOME": str(tmp_path)}) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        lines += [json.loads(line) for line in process.stdout]
    kinds = [line["type"] for line in lines]
    assert kinds == ["status"] * (len(lines) - 1) + ["run.finished"]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
