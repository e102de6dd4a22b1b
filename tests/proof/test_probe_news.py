"""The probes' news on their way into a run's records: nothing after its end, and a spent budget wakes the engine."""

from rollsafe.cli.probe_news import ProbeNews
from rollsafe.clock import SystemClock
from rollsafe.engine.log import RunLog
from rollsafe.engine.runclock import RunClock
from rollsafe.model.reading import Evidence, ProbeSample, ProbeSummary
from rollsafe.model.record import Record
from rollsafe.model.settings import ProbeSettings
from rollsafe.planner.readings import Budget, Level
from rollsafe.probes.batch import Batch

FAILED = ProbeSample("scim", "main", 1.0, 1.0, False, 0.1, Evidence(503, detail="answered 503"))


class Desk:
    """A log, its journal, and what the news does to the engine."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.wakes = 0
        self.level = Level.FINE
        clock = SystemClock()
        run_clock = RunClock(clock)
        self.log = RunLog("r", run_clock, self, [])
        self.news = ProbeNews(self.log, clock, run_clock, lambda: Budget(self.level), self.wake)

    def append(self, record: Record) -> None:
        self.records.append(record)

    def wake(self) -> None:
        self.wakes += 1


def test_a_spent_budget_ends_the_engine_s_pause_once() -> None:
    desk = Desk()
    desk.news.changed("failed", ProbeSummary("scim", "main", outage_s=1.0), FAILED)
    assert desk.wakes == 0
    desk.level = Level.STOP
    for _ in range(3):
        desk.news.changed("failed", ProbeSummary("scim", "main", outage_s=20.0), FAILED)
    assert desk.wakes == 1
    assert [record.data["outage_s"] for record in desk.records] == [1.0, 20.0, 20.0, 20.0]


def test_an_end_tells_how_long_the_outage_was() -> None:
    desk = Desk()
    desk.news.changed("recovered", ProbeSummary("scim", "main", ended_outage_s=3.25, longest_outage_s=9.0), FAILED)
    assert desk.records[0].data["outage_s"] == 3.25


def test_nothing_is_written_after_the_run_s_last_record() -> None:
    desk = Desk()
    batch = Batch(ProbeSettings("scim", "main", "https://scim.example.com"))
    batch.add(FAILED)
    desk.log.write("run.finished", "over", data={"outcome": "done"})
    desk.news.changed("failed", ProbeSummary("scim", "main"), FAILED)
    taken = batch.take()
    assert taken is not None
    desk.news.seen([taken])
    assert [record.type for record in desk.records] == ["run.finished"]
