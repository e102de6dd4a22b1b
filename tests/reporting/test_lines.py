"""Plain lines: whole stories against golden files; waits are not repeated all the time."""

import io
import os
from pathlib import Path

import pytest

from rollsafe.model.record import Record
from rollsafe.reporting.closing import closing_lines, percent, service_words
from rollsafe.reporting.lines import PlainLines
from rollsafe.reporting.words import clean, clock_face, took, whole
from tests.reporting import stories

GOLDEN = Path(__file__).parent / "golden"


def told(records: list[Record], **options: bool) -> str:
    stream = io.StringIO()
    sink = PlainLines(stream, **options)
    for record in records:
        sink.hear(record)
    sink.close()
    return stream.getvalue()


def golden(name: str, text: str) -> None:
    """Compare with a golden file; RENEW_GOLDEN=write renews it."""
    path = GOLDEN / name
    if os.environ.get("RENEW_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("story", ["good_run", "node_out", "refused", "signalled", "killed"])
def test_a_run_reads_well_in_a_log(story):
    golden(f"{story}.txt", told(getattr(stories, story)()))


def test_the_last_line_is_the_run_s_last_sentence():
    records = stories.node_out()
    assert told(records).splitlines()[-1] == records[-1].message
    assert closing_lines(records[-1])[-1] == records[-1].message


def test_a_long_wait_is_told_every_15_seconds():
    story = stories.Story(["jira1"])
    for second in range(61):
        story.at = float(second)
        story.say("step.waiting", "jira1", "web", step="drain", reading={"active": 3}, left_s=60.0 - second)
    assert len(told(story.records).splitlines()) == 5


def test_verbose_also_tells_intents_and_open_gates():
    records = stories.good_run(1)
    assert "gate capacity: yes" not in told(records)
    assert "gate capacity: yes" in told(records, verbose=True)
    assert "will set" in told(records, verbose=True)


def test_what_a_product_answers_can_t_steer_a_terminal_or_a_pipeline():
    story = stories.Story(["jira1"])
    story.say("warning", "jira1", message="bad\x1b[2J\n::error::gotcha\u202e\udce9")
    text = told(story.records)
    assert "\x1b" not in text
    assert len(text.splitlines()) == 1
    assert text.startswith("[  0:00] jira1: warning: bad")


@pytest.mark.parametrize("type_", ["run.started", "gate.checked", "step.waiting", "write.done", "node.finished", "odd"])
def test_data_of_an_unexpected_shape_is_still_told(type_):
    story = stories.Story([])
    story.say(type_, nodes=3, reading=[1], phases="x", allowed="maybe", position="one", took_s=float("nan"))
    assert told(story.records, verbose=True).startswith("[  0:00] ")


def test_lengths_of_time_are_for_people():
    assert [took(s) for s in (0.04, 9.96, 41.4, 90, 7500, None)] == ["0.0 s", "10 s", "41 s", "1m 30s", "2h 05m", "?"]
    assert [clock_face(s) for s in (7, 67, 3847, float("inf"))] == ["0:07", "1:07", "1:04:07", "0:00"]


def test_answers_that_tell_an_identity_provider_to_give_up_are_told_apart():
    seen = {"probes": 40, "failed": 3, "rejected": 1, "longest_outage_s": 2.0, "availability": 0.925}
    assert service_words(seen).startswith("40 probes, 3 failed, 1 of them with an unexpected 401, 403 or 404, longest")
    assert "401" not in service_words({**seen, "rejected": 0})


def test_a_share_is_never_rounded_up_to_all():
    assert percent(1.0) == "100 %"
    assert percent(0.9999999) == "99.999 %"


def test_a_text_is_bounded():
    assert len(clean("x" * 10_000)) == 600


def test_of_a_sentence_that_is_too_long_the_end_stays_for_it_says_what_to_type() -> None:
    told = whole("n1 is out of service: " + "noise " * 2000 + "To put it back: rollsafe recover -i inventory.yml --yes")
    assert len(told) == 4000
    assert told.startswith("n1 is out of service: noise")
    assert " … " in told
    assert told.endswith("To put it back: rollsafe recover -i inventory.yml --yes")
    assert whole("short") == "short"
