"""Playbooks: found by name or path, and refused where their order can't be safe."""

from itertools import permutations
from pathlib import Path

import pytest

from rollsafe.config.playbook import load_playbook, shipped_playbooks
from rollsafe.config.schema import json_schema
from rollsafe.errors import InvalidInput
from rollsafe.model.plan import PlannedStep

ORDER = ("drain", "restart", "healthy", "ready", "soak")


def write(folder: Path, steps: str, name: str = "mine") -> Path:
    file = folder / "playbooks" / f"{name}.yml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"name: {name}\ndescription: A test.\neach_node: {steps}\n")
    return file


def test_the_shipped_playbook_has_every_step(tmp_path: Path) -> None:
    playbook = load_playbook("rolling-restart", tmp_path)
    assert tuple(step.name for step in playbook.each_node) == ORDER
    assert playbook.source.parent == shipped_playbooks()


def test_one_beside_the_inventory_comes_first(tmp_path: Path) -> None:
    file = write(tmp_path, "[drain, restart, healthy, ready]", "rolling-restart")
    assert load_playbook("rolling-restart", tmp_path).source == file
    assert load_playbook(str(file), Path("/")).source == file


def test_arguments_are_seconds(tmp_path: Path) -> None:
    write(
        tmp_path,
        "[drain: {timeout: 10m, linger: 1m}, restart: {timeout: 1h}, healthy: {for: 90s}, ready, soak: {for: 0s}]",
    )
    assert load_playbook("mine", tmp_path).each_node == (
        PlannedStep("drain", (("timeout", 600.0), ("linger", 60.0))),
        PlannedStep("restart", (("timeout", 3600.0),)),
        PlannedStep("healthy", (("for", 90.0),)),
        PlannedStep("ready"),
        PlannedStep("soak", (("for", 0.0),)),
    )


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ("[restart, drain, healthy, ready]", "restart before drain is not safe: a node that still serves"),
        ("[drain, restart, ready, healthy]", "ready before healthy is not safe: a node that is still starting"),
        ("[drain, healthy, restart, ready]", "healthy before restart is not safe"),
        ("[drain, restart, healthy, soak, ready]", "soak before ready is not safe"),
        ("[drain, restart, healthy]", 'the step "ready" is missing: without it the node stays out'),
        ("[restart, healthy, ready]", 'the step "drain" is missing: without it a restart cuts requests'),
        ("[drain, restart, ready]", 'the step "healthy" is missing'),
        ("[]", 'the step "restart" is missing'),
        ("[drain, restart, restart, healthy, ready]", 'the step "restart" is here twice'),
        (
            "[drian, restart, healthy, ready]",
            '"drian" is no step; allowed: drain, restart, healthy, ready or soak; did',
        ),
        (
            "[drain: {timeuot: 1m}, restart, healthy, ready]",
            'drain has no argument "timeuot"; allowed: timeout or linger',
        ),
        ("[drain: {timeout: 60}, restart, healthy, ready]", "drain.timeout: 60 names no unit"),
        ("[drain: 60s, restart, healthy, ready]", "drain takes its arguments as a map"),
        ("drain", "each_node: must be a list, not text"),
    ],
)
def test_what_can_not_be_safe_is_refused_with_the_reason(tmp_path: Path, steps: str, sentence: str) -> None:
    file = write(tmp_path, steps)
    with pytest.raises(InvalidInput) as caught:
        load_playbook("mine", tmp_path)
    assert sentence in "\n".join(caught.value.problems)
    assert all(problem.startswith(f"{file}:3: each_node") for problem in caught.value.problems)


def test_only_the_order_of_the_design_is_safe(tmp_path: Path) -> None:
    safe = []
    for order in permutations(ORDER):
        write(tmp_path, f"[{', '.join(order)}]")
        try:
            safe.append(tuple(step.name for step in load_playbook("mine", tmp_path).each_node))
        except InvalidInput:
            continue
    assert safe == [ORDER]


def test_an_unknown_playbook_names_those_there_are(tmp_path: Path) -> None:
    write(tmp_path, "[]", "other")
    with pytest.raises(
        InvalidInput, match=r'no playbook "roling-restart"; there are: other or rolling-restart; did you'
    ):
        load_playbook("roling-restart", tmp_path)


def test_the_schema_knows_the_steps() -> None:
    steps = json_schema("playbook")["properties"]["each_node"]["items"]["anyOf"][0]["enum"]
    assert tuple(steps) == ORDER


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("/none/such.yml", "there is no such file; playbooks that ship with rollsafe: rolling-restart"),
        ("~nosuchuser/x.yml", "begins with ~ of a user that is not known here"),
    ],
)
def test_a_playbook_that_is_not_there_is_told_without_advice_for_an_inventory(
    tmp_path: Path, named: str, told: str
) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        load_playbook(named, tmp_path)
    assert "init" not in str(caught.value)
