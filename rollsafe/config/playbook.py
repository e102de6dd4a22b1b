"""Playbooks: what happens to one node, step by step. An order that can't be safe is refused, with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema

from rollsafe.config import units
from rollsafe.config.documents import read_document
from rollsafe.config.explain import explain
from rollsafe.config.fields import Name, Part, Text
from rollsafe.config.merging import report_empty
from rollsafe.config.problems import KeyPath, Problems, did_you_mean, listed
from rollsafe.errors import InvalidInput
from rollsafe.model.plan import PlannedStep

# The steps in the only order that is safe, with the arguments that each takes. All arguments are durations.
STEPS: dict[str, tuple[str, ...]] = {
    "drain": ("timeout", "linger"),
    "restart": ("timeout",),
    "healthy": ("for",),
    "ready": (),
    "soak": ("for",),
}
# Why a step may not come before the one that its line names.
_REASONS = {
    ("restart", "drain"): "a node that still serves would be stopped, and its requests cut",
    ("healthy", "restart"): "the health of the node before its restart says nothing of the one after it",
    ("ready", "healthy"): "a node that is still starting would get requests",
    ("ready", "restart"): "the node would serve while it is stopped",
    ("ready", "drain"): "a node that was never out can't be put back",
    ("healthy", "drain"): "a drain after the health gates would be left in place, or undone unchecked",
    ("soak", "ready"): "there is nothing to watch before the node is back",
}
_WHY_NEEDED = {
    "drain": "without it a restart cuts requests",
    "restart": "without it there is nothing to do",
    "healthy": "without it a node that is still starting gets requests",
    "ready": "without it the node stays out",
}


@dataclass(frozen=True, slots=True)
class Playbook:
    """What happens to each node. `source` is the file it came from. Arguments are (name, seconds)."""

    name: str
    description: str
    each_node: tuple[PlannedStep, ...]
    source: Path


_NOT_A_STEP = "must be the name of a step, or one name with arguments, such as restart: {timeout: 5m}"


def _as_step(value: Any) -> Any:
    """`drain`, or `{drain: {timeout: 5m}}`, as a PlannedStep. Raises ValueError."""
    if isinstance(value, str):
        return PlannedStep(_known(value))
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(_NOT_A_STEP)
    (word, arguments), *_ = value.items()
    name = _known(word)
    if not isinstance(arguments, dict):
        raise ValueError(f"{name} takes its arguments as a map, such as soak: {{for: 1m}}")  # noqa: TRY004 - as above
    taken = []
    for key, text in arguments.items():
        if key not in STEPS[name]:
            allowed = listed(STEPS[name]) if STEPS[name] else "none"
            raise ValueError(f'{name} has no argument "{key}"; allowed: {allowed}{did_you_mean(key, STEPS[name])}')
        taken.append((key, _time(f"{name}.{key}", text, zero=key in ("for", "linger"))))
    return PlannedStep(name, tuple(taken))


def _time(what: str, text: Any, zero: bool) -> float:
    try:
        return units.seconds(text) if zero else units.positive_seconds(text)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


def _known(name: str) -> str:
    if name not in STEPS:
        raise ValueError(f'"{name}" is no step; allowed: {listed(STEPS)}{did_you_mean(name, STEPS)}')
    return name


_STEP_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"enum": list(STEPS)},
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
            "properties": {
                name: {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {key: {"type": "string", "pattern": units.DURATION} for key in arguments},
                }
                for name, arguments in STEPS.items()
            },
        },
    ]
}
Step = Annotated[Any, BeforeValidator(_as_step), WithJsonSchema(_STEP_SCHEMA)]


class PlaybookFile(Part):
    """What happens to each node of a run, one node at a time."""

    name: Name = Field(description="the playbook's name; the file is called NAME.yml")
    description: Text = Field("", validate_default=False, description="what it does, in one sentence")
    each_node: list[Step] = Field(description="the steps in their order; each is a name, or a name with arguments")


def load_playbook(name_or_path: str, beside: Path) -> Playbook:
    """The playbook of that name, or in that file. `beside`: the inventory's folder, whose `playbooks/` come first.

    Raises InvalidInput with all problems.
    """
    source = find_playbook(name_or_path, beside)
    document = read_document(source, f"playbooks that ship with rollsafe: {listed(_names([shipped_playbooks()]))}")
    data = {key: value for key, value in document.data.items() if not key.startswith("x-")}
    problems = Problems(document.places, source, document.problems)
    report_empty(document, problems)
    try:
        written = PlaybookFile.model_validate(data)
    except ValidationError as error:
        explain(error, PlaybookFile, problems)
        problems.stop_on_errors()
        raise
    _check_order(problems, [step.name for step in written.each_node])
    problems.stop_on_errors()
    return Playbook(written.name, written.description, tuple(written.each_node), source)


def shipped_playbooks() -> Path:
    """The folder of the playbooks that come with rollsafe: inside the package, or at the top of a checkout."""
    inside = Path(str(resources.files("rollsafe"))) / "playbooks"
    return inside if inside.is_dir() else inside.parent.parent / "playbooks"


def find_playbook(name_or_path: str, beside: Path) -> Path:
    """The file of that name or path, which need not exist where a path was named. Raises InvalidInput for no name."""
    try:
        named = Path(name_or_path).expanduser()
    except RuntimeError:
        raise InvalidInput([f'"{name_or_path}" begins with ~ of a user that is not known here']) from None
    if named.suffix in (".yml", ".yaml") or "/" in name_or_path:
        return named
    folders = [beside / "playbooks", shipped_playbooks()]
    for folder in folders:
        for suffix in (".yml", ".yaml"):
            if (folder / f"{name_or_path}{suffix}").is_file():
                return folder / f"{name_or_path}{suffix}"
    there = _names(folders)
    guess = did_you_mean(name_or_path, there)
    raise InvalidInput([f'there is no playbook "{name_or_path}"; there are: {listed(there)}{guess}'])


def _names(folders: Sequence[Path]) -> list[str]:
    return sorted({file.stem for folder in folders if folder.is_dir() for file in folder.glob("*.y*ml")})


def _check_order(problems: Problems, names: Sequence[str]) -> None:
    for name, why in _WHY_NEEDED.items():
        if name not in names:
            problems.error(("each_node",), f'the step "{name}" is missing: {why}')
    for index, name in enumerate(names):
        here: KeyPath = ("each_node", index)
        if name in names[:index]:
            problems.error(here, f'the step "{name}" is here twice: keep one')
            continue
        for later in names[index + 1 :]:
            reason = _REASONS.get((name, later))
            if reason is not None:
                problems.error(here, f"{name} before {later} is not safe: {reason}")
