"""HTML, Markdown, JUnit and JSON from the same account: true, whole, bounded, and safe to open."""

import json
import os
import re
import stat
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from rollsafe.model.record import Record
from rollsafe.reporting.account import Account
from rollsafe.reporting.fold import account_of
from rollsafe.reporting.html import html
from rollsafe.reporting.junit import junit
from rollsafe.reporting.markdown import markdown
from rollsafe.reporting.reports import ReportPaths, replace_file, write_reports
from rollsafe.reporting.summary_json import summary_json
from rollsafe.reporting.timeline import timeline
from tests.reporting import stories
from tests.reporting.test_lines import golden

STORIES = ["good_run", "node_out", "refused", "signalled", "killed"]
RENDERERS = [html, markdown, junit, summary_json]


class Page(HTMLParser):
    """Collects tags, so that a test can say what a page holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("story", STORIES)
def test_markdown_reads_well_in_a_ticket(story):
    golden(f"{story}.md", markdown(account_of(getattr(stories, story)())))


@pytest.mark.parametrize("story", STORIES)
def test_a_page_needs_no_network_and_no_script(story):
    records = getattr(stories, story)()
    page = Page(text := html(account_of(stories.probed(records))))
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "a", "form"}
    assert not [name for _, attrs in page.tags for name in attrs if name in ("src", "href") or name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text


def test_the_verdict_the_left_out_and_the_mend_are_on_every_report():
    account = account_of(stories.node_out())
    for render in (html, markdown, summary_json):
        text = render(account)
        assert "node-out" in text
        assert "rollsafe recover -i inventory.yml" in text
        assert "did not become healthy within 30 s" in text


def test_each_write_is_told_with_its_outcome_and_one_without_is_in_doubt():
    account = account_of(stories.killed())
    assert [write.outcome for write in account.writes] == ["in doubt"]
    assert "no end on record" in html(account)
    assert "in doubt" in html(account)
    done = account_of(stories.good_run())
    assert {write.outcome for write in done.writes} == {"done"}
    assert len(done.writes) == 12


def test_a_refusal_by_several_gates_is_a_list_and_not_one_long_sentence():
    story = stories.Story(["jira1", "jira2"])
    story.begin()
    why = {node: f"without {node} 0 of 1 others serve scim" for node in story.nodes}
    for node, reason in why.items():
        story.gate(node, "min_ready", allowed=False, reason=reason, remedy="bring the others back")
    message = f"nothing was touched: {'; '.join(why.values())}. To change it: bring the others back"
    story.finish("refused", 10, message, {})
    text = html(account_of(story.records))
    assert message[1:] not in text
    assert all(f"<li>{node}, gate min_ready: {reason}</li>" in text for node, reason in why.items())
    assert text.count("To change it: bring the others back") == 1
    story.records[-1] = replace(story.records[-1], message="nothing was touched: the claim is another's")
    assert "The claim is another" in html(account_of(story.records)).replace("Nothing was touched: t", "T")


def test_a_run_that_never_began_has_no_empty_tables():
    last = replace(stories.refused()[-1], data={"outcome": "invalid", "exit_code": 2}, message="there is no node jira9")
    text = html(account_of([last]))
    assert "There is no node jira9" in text
    assert "No write was made to any balancer" in text
    assert not [word for word in ("<h2>Timeline", "<h2>Nodes", "<h2>Gates", " of an", " of ?") if word in text]
    assert " of ?" not in markdown(account_of([last])) + junit(account_of([last]))


def test_names_that_are_too_long_keep_what_tells_them_apart():
    names = ["prod-jira-datacenter-node-01", "prod-jira-datacenter-node-02", "jira-prod-2.example.com", "10.200.100.11"]
    story = stories.Story(names)
    story.begin()
    drawn = [row.name for row in timeline(account_of(story.records)).rows]
    assert drawn == ["prod-jir…-node-01", "prod-jir…-node-02", "jira-prod-2…", "10.200.100.11"]


def test_a_hold_is_among_what_a_reader_should_not_miss():
    story = stories.Story(["jira1", "jira2"])
    story.begin()
    story.whole_node("jira1", 1)
    story.gate("jira2", "budget", allowed=False, reason="the scim probe entra: failing for 3.0 s", remedy="it opens")
    story.wait(4)
    story.gate("jira2", "budget", reason="the scim probe entra: 1 of 20 failed")
    story.whole_node("jira2", 2)
    story.finish("done", 0, "2 of 2 nodes were restarted.", {})
    account = account_of(story.records)
    assert [note.kind for note in account.notable] == ["gate.checked"]
    text = html(account)
    assert (
        text.index("What a reader should not miss")
        < text.index("jira2: gate budget: no, the scim probe")
        < text.index("<h2>Nodes</h2>")
    )
    assert "What a reader" not in html(account_of(stories.refused()))


def test_phases_and_outages_have_their_true_lengths():
    account = account_of(stories.node_out())
    jira1 = account.nodes["jira1"]
    assert jira1.phase_s("restart") == pytest.approx(9.0)
    assert jira1.phase_s("healthy") == pytest.approx(12.0)
    (outage,) = account.outages
    assert outage.end_s is not None
    assert outage.end_s - outage.start_s == pytest.approx(7.5)
    assert outage.failures == 2


def test_what_the_probes_saw_is_drawn_on_the_run_s_axis():
    account = account_of(stories.probed(stories.good_run(), bad=(10, 21)))
    view = account.views["scim entra"]
    assert view.failed_at == [10.001, 15.001, 20.001]
    assert (view.failed, view.probes) == (3, 29)
    assert account.late_s == pytest.approx(0.001)
    assert "29 sent, one each 5 s, at worst 1 ms late; the rhythm was never broken" in html(account)


def test_a_stalled_prober_looks_like_one_in_every_report():
    account = account_of(stories.probed(stories.good_run(), silent=(40, 90)))
    assert account.silences("scim entra") == [(35.001, 90.001)]
    for render in (html, markdown, summary_json):
        assert "nothing was asked for 55 s from 0:35 on: what happened then was not seen" in render(account)
    (silent,) = [attrs for _, attrs in Page(html(account)).tags if attrs.get("class") == "silent" and "width" in attrs]
    asked = [attrs for _, attrs in Page(html(account)).tags if attrs.get("class") == "good" and "width" in attrs]
    assert len(asked) == 2, "what was not asked is not drawn as good"
    assert float(asked[0]["x"]) + float(asked[0]["width"]) <= float(silent["x"]) + 0.11
    ended_early = account_of(stories.probed(stories.good_run(), silent=(100, 900)))
    assert ended_early.silences("scim entra")[-1][1] == pytest.approx(ended_early.duration_s)


def test_a_run_without_a_probe_on_record_has_no_green_line():
    assert "The rhythm of the probes is not on record" in html(account_of(stories.good_run()))


def test_how_many_requests_reached_a_node_after_it_was_back_is_told():
    records = stories.probed(stories.good_run(3))
    seats = [("scim", "ssh://lb1/s", 12), ("scim", "ssh://lb2/s", 3), ("web", "http://lb3", None)]
    members = [{"service": s, "endpoint": e, "requests": n} for s, e, n in seats]
    landed = Record(
        "r", 99, "node.landed", "x", records[-1].at_s, "", "jira1", data={"watched_s": 30.0, "members": members}
    )
    account = account_of([*records[:-1], landed, records[-1]])
    for render in (html, markdown):
        assert "scim 15, web not counted in 30 s" in render(account)
        assert render(account).count("it answered the probe scim entra") == 1, "jira3, by the header of its answers"
    assert json.loads(summary_json(account))["nodes"]["jira1"]["requests_after"][1]["requests"] == 3


def test_a_resumed_run_goes_on_where_the_first_ended():
    first = stories.killed()
    second = stories.Story(["jira1", "jira2"])
    second.begin(mode="resume")
    second.whole_node("jira1", 1)
    second.finish("done", 0, "done", {"jira1": {"outcome": "restarted"}, "jira2": {"outcome": "restarted"}})
    account = account_of([*first, *second.records])
    assert account.outcome == "done"
    assert min(span.start_s for span in account.nodes["jira1"].spans[1:]) > first[-1].at_s


def test_junit_has_failures_errors_and_skips_where_they_belong():
    root = ET.fromstring(junit(account_of(stories.node_out())))
    suites = {suite.get("name"): suite for suite in root}
    assert [suites[name].get("failures") for name in ("jira1", "jira2", "jira3")] == ["0", "1", "0"]
    assert suites["jira3"].get("skipped") == "1"
    assert "scim says refused" in suites["jira2"].find("testcase/failure").get("message")
    refused = ET.fromstring(junit(account_of(stories.refused())))
    jira2 = next(suite for suite in refused if suite.get("name") == "jira2")
    assert (jira2.get("errors"), jira2.get("failures")) == ("1", "1")
    assert jira2.find("testcase/error").get("message").endswith("jira1 is down. Start jira1, or put it back")
    assert refused.get("errors") == "2"
    good = ET.fromstring(junit(account_of(stories.good_run())))
    assert (good.get("failures"), good.get("errors")) == ("0", "0")
    assert not good.findall(".//skipped")
    assert int(good.get("tests")) > 15
    steps = [
        case.get("name") for case in next(suite for suite in good if suite.get("name") == "jira1").iter("testcase")
    ]
    assert steps.count("restart") == 1


def test_failed_probes_within_the_budget_are_told_and_fail_no_pipeline():
    records = stories.good_run()
    seen = {"scim": {"probes": 40, "failed": 2, "longest_outage_s": 5.0, "availability": 0.95}}
    for outcome, failures in (("done", "0"), ("stopped", "2")):
        last = replace(records[-1], data={**records[-1].data, "services": seen, "outcome": outcome})
        root = ET.fromstring(junit(account_of([*records[:-1], last])))
        assert root.get("failures") == failures, "of a run that was stopped, the run itself and what was not reachable"
        assert "2 failed, longest outage 5.0 s" in root.findtext(".//system-out")


# What Jenkins' xUnit plugin lets pass (junit-10.xsd): tag -> children, attributes that must be, others that may be.
SCHEMA = {
    "testsuites": ("testsuite", "", "name time tests failures errors"),
    "testsuite": ("properties testcase", "name tests failures errors", "time skipped timestamp hostname"),
    "properties": ("property", "", ""),
    "property": ("", "name value", ""),
    "testcase": ("failure error skipped system-out", "name", "time classname"),
    "system-out": ("", "", ""),
    "failure": ("", "", "type message"),
    "error": ("", "", "type message"),
    "skipped": ("", "", "type message"),
}


@pytest.mark.parametrize("story", STORIES)
def test_junit_passes_the_strictest_schema_and_its_numbers_add_up(story):
    root = ET.fromstring(junit(account_of(getattr(stories, story)())))
    for element in root.iter():
        children, must, may = (set(words.split()) for words in SCHEMA[element.tag])
        assert must <= set(element.attrib) <= must | may
        assert {child.tag for child in element} <= children
        assert re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000"))
    for suite in root:
        assert int(suite.get("tests")) == len(suite.findall("testcase"))
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))
    assert int(root.get("failures")) == len(root.findall(".//failure"))
    assert int(root.get("errors")) == len(root.findall(".//error"))
    told = {one.get("name"): one.get("value") for one in root.iter("property")}
    assert (told["cluster"], told["who"]) == ("jira-prod", "ola")


def test_the_summary_has_the_run_s_numbers():
    told = json.loads(summary_json(account_of(stories.good_run())))
    assert (told["outcome"], told["exit_code"], told["version"]) == ("done", 0, 1)
    assert told["nodes"]["jira2"]["outcome"] == "restarted"
    assert told["services"]["scim"]["failed"] == 0
    assert told["nodes"]["jira1"]["steps"][0]["took_s"] == pytest.approx(9.05)


EVIL = "<script>alert(1)</script>\"'&|`]]>\x00\x1b[2J\udcff{{7*7}}"


def test_names_and_answers_from_elsewhere_stay_text():
    story = stories.Story([EVIL, "jira2"])
    story.begin(reason=EVIL)
    story.say("warning", EVIL, EVIL, message=EVIL)
    story.gate(EVIL, EVIL, allowed=False, reason=EVIL, remedy=EVIL)
    story.say("write.intent", EVIL, "web", endpoint=EVIL, pool=EVIL, seat=EVIL, found=EVIL, to=EVIL, why=EVIL)
    story.say("step.started", EVIL, EVIL, step=EVIL)
    story.say("probe.failed", None, EVIL, probe=EVIL, detail=EVIL, status=500)
    left = [{"node": EVIL, "service": EVIL, "endpoint": EVIL, "state": EVIL, "mend": EVIL}]
    story.finish(EVIL, 30, EVIL, {EVIL: {"outcome": EVIL}}, left_out=left, services={EVIL: {"probes": 3, "failed": 1}})
    account = account_of(stories.probed(story.records))
    text = html(account)
    assert "<script" not in text
    assert "{{7*7}}" in text
    assert "script" not in {tag for tag, _ in Page(text).tags}
    ET.fromstring(junit(account))
    json.loads(summary_json(account))
    outside_code = re.sub(r"(?m)^    .*$", "", markdown(account))  # indented lines are code, and stay as they are
    assert not re.search(r"(?<!\\)<script", outside_code)
    for render in RENDERERS:
        assert "\x1b" not in render(account)
        render(account).encode("utf-8")


def test_a_thousand_nodes_give_a_small_page():
    records = stories.good_run(1000)
    text = html(account_of(stories.probed(records, 1.0)))
    assert len(text.encode()) < 2_000_000
    assert text.count("<tr>") < 2500
    assert "3800 more are in the journal" in text


def test_many_failures_give_a_small_page():
    story = stories.Story(["jira1"])
    story.begin()
    for _ in range(20_000):
        story.say("probe.failed", None, "scim", probe="entra", detail="x" * 500)
        story.wait(1)
        story.say("probe.recovered", None, "scim", probe="entra", outage_s=1.0)
        story.say("warning", "jira1", message="y" * 500)
    failed = stories.probed(story.records, 0.5, bad=(0, 40_000))
    assert len(html(account_of(failed)).encode()) < 2_000_000


def test_a_secret_that_an_error_quotes_is_in_no_report():
    story = stories.Story(["jira1"])
    story.begin(reason="https://ola:canary@git/")
    story.say("warning", "jira1", message="401 from https://admin:canary@lb/x?token=canary; Bearer canarycanary")
    story.finish("unknown", 40, "password=canary", {}, left_out=[{"node": "jira1", "mend": "x secret=canary"}])
    for render in RENDERERS:
        assert "canary" not in render(account_of(story.records))


def test_reports_are_written_by_rename_and_keep_the_file_s_rights(tmp_path):
    paths = ReportPaths(*(tmp_path / name for name in ("r.html", "r.md", "r.xml", "r.json")))
    (tmp_path / "r.html").write_text("old")
    (tmp_path / "r.html").chmod(0o600)
    before = (tmp_path / "r.html").stat().st_ino
    assert write_reports(paths, stories.good_run()) == []
    assert (tmp_path / "r.html").stat().st_ino != before
    assert stat.S_IMODE((tmp_path / "r.html").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json", "r.md", "r.xml"]


def test_a_link_stays_a_link_and_what_is_no_file_is_written_to(tmp_path):
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    replace_file(link, "new")
    assert (link.is_symlink(), target.read_text()) == (True, "new")
    near, far = os.pipe()
    replace_file(Path(f"/dev/fd/{far}"), "through the pipe")
    assert os.read(near, 100) == b"through the pipe"
    os.close(near)
    os.close(far)


def test_a_report_that_can_t_be_written_is_a_sentence_and_the_others_are_there(tmp_path):
    paths = ReportPaths(html=tmp_path / "missing" / "r.html", markdown=tmp_path / "r.md")
    assert "does not exist" in paths.problems()[0]
    (problem,) = write_reports(paths, stories.good_run())
    assert "--html" in problem
    assert "No such file" in problem
    assert (tmp_path / "r.md").read_text().startswith("## rollsafe")


def test_records_that_make_no_sense_still_give_a_report():
    odd = [
        Record("r", n, kind, "?", float(n), data={"nodes": 3, "reading": 5, "samples": None, "services": [1]})
        for n, kind in enumerate(["run.started", "step.waiting", "probe.samples", "step.finished", "run.finished"])
    ]
    for render in RENDERERS:
        assert render(account_of(odd))
        assert render(account_of([]))


def test_the_template_travels_in_the_package():
    assert Path(html.__code__.co_filename).parent.joinpath("templates", "report.html.j2").is_file()


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("n1 is out of service", "n1 is out of service"),
        ("alpha, beta are out of service", "alpha, beta are out of service"),
        ("jira-prod is claimed", "jira-prod is claimed"),
        ("stopped with 1 of 2 nodes restarted", "Stopped with 1 of 2 nodes restarted"),
    ],
)
def test_a_name_never_gets_a_capital(message: str, shown: str) -> None:
    account = Account("r1", outcome="node-out", message=message, left_out=[{"node": "alpha"}, {"node": "n1"}])
    assert account.said[-1] == shown
