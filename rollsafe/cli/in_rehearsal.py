"""The real engine on a simulated cluster: what `rollsafe run`, `resume` and `recover` do, without a journal on disk."""

from dataclasses import dataclass, field

from rollsafe.config.playbook import STEPS
from rollsafe.engine import session as sessions
from rollsafe.engine.log import RunLog
from rollsafe.engine.orders import Orders
from rollsafe.engine.preflight import Selection, survey
from rollsafe.engine.runclock import RunClock
from rollsafe.errors import JournalError, PortError, Refused
from rollsafe.model.claim import Who
from rollsafe.model.cluster import Cluster
from rollsafe.model.plan import Plan, PlannedStep
from rollsafe.planner.budget import spent
from rollsafe.planner.fold import fold
from rollsafe.planner.outcome import Ending
from rollsafe.ports import World
from rollsafe.rehearsal.judgement import Ended
from rollsafe.rehearsal.operator import Operator

EACH_NODE = tuple(PlannedStep(name) for name in STEPS)


@dataclass(slots=True)
class Engine:
    """Runs rollsafe's commands for an operator of a simulated cluster (rehearsal.rehearse.Execute)."""

    cluster: Cluster
    steps: tuple[PlannedStep, ...] = EACH_NODE
    nodes: tuple[str, ...] = ()
    wait_for_lock_s: float = 0.0
    orders: dict[str, Orders] = field(default_factory=dict)  # operator -> its signals
    plans: dict[str, Plan] = field(default_factory=dict)  # run -> the stored plan

    def __call__(self, mode: str, operator: Operator, world: World, run: str, *, take_over: bool = False) -> Ended:
        """One command, from the first question to the last line."""
        earlier = tuple(operator.records)
        start_s = earlier[-1].at_s if earlier else 0.0
        clock = RunClock(world.clock, start_s)
        log = RunLog(run, clock, operator, (), state=fold(earlier) if earlier else None, first_seq=len(earlier) + 1)
        session = self._session(operator, world, clock, log)
        try:
            ending = self._run(mode, session, run, take_over=take_over)
        except Refused as error:
            ending = Ending("refused", 10, str(error))
        except JournalError as error:
            ending = Ending("defect", 1, str(error))
        except PortError as error:
            ending = Ending("unknown", 40, str(error))
        return Ended(ending.exit_code, ending.left_out, ending.others, ending.message)

    def _run(self, mode: str, session: sessions.Session, run: str, *, take_over: bool) -> Ending:
        if mode == "recover":
            return sessions.recover(
                session, run_id=None, wait_s=self.cluster.policy.start_timeout_s, take_over=take_over
            )
        if mode == "resume":
            return sessions.resume(session, self.plans[run], run, take_over=take_over)
        names = self.nodes or tuple(node.name for node in self.cluster.live_nodes)
        selection = Selection(names, self.steps, accept_outage=len(self.cluster.live_nodes) == 1)
        plan, now = survey(session.world, self.cluster, selection, session.clock)
        self.plans[run] = plan
        return sessions.run(session, plan, now)

    def _session(self, operator: Operator, world: World, clock: RunClock, log: RunLog) -> sessions.Session:
        return sessions.Session(
            self.cluster,
            world,
            clock,
            log,
            self.orders.setdefault(operator.name, Orders()),
            Who(operator.name, f"{operator.name}.example.com", 1, clock.stamp()),
            operator.name,
            "rollsafe recover",
            budget=lambda: spent(self.cluster.probes, world.watch.summaries()),
            wait_for_lock_s=self.wait_for_lock_s,
        )
