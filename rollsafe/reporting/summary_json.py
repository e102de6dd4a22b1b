"""The account as one JSON object, for machines that want the result and not the events."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rollsafe.reporting.account import Account
from rollsafe.reporting.jsonl import plain

VERSION = 1


def summary(account: Account) -> dict[str, Any]:
    """The account as plain values. Fields may be added in later versions, and never change their meaning."""
    return {str(key): plain(value) for key, value in _summary(account).items()}


def _summary(account: Account) -> dict[str, Any]:
    words = "run cluster mode who host reason url started ended estimate_s duration_s outcome exit_code message"
    return {
        "version": VERSION,
        **{key: plain(getattr(account, key)) for key in words.split()},
        "verdict": account.verdict,
        "nodes": {
            node.name: {
                "outcome": node.outcome or "not begun",
                "out_of_service_s": node.out_of_service_s,
                "message": node.message,
                "restart_proof": node.restart_proof,
                "requests_after": [asdict(landing) for landing in node.landings],
                "requests_after_s": node.watched_s,
                "steps": [{**asdict(span), "took_s": span.took_s} for span in node.spans],
            }
            for node in account.nodes.values()
        },
        "services": _services(account),
        "outages": [asdict(outage) for outage in account.outages],
        "worst_probe_delay_s": account.late_s,
        "rhythm": account.rhythms,
        "writes": [asdict(write) for write in account.writes],
        "gates": [asdict(gate) for gate in account.gates],
        "notes": [asdict(note) for note in account.notes],
        "left_out": [_sorted(row) for row in account.left_out],
        "others": [_sorted(row) for row in account.others],
        "changed": [_sorted(row) for row in account.changed],
    }


def _services(account: Account) -> dict[str, Any]:
    """In the run's order; the journal, from which a report is made again, keeps no order of keys."""
    names = [*(name for name in account.services if name in account.probes), *sorted(account.probes)]
    return {name: _sorted(account.probes[name]) for name in dict.fromkeys(names)}


def _sorted(words: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): plain(words[key]) for key in sorted(words)}


def summary_json(account: Account) -> str:
    """The summary as text."""
    return json.dumps(summary(account), ensure_ascii=True, allow_nan=False, indent=2) + "\n"
