"""Every event that a run tells, as data: one vocabulary for the journal, `-o json`, `--events` and the reference.

Fields may be added, and never change their meaning. `COMMON` stand on each line; those of `WHERE` where they apply.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `kind` is text, number, integer, boolean, list or map; times in seconds end in `_s`. `null`: it is
    there also where it has no value, and is null then: readers have known it so from the beginning."""

    kind: str
    meaning: str
    always: bool = False
    null: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One type of event, and the fields that it has beside the common ones."""

    meaning: str
    fields: Mapping[str, Field] = field(default_factory=dict)


COMMON = {
    "time": Field("text", "wall clock, RFC 3339 in UTC", always=True),
    "run": Field("text", "the run's name; empty where a command ended before it had one", always=True),
    "seq": Field("integer", "1, 2, 3 … within the run", always=True),
    "type": Field("text", "which event it is", always=True),
}
WHERE = {
    "message": Field("text", "the event in a sentence, for people; never parse it"),
    "node": Field("text", "the node that it is about"),
    "service": Field("text", "the service that it is about"),
    "balancer": Field("text", "the balancer's name in the inventory"),
    "endpoint": Field("text", "the address of the balancer's admin API"),
}

_WRITE = {
    "pool": Field("text", "the balancer's group of servers", always=True),
    "seat": Field("text", "the member's name in that pool", always=True),
    "found": Field("text", "the admin state in which the run found the member"),
    "to": Field("text", "the admin state that is written: ready, drain or maint", always=True),
    "why": Field("text", "the step that wants it"),
}
_IDENTITY = {
    "identity_before": Field(
        "text",
        "what proved the old process (systemd's InvocationID, or the command's text); null: there was none",
        null=True,
    ),
    "identity_after": Field("text", "the same, of the new process", always=True),
}
_EFFECT = Field("text", "none: it had no effect for sure; unknown: it may have had one")
_PROBE = {
    "probe": Field("text", "the probe's name", always=True),
    "status": Field("integer", "HTTP status of the answer; null: there was none", null=True),
    "detail": Field("text", "what was wrong with the answer"),
    "latency_s": Field("number", "how long the answer took"),
    "outage_s": Field("number", "how long this outage has gone on, or went on"),
    "failed_in_a_row": Field("integer", "failed probes without a good one between"),
}

EVENTS: dict[str, Event] = {
    "run.started": Event(
        "A run, a recovery or a command by hand begins. Nothing was touched yet.",
        {
            "cluster": Field("text", "the cluster's name", always=True),
            "mode": Field("text", "run, resume, recover, drain, ready or restart", always=True),
            "nodes": Field("list", "the nodes to be restarted, in order"),
            "services": Field("list", "the services, most critical first"),
            "who": Field("text", "the user, or in a pipeline its actor", always=True),
            "host": Field("text", "the machine that rollsafe runs on", always=True),
            "pid": Field("integer", "its process there"),
            "reason": Field("text", "what --reason said", always=True),
            "url": Field("text", "the pipeline's job, where there is one"),
            "estimate_s": Field(
                "number", "expected time of the whole run; null: nobody knows, as of a recovery", null=True
            ),
        },
    ),
    "run.resumed": Event(
        "`resume` took the claim over and goes on.",
        {
            "epoch": Field("integer", "the claim's epoch from now on", always=True),
            "holder": Field("text", "who holds it", always=True),
        },
    ),
    "gate.checked": Event(
        "A safety rule answered. A no that lasts is told again now and then.",
        {
            "gate": Field("text", "the rule's name, such as window or min_ready", always=True),
            "allowed": Field("boolean", "its answer", always=True),
            "reason": Field("text", "why, in numbers", always=True),
            "remedy": Field("text", "what would change a no"),
            "all_allowed": Field("boolean", "do all gates of this step say yes?"),
            "for": Field("text", "the node that could not be begun"),
        },
    ),
    "claim.made": Event(
        "The claim is ours: on every node, or by a takeover.",
        {
            "fine": Field("list", "the nodes that are in, up and healthy at the start"),
            "epoch": Field("integer", "of a takeover: the epoch from now on"),
            "holder": Field("text", "of a takeover: who holds it"),
            "blocked": Field("map", "of a takeover: node: why its claim could not be raised"),
        },
    ),
    "claim.raising": Event(
        "`resume` is about to raise the claim's epoch on every node. It may fail at that; then nothing else was done.",
        {"holder": Field("text", "who holds each copy that is raised", always=True)},
    ),
    "claim.changed": Event("The claim says something new on every node: which node is in hand, or that it stays."),
    "claim.ended": Event("The claim was removed from every node."),
    "node.started": Event(
        "A node is taken in hand. What its members were found to be is on every node already.",
        {
            "position": Field("integer", "its place in the order, from 1", always=True),
            "of": Field("integer", "how many nodes there are to do", always=True),
            "found": Field(
                "list",
                "each member: service, balancer, endpoint, pool, seat, admin, restore; with `ready` by hand its goal",
                always=True,
            ),
            "counts_as_stopped": Field("boolean", "in a recovery: it may have been stopped, so health comes first"),
        },
    ),
    "step.started": Event(
        "A step of the playbook begins.",
        {
            "step": Field(
                "text",
                "drain, maint (a drain's second half), restart, healthy, ready or soak",
                always=True,
            )
        },
    ),
    "step.waiting": Event(
        "What is waited for, when it or its reading changed, and now and then while it does not.",
        {
            "step": Field(
                "text",
                "the step that waits; gates: the next node's; claim: for the end of another run; null: the whole run",
                null=True,
            ),
            "for": Field("text", "what would end the wait"),
            "reading": Field("map", "the last readings: of members, health, or the restart"),
            "left_s": Field("number", "time until the wait gives up; null: something else ends it", null=True),
        },
    ),
    "step.finished": Event(
        "A step of the playbook ended.",
        {
            "step": Field("text", "the step", always=True),
            "outcome": Field(
                "text",
                "done; of a restart done or failed; of a drain drained, or cut where requests were in flight",
                always=True,
            ),
            "active": Field("integer", "of a drain: requests or connections in flight at its end"),
            "cut": Field("integer", "of a drain that ended with some: how many are cut by the restart"),
            "unbroken_s": Field("number", "of healthy: how long every check had been good"),
            "left_alone": Field("list", "of ready: members that another changed, and that were left"),
        },
    ),
    "write.intent": Event(
        "A balancer is about to be written to. This is on disk before the write is sent.",
        {**_WRITE, "taking_out": Field("boolean", "does it take the node out, or put it back?", always=True)},
    ),
    "write.done": Event(
        "The new state was written, and then read from the balancer.",
        {
            **_WRITE,
            "took_s": Field("number", "from the send until the state was seen"),
            "seen": Field("text", "later: a write in doubt, whose state was read at a later look"),
        },
    ),
    "write.failed": Event(
        "The new state was not seen.",
        {**_WRITE, "effect": Field(_EFFECT.kind, _EFFECT.meaning, always=True)},
    ),
    "restart.intent": Event(
        "The restart is about to be sent. This is on disk before.",
        {
            "identity_before": _IDENTITY["identity_before"],
            "epoch": Field("integer", "the claim's epoch that fences it", always=True),
            "revision": Field("integer", "the claim's revision that fences it", always=True),
            "node_uptime_until_s": Field(
                "number",
                "the node's own uptime past which it does not obey the order any more; null: it tells none",
                null=True,
            ),
        },
    ),
    "restart.begun": Event("The node took the order: the restart is under way."),
    "restart.ended": Event(
        "The restart command ended by itself.",
        {
            "exit_status": Field("integer", "of the command; null: it went without a word", null=True),
            "output": Field("text", "the end of what it printed", always=True),
        },
    ),
    "restart.done": Event("The restart is proven: the node's identity changed.", _IDENTITY),
    "restart.failed": Event(
        "There was no restart, or none that can be proven; it can't run any more unless fenced is false.",
        {
            "effect": Field(_EFFECT.kind, _EFFECT.meaning, always=True),
            "fenced": Field("boolean", "was the order made void on the node?"),
        },
    ),
    "node.finished": Event(
        "A node is done with.",
        {
            "outcome": Field("text", "restarted, put back, left out, drained, forgotten or unknown", always=True),
            "out_of_service_s": Field(
                "number",
                "from its first drain until it was put back; of a recovery, from when it took the node in hand, for no "
                "claim tells since when a node is out",
                always=True,
            ),
        },
    ),
    "node.landed": Event(
        "How many requests reached a node between its put-back and the end of its soak: evidence, never a gate.",
        {
            "watched_s": Field("number", "for how long they were counted", always=True),
            "members": Field(
                "list",
                "each member: service, balancer, endpoint, pool, seat, requests (null: the balancer does not count), "
                "after_s (the first one)",
                always=True,
            ),
        },
    ),
    "probe.failed": Event("A request through a balancer failed.", _PROBE),
    "probe.recovered": Event("The first good request after failed ones: the outage is over.", _PROBE),
    "probe.samples": Event(
        "What the probes saw since the last such line: every 15 s, and at the end. Times are seconds of the run.",
        {
            "probes": Field(
                "list",
                "for each probe: service, probe, interval_s, probes, failed, late_s (the worst delay), good (moment, "
                "latency), failed_at, asked (spells of unbroken rhythm: from, to), nodes (who answered, if a header "
                "tells)",
                always=True,
            ),
        },
    ),
    "signal": Event("A signal came.", {"name": Field("text", "SIGINT, SIGTERM or SIGHUP", always=True)}),
    "run.stopping": Event(
        "The run will begin no other node; what is in hand goes to the safest state that can be reached.",
        {
            "remedy": Field("text", "what would mend it", always=True),
            "lost": Field("boolean", "was the claim lost to another, so that nothing more is written?"),
        },
    ),
    "warning": Event(
        "Something that a person should know, and that stops nothing by itself.",
        {"traceback": Field("text", "of a defect")},
    ),
    "demo.observed": Event(
        "Of `rollsafe demo` alone: what its clients and nodes saw themselves.",
        {
            "services": Field("map", "service: requests, failed, cut, longest_outage_s …", always=True),
            "nodes": Field("map", "node: restarts, down_s", always=True),
        },
    ),
    "run.finished": Event(
        "The last line of every outcome.",
        {
            "outcome": Field("text", "done, defect, invalid, refused, stopped, node-out or unknown", always=True),
            "exit_code": Field("integer", "the exit code", always=True),
            "nodes": Field("map", "node: outcome (of node.finished, or not begun) and out_of_service_s", always=True),
            "services": Field(
                "map",
                "service: probes, failed, rejected (of the failed: an unexpected 401, 403 or 404), longest_outage_s, "
                "availability (null: nothing was asked), missed (due and not sent), late_s (the worst delay)",
                always=True,
            ),
            "duration_s": Field(
                "number",
                "of the whole run. Like all times of a run it counts what passed by the clock on the wall or by the "
                "machine's own, whichever moved more: a sleep of the machine, but also a clock that is set forward",
                always=True,
            ),
            "left_out": Field(
                "list",
                "what this run, or a dead one that it met, left out: node, service, balancer, endpoint, state, mend",
                always=True,
            ),
            "others": Field("list", "what is out by other hands; it does not count for the exit code", always=True),
            "changed": Field(
                "list",
                "what was found out before the run, and is in service (a reload of its balancer forgets that): node, "
                "service, balancer, endpoint, state, found, and for a whole node `mend`, which takes it out again; it "
                "does not count for the exit code",
            ),
        },
    ),
}
