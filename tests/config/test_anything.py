"""Whatever an inventory holds, loading ends in a cluster or in sentences with a line: never in a traceback."""
# ruff: noqa: E501 - a table of odd values

import copy
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollsafe.config.load import load_inventory
from rollsafe.config.playbook import load_playbook
from rollsafe.errors import InvalidInput

TOP = Path(__file__).parents[2]
ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**40, "", " ", "x", "no", "{", "{node", "%", "-", ":", "://", "tcp://", "ssh://[::1", "ssh://a:b@c:d/e",
    "http://[", "ssh://h:99999/x", "1h", "٣s", "999999999999999999h", "~nobody/x", "env:", "file:", "command:'", "keyring:a", "é", "a\nb", "\u202e",
    "101%", "Sat 25:00-26:00", "Sat 24:00-24:00", "2026-02-30/2026-03-01", "0000-00-00", "../../etc", "/" * 300, [], {}, [[]], [{}], [None], {"name": 1},
    {"x": None}, {"host": []}, ["a", "a"], {"url": {}},
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(below for key, item in items for below in places(item, (*path, key)))]


def changed(data: dict[str, Any], chance: random.Random) -> Any:
    """The example with one to four of its values replaced, removed or renamed."""
    data = copy.deepcopy(data)
    for _ in range(chance.randint(1, 4)):
        path = chance.choice([path for path in places(data) if path])
        home: Any = data
        for part in path[:-1]:
            home = home[part]
        what = chance.random()
        if what < 0.7:
            home[path[-1]] = copy.deepcopy(chance.choice(ODD))
        elif what < 0.85 or not isinstance(home, dict):
            del home[path[-1]]
        else:
            home[chance.choice([str(odd) for odd in ODD if isinstance(odd, str)])] = home.pop(path[-1])
    return data


def problems_of(file: Path) -> list[str]:
    """Empty where it loads."""
    try:
        load_inventory([file])
    except InvalidInput as error:
        return error.problems
    return []


@pytest.mark.parametrize("seed", range(6))
def test_a_changed_example_is_loaded_or_explained(tmp_path: Path, seed: int) -> None:
    example = yaml.safe_load((TOP / "inventory.example.yml").read_text())
    chance = random.Random(seed)
    file = tmp_path / "inventory.yml"
    explained = 0
    for _ in range(25):
        file.write_text(yaml.safe_dump(changed(example, chance), sort_keys=False, allow_unicode=True))
        problems = problems_of(file)
        explained += bool(problems)
        for problem in problems:
            assert re.match(rf"{re.escape(str(file))}:\d+: .", problem), problem
    assert explained > 5


@pytest.mark.parametrize("seed", range(3))
def test_bytes_of_any_kind_are_explained(tmp_path: Path, seed: int) -> None:
    raw = (TOP / "inventory.example.yml").read_bytes()
    chance = random.Random(seed)
    file = tmp_path / "inventory.yml"
    explained = 0
    for _ in range(15):
        broken = bytearray(raw)
        for _ in range(chance.randint(1, 5)):
            broken[chance.randrange(len(broken))] = chance.choice(b"\t\n{}[]:&*!|>'\"%@`-? \x00\xff#,")
        file.write_bytes(bytes(broken[: chance.randrange(100, len(broken))]))
        problems = problems_of(file)
        explained += bool(problems)
        assert all(str(file) in problem for problem in problems)
    assert explained > 5


@pytest.mark.parametrize("odd", range(len(ODD)))
def test_an_odd_playbook_is_explained(tmp_path: Path, odd: int) -> None:
    file = tmp_path / "p.yml"
    for steps in (ODD[odd], [ODD[odd]], [{"drain": ODD[odd]}], [{"drain": {"timeout": ODD[odd]}}]):
        file.write_text(yaml.safe_dump({"name": "p", "description": "x", "each_node": steps}, allow_unicode=True))
        with pytest.raises(InvalidInput, match=r"p\.yml:\d+: "):
            load_playbook(str(file), tmp_path)
