"""Plans as JSON, as digest and as a file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rollsafe.errors import InvalidInput
from rollsafe.journal.codec import UnknownPlan, plan_digest, plan_from_json, plan_text, plan_to_json, read_planned
from tests.journal.conftest import plan


def test_there_and_back() -> None:
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan()))), "x") == plan()


def test_the_digest_says_the_same_for_equal_plans_only() -> None:
    whole = replace(plan(), policy=replace(plan().policy, soak_s=30))  # a whole number for 30.0
    assert plan_digest(whole) == plan_digest(plan())
    assert plan_digest(replace(plan(), accept_outage=True)) != plan_digest(plan())
    assert len(plan_digest(plan())) == 64


def test_a_plan_of_another_version_is_refused() -> None:
    with pytest.raises(UnknownPlan, match=r"version is 2.*rollsafe recover"):
        plan_from_json({**plan_to_json(plan()), "version": 2}, "run r1")


@pytest.mark.parametrize("value", [None, [], {}, "x", {"version": 1}, {"version": "1"}, {"version": True}])
def test_what_is_no_plan_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="no plan of rollsafe"):
        plan_from_json(value, "plan.json")


def test_a_plan_with_more_than_we_know_is_refused() -> None:
    value = plan_to_json(plan())
    value["policy"]["hurry"] = True
    with pytest.raises(InvalidInput, match="hurry"):
        plan_from_json(value, "plan.json")


def test_the_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    text = plan_text(plan(), {"times": [30]}, ())
    file.write_text(text)
    assert read_planned(file) == (plan(), ())
    assert json.loads(text)["details"] == {"times": [30]}
    file.write_text(json.dumps(json.loads(text)).replace("30.0", "30"))  # as other tools write numbers
    assert read_planned(file) == (plan(), ())
    file.write_text(text.replace('"accept_outage": false', '"accept_outage": true'))
    with pytest.raises(InvalidInput, match="was changed after it was made"):
        read_planned(file)


def test_files_that_are_no_plan(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    with pytest.raises(InvalidInput, match="can't be read"):
        read_planned(file)
    for text in ("", "{", "[]", "{}", '{"kind": "rollsafe plan"}', "[" * 100_000, "\x00"):
        file.write_text(text)
        with pytest.raises(InvalidInput, match="no plan"):
            read_planned(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="no plan"):
        read_planned(file)
