"""The reports of what the engine really writes, not of what a story thinks it does: runs in the simulated cluster."""

import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest

from rollsafe.cli.in_rehearsal import Engine
from rollsafe.model.record import Record
from rollsafe.rehearsal.balancers import Request
from rollsafe.rehearsal.faults import Crash
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld
from rollsafe.reporting.fold import account_of
from rollsafe.reporting.html import html
from rollsafe.reporting.junit import junit
from rollsafe.reporting.markdown import markdown
from rollsafe.reporting.otel import Tracer
from rollsafe.reporting.timeline import sessions, timeline
from tests.reporting import stories


def played(mode: str = "run", before: Callable[[SimWorld], None] | None = None) -> list[Record]:
    cluster = small_cluster(nodes=2)
    sim = SimWorld(cluster, traffic=False)
    operator = sim.operator("ola")
    if before is not None:
        before(sim)
    Engine(cluster)(mode, operator, sim.world(operator), "window")
    return stories.probed(list(operator.records))


def long_web_requests(sim: SimWorld) -> None:
    for endpoint, seat in sim.seats("n1", "web"):
        seat.flying += [Request("web", "n1", sim.timeline.now + 600.0, endpoint.process)] * 3


@cache
def good() -> list[Record]:
    return played()


def test_each_step_of_the_engine_is_a_phase_and_they_follow_one_another() -> None:
    account = account_of(good())
    for node in account.nodes.values():
        told = [(span.step, span.service) for span in node.spans]
        steps = [
            ("drain", "web"),
            ("drain", "scim"),
            *((step, None) for step in ("restart", "healthy", "ready", "soak")),
        ]
        assert told == steps
        for one, other in pairwise(node.spans):
            assert one.end_s is not None
            assert one.end_s <= other.start_s
    drawn = {bar.kind for row in timeline(account).rows for bar in row.bars}
    assert drawn == {"drain", "restart", "healthy", "ready", "soak", "good"}


def test_a_write_is_told_by_what_is_set_and_not_as_a_change_that_was_none() -> None:
    account = account_of(good())
    assert [(w.service, w.to, w.found) for w in account.writes if w.node == "n1"][:3] == [
        ("web", "drain", "ready"),
        ("web", "maint", "ready"),
        ("scim", "drain", "ready"),
    ]
    for render in (html, markdown):
        assert "ready → ready" not in render(account)


def test_sessions_fall_to_nothing_and_a_lone_reading_is_a_dot() -> None:
    account = account_of(played(before=long_web_requests))
    curve = account.active["n1", "web"].points
    assert (curve[0][1], curve[-1][1]) == (3.0, 3.0), "they were cut"
    drawing = sessions(account)
    assert drawing is not None
    assert all(len(line.points.split()) >= 2 for line in drawing.lines)


def test_requests_that_were_cut_where_that_is_permitted_are_told_and_are_no_failure() -> None:
    records = played(before=long_web_requests)
    account = account_of(records)
    assert (account.outcome, account.exit_code) == ("done", 0)
    assert "<failure" not in junit(account)
    for render in (html, markdown):
        assert re.search(r"n1 web: drained.*3 in flight cut", render(account))
    assert not [bar for row in timeline(account).rows for bar in row.bars if "bad" in bar.kind]


@pytest.mark.parametrize("mode", ["run", "recover"])
def test_the_verdict_is_true_of_what_was_ordered(mode: str) -> None:
    account = account_of(played(mode))
    assert account.outcome == "done"
    assert ("restarted" in account.verdict) is (mode == "run")
    assert not account.said[0][0].islower()
    assert account.said[0] in html(account)


def test_the_spans_of_a_node_are_its_steps() -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra rollsafe[otel] is not installed")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = Tracer(provider)
    for record in good():
        tracer.hear(record)
    tracer.close()
    spans = kept.get_finished_spans()
    node = next(span for span in spans if span.name == "node n1")
    mine = sorted(
        (s for s in spans if s.parent and s.parent.span_id == node.context.span_id), key=lambda s: s.start_time
    )
    assert [span.name for span in mine] == ["drain", "drain", "restart", "healthy", "ready", "soak"]
    assert all(span.status.is_ok for span in mine)
    assert all(one.end_time <= other.start_time for one, other in pairwise(mine))


def test_a_node_that_a_recovery_put_back_went_well() -> None:
    cluster = small_cluster(nodes=2)
    sim = SimWorld(cluster, traffic=False)
    dies, saves = sim.operator("dies"), sim.operator("saves")

    def hear(record: Record) -> None:
        if record.type == "restart.begun":
            dies.dead = True
            raise Crash(dies.name)

    dies.listeners.append(hear)
    engine = Engine(cluster)
    with pytest.raises(Crash):
        engine("run", dies, sim.world(dies), "window")
    killed = account_of(list(dies.records))
    assert "recover puts back what it took out" in killed.verdict
    assert "<failure" in junit(killed)
    engine("recover", saves, sim.world(saves), "rescue")
    account = account_of(list(saves.records))
    assert [(node.name, node.outcome) for node in account.nodes.values() if node.spans] == [("n1", "put back")]
    assert "<failure" not in junit(account)
    assert not [bar for row in timeline(account).rows for bar in row.bars if "bad" in bar.kind]
    assert 'class="short no"' not in html(account)
