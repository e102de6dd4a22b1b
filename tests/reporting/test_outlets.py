"""Metrics, notifications and traces: true numbers, and no outside service that can disturb or delay a run."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rollsafe.errors import InvalidInput
from rollsafe.reporting.metrics import Metrics, MetricsPort
from rollsafe.reporting.notify import MOST_WAITING, Notifier, unusable
from rollsafe.reporting.otel import Tracer
from tests.reporting import stories


def heard(listener, records):
    for record in records:
        listener.hear(record)
    return listener


def test_metrics_hold_the_run_s_numbers(tmp_path):
    file = tmp_path / "rollsafe.prom"
    metrics = heard(Metrics(file), stories.node_out())
    metrics.close()
    text = file.read_text()
    assert 'rollsafe_run_outcome{cluster="jira-prod",outcome="node-out"} 1\n' in text
    assert 'rollsafe_run_exit_code{cluster="jira-prod"} 30\n' in text
    assert 'rollsafe_node_left_out{cluster="jira-prod",node="jira2"} 1\n' in text
    assert 'rollsafe_probes_failed{cluster="jira-prod",service="scim"} 2\n' in text
    assert 'rollsafe_node_phase_seconds{cluster="jira-prod",node="jira1",phase="restart"} 9\n' in text
    assert metrics.problem == ""
    told = re.findall(r"^# (HELP|TYPE) (\w+)", text, re.M)
    assert told == [(word, name) for _, name in told[::2] for word in ("HELP", "TYPE")], "each once, in this order"
    for name in {name for _, name in told}:
        assert re.search(rf"^# TYPE {name} gauge\n{name}\{{", text, re.M), "samples follow their own TYPE"
    line = re.compile(r'^(# (HELP|TYPE) rollsafe_\w+ .+|rollsafe_\w+\{(\w+="([^"\\\n]|\\.)*",?)+\} -?[0-9.e+-]+)$')
    assert all(line.match(one) for one in text.splitlines())


def test_a_label_can_t_break_the_format():
    story = stories.Story(['a"b\\c'])
    story.begin()
    assert 'node="a\\"b\\\\c"' in heard(Metrics(), story.records).text()


def test_a_metrics_file_that_can_t_be_written_is_told_and_raises_nothing(tmp_path):
    metrics = heard(Metrics(tmp_path / "missing" / "x.prom"), stories.good_run(1))
    assert "No such file" in metrics.problem


def test_a_metrics_file_that_node_exporter_does_not_read_is_told_and_written(tmp_path):
    metrics = heard(Metrics(tmp_path / "x.txt"), stories.good_run(1))
    metrics.close()
    assert (
        metrics.problem == f"metrics {tmp_path}/x.txt: its name does not end in .prom, and node exporter reads no other"
    )
    assert (tmp_path / "x.txt").exists()


def test_the_port_serves_metrics_on_this_machine_only():
    port = MetricsPort(heard(Metrics(), stories.good_run(1)), 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port.port}/metrics", timeout=5) as answer:
            assert b"rollsafe_run_active" in answer.read()
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"http://127.0.0.1:{port.port}/other", timeout=5)
        error.value.close()
        with pytest.raises(InvalidInput, match="can't be had"):
            MetricsPort(Metrics(), port.port)
    finally:
        port.close()


def test_start_stop_node_out_and_the_mend_are_sent():
    sent = []
    notifier = heard(Notifier(lambda *message: not sent.append(message)), stories.node_out())
    notifier.close()
    assert [title for title, _, _ in sent] == ["rollsafe jira-prod: started", "rollsafe jira-prod: node-out"]
    assert "rollsafe recover -i inventory.yml" in sent[-1][1]
    assert sent[-1][2] == "failure"
    stopped = []
    heard(Notifier(lambda *message: not stopped.append(message)), stories.signalled()).close()
    assert [title.split(": ")[1] for title, _, _ in stopped] == ["started", "stops", "stopped"]


def test_a_hold_is_sent_with_its_reason_and_remedy_and_again_only_after_a_while():
    sent = []
    story = stories.Story(["jira1"])
    story.begin()
    for _ in range(8):
        story.gate("jira1", "budget", allowed=False, reason="scim fails for 3.0 s", remedy="it opens when scim answers")
        story.wait(50)
    story.say("run.stopping", "jira1", message="the budget is spent", remedy="see why scim failed")
    heard(Notifier(lambda *message: not sent.append(message)), story.records).close()
    assert [title for title, _, _ in sent] == [
        "rollsafe jira-prod: started",
        *["rollsafe jira-prod: holds"] * 2,
        "rollsafe jira-prod: stops",
    ]
    assert sent[1][1] == "jira1: gate budget: no, scim fails for 3.0 s. It opens when scim answers"
    assert sent[3][1].endswith("the budget is spent. See why scim failed")


def test_a_way_that_hangs_delays_neither_the_run_nor_the_other_ways(monkeypatch):
    monkeypatch.setattr("rollsafe.reporting.notify.LAST_S", 0.5)
    release, sent = threading.Event(), []
    began = time.monotonic()
    notifier = heard(Notifier(lambda *_: release.wait(20), lambda *one: not sent.append(one)), stories.node_out() * 10)
    notifier.close()
    assert time.monotonic() - began < 10
    assert len(sent) == 20, "all that the other way had to send"
    release.set()


def test_what_nobody_takes_is_bounded_and_counted():
    release = threading.Event()
    notifier = heard(Notifier(lambda *_: release.wait(20)), stories.node_out() * 50)
    assert 100 - MOST_WAITING - 1 <= notifier.failed <= 100 - MOST_WAITING, "one may be on its way"
    release.set()
    notifier.close()


def test_a_service_that_is_dead_delays_nobody():
    def broken(*_):
        raise OSError("dead")

    notifier = heard(Notifier(broken), stories.good_run(1))
    notifier.close()
    assert notifier.failed == 2


def test_what_was_not_delivered_is_counted_for_each_address(monkeypatch):
    monkeypatch.setattr("rollsafe.reporting.notify.LAST_S", 0.5)
    release = threading.Event()
    ways = (lambda *_: True, lambda *_: False, lambda *_: release.wait(20))
    notifier = heard(Notifier(*ways), stories.good_run(1))
    notifier.close()
    told = notifier.problems()
    assert [problem.partition(" messages")[0] for problem in told] == ["notify[1]: 2 of 2", "notify[2]: 2 of 2"]
    release.set()


HANGS = """
import sys
from rollsafe.reporting.notify import MOST_WAITING, Notifier
from tests.reporting import stories
notifier = Notifier.to([f"json://127.0.0.1:{sys.argv[1]}/{n}" for n in range(2)])
for record in stories.node_out():
    notifier.hear(record)
