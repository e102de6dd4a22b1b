"""Plans as JSON: stored with a run, digested, and carried in the file of `plan --out` and `run --plan`."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rollsafe.errors import InvalidInput
from rollsafe.journal.chain import canonical
from rollsafe.model.plan import PLAN_VERSION, Forecast, Plan, PlannedWrite

KIND = "rollsafe plan"
PLAN_FILE_BYTES = 16 * 1024 * 1024  # a plan of 20 nodes is 50 kB

_PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)
_FORECAST: TypeAdapter[Forecast] = TypeAdapter(Forecast)
_WRITES: TypeAdapter[tuple[PlannedWrite, ...]] = TypeAdapter(tuple[PlannedWrite, ...])


class UnknownPlan(InvalidInput):
    """A plan that this version does not understand: only `recover` is offered for its run."""


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values, the same for equal plans (a time of 30 and one of 30.0 are written alike)."""
    return _dump(_PLAN.validate_python(_dump(plan)))


def plan_from_json(value: Any, where: str) -> Plan:
    """The plan that these JSON values say. `where` names their source.

    Raises UnknownPlan for another version, InvalidInput for what is no plan.
    """
    version = value.get("version") if isinstance(value, Mapping) else None
    if isinstance(version, int) and not isinstance(version, bool) and version != PLAN_VERSION:
        known = f"the plan's version is {version}, this rollsafe understands {PLAN_VERSION}"
        raise UnknownPlan([f"{where}: {known}: use the one that made it; `rollsafe recover` works with this one, too"])
    try:
        plan = _PLAN.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "plan"
        raise InvalidInput([f"{where}: no plan of rollsafe: {path}: {first['msg']}"]) from error
    if unknown := _unknown(value, _dump(plan)):
        raise InvalidInput([f"{where}: no plan of version {PLAN_VERSION} holds {unknown!r}: make it anew"])
    return plan


def plan_digest(plan: Plan) -> str:
    """SHA-256 of the plan, in hex: equal plans have equal digests."""
    return hashlib.sha256(canonical(plan_to_json(plan)).encode()).hexdigest()


def forecast_to_json(forecast: Forecast) -> dict[str, Any]:
    """What `plan` shows, as JSON values."""
    shown: dict[str, Any] = _FORECAST.dump_python(forecast, mode="json")
    return {**shown, "plan": plan_to_json(forecast.plan)}


def plan_text(plan: Plan, details: Mapping[str, Any], writes: Sequence[PlannedWrite]) -> str:
    """What the file of `plan --out` holds. `details` (verdicts, times) are for people only; `writes` hold the states
    that were found, which `run --plan` compares."""
    content = {
        "kind": KIND,
        "version": plan.version,
        "digest": plan_digest(plan),
        "plan": plan_to_json(plan),
        **_sealed(writes),
        "details": dict(details),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_planned(file: Path, again: str = "") -> tuple[Plan, tuple[PlannedWrite, ...]]:
    """The plan of a file, and its writes with the states that were found. `again` is the command that makes it anew.

    Raises InvalidInput where there is none, where it holds no writes, or where it was changed after it was made.
    """
    content = _read_file(file)
    again = again or _anew(file)
    plan = _plan_in(content, file, again)
    told = content.get("writes")
    try:
        writes = _WRITES.validate_python(told)
    except ValidationError as error:
        raise InvalidInput([f"{file}: holds no writes: make it anew: {again}"]) from error
    if content.get("writes_digest") != _sealed(writes)["writes_digest"]:
        raise InvalidInput([_changed(file, again)])
    return plan, writes


def _sealed(writes: Sequence[PlannedWrite]) -> dict[str, Any]:
    dumped = _WRITES.dump_python(tuple(writes), mode="json")
    return {"writes": dumped, "writes_digest": hashlib.sha256(canonical({"writes": dumped}).encode()).hexdigest()}


def _anew(file: Path) -> str:
    return f"rollsafe plan --out {quote(str(file))}"


def _changed(file: Path, again: str) -> str:
    return f"{file}: was changed after it was made: make it anew: {again}"


def _plan_in(content: Any, file: Path, again: str) -> Plan:
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise InvalidInput([f"{file}: no plan of rollsafe: make one: {again}"])
    plan = plan_from_json(content.get("plan"), str(file))
    if content.get("digest") != plan_digest(plan):
        raise InvalidInput([_changed(file, again)])
    return plan


def _read_file(file: Path) -> Any:
    try:
        with file.open("rb") as stream:
            raw = stream.read(PLAN_FILE_BYTES + 1)
        if len(raw) > PLAN_FILE_BYTES:
            raise InvalidInput([f"{file}: is larger than 16 MiB, and so no plan"])
        return json.loads(raw)
    except OSError as error:
        raise InvalidInput([f"{file}: can't be read: {error.strerror or error}"]) from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput([f"{file}: no plan: it is not JSON ({error})"]) from error


def _dump(plan: Plan) -> dict[str, Any]:
    dumped: dict[str, Any] = _PLAN.dump_python(plan, mode="json", warnings=False)
    return dumped


def _unknown(value: Any, known: Any) -> str:
    """The first key that reading has dropped; empty where there is none."""
    if isinstance(value, Mapping) and isinstance(known, Mapping):
        strange = [str(key) for key in value if key not in known]
        deeper = (_unknown(value[key], known[key]) for key in value if key in known)
        return strange[0] if strange else next((found for found in deeper if found), "")
    if isinstance(value, list) and isinstance(known, list):
        return next((found for pair in zip(value, known, strict=False) if (found := _unknown(*pair))), "")
    return ""
