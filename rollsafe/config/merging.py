"""Several files as one: maps merge, the later file wins, lists replace. Each value keeps its own file and line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rollsafe.config.documents import Document, read_document
from rollsafe.config.problems import KeyPath, Place, Problem, Problems, did_you_mean
from rollsafe.errors import InvalidInput

# Below these keys a null is a value of somebody else's data.
_FREE = frozenset({"json", "options"})


def read_merged(files: Sequence[Path]) -> Document:
    """All files, first to last, as one document.

    Raises InvalidInput with the problems of every file where one can't be read.
    """
    documents: list[Document] = []
    problems: list[str] = []
    for file in files:
        try:
            documents.append(_normal(read_document(file)))
            problems += map(str, documents[-1].problems)
        except InvalidInput as error:
            problems += error.problems
    if len(documents) < len(files):
        raise InvalidInput(problems)
    merged = documents[0]
    for later in documents[1:]:
        merged = _merge(merged, later)
    return _without_extensions(merged)


def report_empty(document: Document, problems: Problems) -> None:
    """A key without a value is a slip of the hand more often than a wish."""

    def walk(value: Any, path: KeyPath) -> None:
        if value is None and path:
            problems.error(path, "has no value: give one, or remove the line")
        for key, item in _items(value):
            if item is None or key not in _FREE:
                walk(item, (*path, key))

    walk(document.data, ())


def _items(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _normal(document: Document) -> Document:
    """Lists of named maps become maps, so that they merge by name; a node's short form becomes its long one."""
    for section in ("nodes", "services"):
        if isinstance(document.data.get(section), list):
            _by_name(document, section)
    nodes = document.data.get("nodes")
    if isinstance(nodes, dict):
        for name, node in nodes.items():
            if isinstance(node, str | bool | int | float):
                nodes[name] = {"host": node}
                document.places["nodes", name, "host"] = document.places["nodes", name]
    return document


def _by_name(document: Document, section: str) -> None:
    """An item without a name keeps its number as its key, so that the rest of it can be looked at, too."""
    named: dict[str | int, Any] = {}
    places = document.places
    moved: dict[KeyPath, Place] = {}
    for index, item in enumerate(document.data[section]):
        old: KeyPath = (section, index)
        name, wrong = _name_of(item, section)
        if isinstance(name, str) and name in named:
            wrong = f'the name "{name}" is here twice: keep one'
        if wrong:
            document.problems.append(Problem(old, places[old], wrong))
        if name in named:
            continue
        key = index if name is None else name
        named[key] = {word: value for word, value in item.items() if word != "name"} if isinstance(item, dict) else item
        moved |= {(section, key, *path[2:]): where for path, where in places.items() if path[:2] == old}
    document.data[section] = named
    document.places = {
        path: where for path, where in places.items() if path[:1] != (section,) or len(path) == 1
    } | moved


def _name_of(item: Any, section: str) -> tuple[str | None, str]:
    """The name of an item of a list, and what is wrong with it. A name under a misspelt key is taken for the name."""
    name = item.get("name") if isinstance(item, dict) else None
    if isinstance(name, str):
        return name, ""
    if isinstance(name, bool | int | float):
        return None, 'has a name that is no text to YAML, but a number or a boolean: write it in quotes: name: "…"'
    for key in item if isinstance(item, dict) and "name" not in item else ():
        if guess := did_you_mean(key, ["name"]):
            name = item.pop(key)
            return name if isinstance(name, str) else None, f"has no name: {key} is not known here{guess}"
    return None, f"each of these has a name: `- name: …` (or write `{section}` as a map)"


def _merge(base: Document, later: Document) -> Document:
    places = dict(base.places)

    def take(path: KeyPath) -> None:
        """Everything at and below the path comes from the later file."""
        for known in [known for known in places if known[: len(path)] == path]:
            del places[known]
        places.update({known: where for known, where in later.places.items() if known[: len(path)] == path})

    def merge(old: dict[str, Any], new: dict[str, Any], path: KeyPath) -> dict[str, Any]:
        merged = dict(old)
        for key, value in new.items():
            here = (*path, key)
            before = merged.get(key)
            if isinstance(before, dict) and isinstance(value, dict):
                merged[key] = merge(before, value, here)
            elif value is None and key in merged:
                del merged[key]  # an empty value takes back what an earlier file said
            else:
                merged[key] = value
                take(here)
        return merged

    data = merge(base.data, later.data, ())
    # What is missing at the top is missing in the last file: the one that a person just wrote.
    places[()] = later.places[()]
    return Document(later.file, data, places, base.problems + later.problems)


def _without_extensions(document: Document) -> Document:
    document.data = {key: value for key, value in document.data.items() if not key.startswith("x-")}
    return document
