"""JSON Lines: the contract's fields, each line whole, whatever the reader does."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rollsafe.errors import InvalidInput
from rollsafe.model.record import Record
from rollsafe.model.secret import Secret
from rollsafe.reporting.jsonl import JsonLines, as_object
from tests.reporting import stories


def test_the_last_line_has_the_contract_s_fields_and_no_others_of_weight():
    stream = io.StringIO()
    sink = JsonLines(stream)
    for record in stories.node_out():
        sink.hear(record)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert all({"time", "run", "seq", "type"} <= line.keys() for line in lines)
    last = lines[-1]
    assert last["type"] == "run.finished"
    assert (last["outcome"], last["exit_code"]) == ("node-out", 30)
    assert last["left_out"][0].keys() == {"node", "service", "balancer", "endpoint", "state", "mend"}
    assert {"message", "nodes", "services", "duration_s", "others"} <= last.keys()
    assert "node" not in last


def test_data_never_hides_a_field_of_the_record_and_odd_values_stay_json():
    secret = Secret("env:TOKEN", lambda: "canary")
    data = {"node": "evil", "nan": float("nan"), "odd": {1, 2}, "deep": secret, 3: "x"}
    record = Record("r1", 7, "warning", "2026-03-07T01:00:00Z", 0.0, node="jira1", data=data)
    flat = as_object(record)
    assert flat["node"] == "jira1"
    assert flat["nan"] is None
    assert flat["odd"] == [1, 2]
    assert flat["deep"] == "Secret(env:TOKEN)"
    assert json.loads(json.dumps(flat))["3"] == "x"


def test_credentials_that_a_product_quotes_are_hidden():
    said = "GET https://admin:canary@lb/ failed; Authorization: Bearer canary-token-123; password=canary&x=1"
    flat = as_object(Record("r", 1, "warning", "t", 0.0, said, data={"why": said}))
    assert "canary" not in json.dumps(flat)
    assert "https://***@lb/" in flat["message"]


def test_a_reader_that_is_gone_does_not_raise():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        sink = JsonLines(stream)
        for record in stories.good_run():
            sink.hear(record)
        sink.close()
        assert sink.dropped > 0


def test_a_full_disk_leaves_only_whole_lines():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as stream:
        sink = JsonLines(stream)
        sink.hear(stories.good_run()[0])
        assert sink.dropped == 1


def test_a_file_that_reaches_its_size_limit_keeps_whole_lines_only(tmp_path):
    program = (
        "import resource, signal, sys\n"
        "from rollsafe.reporting.jsonl import JsonLines\n"
        "from tests.reporting import stories\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "sink = JsonLines.to_file(sys.argv[1])\n"
        "for record in stories.good_run(): sink.hear(record)\n"
        "sink.close()\n"
        "assert sink.dropped > 10, sink.dropped\n"
    )
    events = tmp_path / "events.jsonl"
    subprocess.run([sys.executable, "-c", program, str(events)], check=True, timeout=30)
    lines = events.read_text().splitlines()
    assert len(lines) >= 3
    assert all(json.loads(line)["type"] for line in lines)


def test_a_reader_that_stalls_holds_nobody_up_and_gets_whole_lines_later(monkeypatch):
    monkeypatch.setattr("rollsafe.reporting.outlet.STALL_MS", 50)
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        sink = JsonLines(stream)
        records = stories.good_run(60)
        for record in records:  # far more than a pipe holds, and nobody reads
            sink.hear(record)
        reader = threading.Thread(target=_read_all, args=(read, got := []))
        reader.start()
        while sink._outlet._queue:
            sink.close()
    reader.join(10)
    lines = b"".join(got).decode().splitlines()
    assert len(lines) == len(records)
    assert json.loads(lines[-1])["type"] == "run.finished"


def _read_all(descriptor: int, got: list[bytes]) -> None:
    while chunk := os.read(descriptor, 65536):
        got.append(chunk)
    os.close(descriptor)


def test_a_signal_handler_may_speak_in_the_middle_of_a_line(tmp_path):
    events = tmp_path / "events.jsonl"
    sink = JsonLines.to_file(events)
    records = stories.good_run(20)
    before = signal.signal(signal.SIGALRM, lambda *_: sink.hear(records[0]))
    try:
        for number, record in enumerate(records):
            signal.setitimer(signal.ITIMER_REAL, 0.00002 * (1 + number % 20))  # once, at another place of each line
            sink.hear(record)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    sink.close()
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert len(lines) >= len(records)
    assert {line["seq"] for line in lines} == {record.seq for record in records}


def test_a_file_that_can_t_be_opened_is_said_at_once(tmp_path):
    with pytest.raises(InvalidInput, match=r"--events .*missing"):
        JsonLines.to_file(tmp_path / "missing" / "events.jsonl")


class Remembering:
    """As the command line's stand-in for stdout: hands on what it can, and remembers the last line."""

    def __init__(self, stream):
        self._stream = stream
        self.said = ""

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        self.said += text
        return self._stream.write(text)


def test_a_stand_in_for_stdout_hears_each_line(tmp_path):
    with (tmp_path / "out").open("w") as below:
        stream = Remembering(below)
        sink = JsonLines(stream)
        for record in stories.good_run(1):
            sink.hear(record)
        sink.close()
    assert json.loads(stream.said.splitlines()[-1])["type"] == "run.finished"
    assert (tmp_path / "out").read_text() == stream.said


def test_a_pipe_that_is_read_only_at_the_end_holds_a_whole_run():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="utf-8") as stream, os.fdopen(reader, encoding="utf-8") as end:
        lines = JsonLines(stream)
        for _ in range(40):
            for record in stories.good_run(3):
                lines.hear(record)
        lines.close()
        assert lines.dropped == 0
        stream.close()
        told = end.read().splitlines()
    assert sum(map(len, told)) > 200_000
    assert json.loads(told[-1])["type"] == "run.finished"