notifier.close()
"""


def test_a_service_that_takes_the_call_and_says_nothing_does_not_hold_the_process():
    pytest.importorskip("apprise", reason="the extra rollsafe[notify] is not installed")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        began = time.monotonic()
        subprocess.run([sys.executable, "-W", "ignore", "-c", HANGS, port], check=True, timeout=60)
        assert time.monotonic() - began < 3 + 15  # what is waited for, and a slow machine's imports


class Inbox(BaseHTTPRequestHandler):
    """A web hook's other end."""

    def do_POST(self):
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


# Apprise imports modules of the standard library that Python 3.13 drops; it copes without them.
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_apprise_really_delivers():
    pytest.importorskip("apprise", reason="the extra rollsafe[notify] is not installed")
    server = HTTPServer(("127.0.0.1", 0), Inbox)
    server.got = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        notifier = heard(Notifier.to([f"json://127.0.0.1:{server.server_port}/"]), stories.node_out())
        notifier.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
    assert [one["type"] for one in server.got] == ["info", "failure"]
    assert "rollsafe recover" in server.got[-1]["message"]


# Apprise imports modules of the standard library that Python 3.13 drops; it copes without them.
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_an_address_that_makes_no_sense_is_named_by_its_place_and_loses_its_messages_alone():
    pytest.importorskip("apprise", reason="the extra rollsafe[notify] is not installed")
    addresses = ["json://127.0.0.1:9/", "nonsense-canary"]
    assert unusable(addresses) == ["notify[1]: is no address that Apprise knows"]
    notifier = heard(Notifier.to(addresses[1:]), stories.node_out())
    notifier.close()
    assert [problem.partition(" messages")[0] for problem in notifier.problems()] == ["notify[0]: 2 of 2"]


def test_spans_are_nested_timed_and_judged():
    pytest.importorskip("opentelemetry.sdk", reason="the extra rollsafe[otel] is not installed")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    heard(Tracer(provider), stories.node_out()).close()
    spans = {span.name: span for span in kept.get_finished_spans()}
    run, node = spans["rollsafe run"], spans["node jira2"]
    assert node.parent.span_id == run.context.span_id
    assert not node.status.is_ok
    assert spans["node jira1"].status.is_ok
    restarts = [span for span in kept.get_finished_spans() if span.name == "restart"]
    assert len(restarts) == 2
    assert (restarts[0].end_time - restarts[0].start_time) / 1e9 == pytest.approx(9.0)


def test_a_missing_extra_is_a_sentence_at_the_start(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(InvalidInput, match=r"rollsafe\[notify\]"):
        Notifier.to(["json://x"])
