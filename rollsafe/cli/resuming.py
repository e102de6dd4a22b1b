"""What `resume` does: find the run on the cluster and in the journal, fold its records, and go on."""

from collections.abc import Callable

from rollsafe.cli.conduct import Conductor, Options, ask_or_refuse
from rollsafe.engine import session, takeover
from rollsafe.engine.runclock import RunClock
from rollsafe.errors import InvalidInput, JournalError, Refused
from rollsafe.model.plan import Plan
from rollsafe.model.record import Record
from rollsafe.planner.fold import fold
from rollsafe.planner.outcome import in_place_of_recover
from rollsafe.ports import JournalWriter


def resume_run(options: Options, run_id: str | None, *, take_over: bool, yes: bool) -> int:
    """Go on with the run that the cluster's claim names (or `run_id`); returns the exit code."""
    conductor = Conductor(options)
    copies = takeover.read_copies(conductor.assembled.world)
    claimed = [r for r in copies.runs() if run_id in (None, r)]
    if not claimed and copies.unread:
        log = conductor.log(conductor.begin_anyhow())
        return conductor.conduct(log, lambda s: session.claims_unread(s, "resume", copies.unread))
    if not claimed and run_id is not None:
        return _nothing(conductor, run_id)
    if not claimed:
        window = in_place_of_recover(conductor.mend, "run")
        return conductor.refuse(Refused(f"there is no claim to go on with. A new window: {window}"), "resume")
    run = claimed[0]
    try:
        plan, records = _stored(conductor, run)
        ask_or_refuse(f"Go on with run {run} of {conductor.cluster.name}?", yes=yes)
    except (InvalidInput, JournalError) as error:
        why = f"run {run} is not whole on this machine: {str(error).rstrip('.')}"
        log = conductor.log(conductor.begin_anyhow())
        return conductor.conduct(log, lambda s: session.cannot_resume(s, run, why))
    except Refused as error:
        return conductor.refuse(error, "resume")
    conductor.run = run
    conductor.run_clock = RunClock(conductor.clock, records[-1].at_s if records else 0.0)
    journal = FromTheTakeover(lambda: conductor.store().continue_run(run))
    log = conductor.log(journal, state=fold(records), first_seq=max((it.seq for it in records), default=0) + 1)
    return conductor.conduct(log, lambda s: session.resume(s, plan, run, take_over=take_over))


class FromTheTakeover:
    """The run's own journal from the moment on in which its claim is taken over. Until then the run may live and write
    there: what is refused before that is told, and recorded nowhere."""

    def __init__(self, go_on: Callable[[], JournalWriter]) -> None:
        self._go_on = go_on
        self._journal: JournalWriter | None = None

    def append(self, record: Record) -> None:
        """Raises JournalError."""
        if self._journal is None and record.type != "claim.raising":
            return
        self._journal = self._journal or self._go_on()
        self._journal.append(record)


def _stored(conductor: Conductor, run: str) -> tuple[Plan, list[Record]]:
    """The run's plan and records. Raises InvalidInput or JournalError where they can't be had whole."""
    store = conductor.store()
    plan = store.plan(run)
    records = list(store.records(run))
    if plan is None:
        raise InvalidInput([f"run {run} was no rolling restart, so that there is nothing to go on with"])
    here = {node.name for node in conductor.cluster.live_nodes}
    if set(plan.all_nodes) != here:
        raise InvalidInput([f"the inventory has other nodes ({', '.join(sorted(here))}) than the run's plan"])
    return plan, records


def _nothing(conductor: Conductor, run_id: str) -> int:
    """`--run-id` of a run that left no claim: there is nothing to do, and that is fine."""
    log = conductor.log(conductor.begin_anyhow())
    text = f"nothing to do: run {run_id} has no claim on any node"
    return conductor.conduct(log, lambda s: session.nothing_to_do(s, "resume", text))
