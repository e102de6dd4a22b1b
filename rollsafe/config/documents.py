"""YAML files as plain data, with the line of every key. What surprises people is an error here, or doesn't happen.

Only `null`, booleans and decimal numbers have a type: `08:00`, `010` and `2026-12-20` stay the text that they are.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.composer import Composer, ComposerError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from rollsafe.config.problems import KeyPath, Place, Problem, shown
from rollsafe.errors import InvalidInput

MAX_BYTES = 1 << 20  # an inventory of 20 nodes has 10 kB
MAX_VALUES = 20_000  # after anchors are expanded
MAX_DEPTH = 30

_TAG = "tag:yaml.org,2002:"
_QUOTED = re.compile(r"'([^']*)'")
_TRUE = frozenset({"true", "yes", "on"})


@dataclass(slots=True)
class Document:
    """One file, or several merged into one. `places` holds the file and line of every key and list item.

    `problems` are mistakes that leave the rest readable: whoever reads the document tells them with what else is wrong.
    """

    file: Path
    data: dict[str, Any]
    places: dict[KeyPath, Place]
    problems: list[Problem] = field(default_factory=list)


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML without its constructor and its YAML 1.1 types, and with a limit on size and depth."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0
        self._count = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Compose one value. Refuses before Python's own stack, or the night, is used up."""
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH:
            raise _limit(self, f"is nested more than {MAX_DEPTH} levels deep: no inventory needs that")
        if self._count > MAX_VALUES:
            raise _limit(self, f"more than {MAX_VALUES} values: no inventory needs that many")
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Loader.add_implicit_resolver(
    _TAG + "bool",
    re.compile(r"^(?:true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$"),
    list("tTfFyYnNoO"),
)
_Loader.add_implicit_resolver(_TAG + "int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(_TAG + "float", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)\.[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(_TAG + "merge", re.compile(r"^<<$"), ["<"])
_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])


def read_document(file: Path, first: str = "`rollsafe init` writes a first inventory") -> Document:
    """The file as data, places and problems. Raises InvalidInput with one clear sentence where nothing can be read.

    `first` says where a file comes from that is not there, or empty.
    """
    text = _read_text(file, first)
    loader = _Loader.__new__(_Loader)
    try:
        _Loader.__init__(loader, text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise InvalidInput([_sentence(file, text, error)]) from None
    if root is None or root.tag == _TAG + "null":
        raise InvalidInput([f"{shown(file)}:1: the file is empty: {first}"])
    if not isinstance(root, MappingNode):
        kind = "a list" if isinstance(root, SequenceNode) else "text"
        raise InvalidInput([f"{shown(file)}:1: the file holds {kind}, but a map of `key: value` is wanted"])
    return _Builder(file).document(root)


def _read_text(file: Path, first: str) -> str:
    name = shown(file)
    try:
        if file.is_dir():
            raise InvalidInput([f"{name}: is a folder: name the file in it"])
        if not file.is_file() and file.exists():
            raise InvalidInput([f"{name}: is not a regular file (a pipe or a device)"])
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise InvalidInput([f"{name}: has {size} bytes; more than {MAX_BYTES} are not read: is it the right file?"])
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)[:MAX_BYTES]
    except FileNotFoundError:
        raise InvalidInput([f"{name}: there is no such file; {first}"]) from None
    except OSError as error:
        raise InvalidInput([f"{name}: can't be read: {error.strerror or error}"]) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidInput([f"{name}:{line}: is not UTF-8 text: save the file as UTF-8"]) from None


def _limit(loader: Any, sentence: str) -> ComposerError:
    return ComposerError(None, None, sentence, loader.get_mark())


def _sentence(file: Path, text: str, error: yaml.YAMLError) -> str:
    """One sentence for what PyYAML tells in three lines, with the usual cause named."""
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark is not None else 1
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "this is no YAML"
    problem = _QUOTED.sub(
        lambda it: it[0] if len(it[1]) < 2 else "'…'", problem
    )  # it may be a secret: `token: *hunter2` is an alias to YAML
    tab = _tab_indented(text, line)
    if tab is not None:
        return f"{shown(file)}:{tab}: is indented with a tab: YAML indents with spaces only"
    if getattr(error, "context", None) == "expected a single document in the stream":
        return f"{shown(file)}:{line}: a second document begins here (`---`): one file holds one document"
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"{shown(file)}:{line}: holds a control character (#x{ord(text[error.position]):02x}): remove it"
    if problem.startswith("found undefined alias"):
        return f"{shown(file)}:{line}: names an anchor that is not there (a text that begins with * needs quotes)"
    if isinstance(error, ComposerError):
        return f"{shown(file)}:{line}: {problem}"
    hint = ""
    if problem.startswith("mapping values are not allowed"):
        hint = " (a text that holds `: ` needs quotes; is the line above indented as it should be?)"
    return f"{shown(file)}:{line}: is not YAML: {problem}{hint}"


def _tab_indented(text: str, upto: int) -> int | None:
    for number, line in enumerate(text.splitlines()[: upto + 1], start=1):
        if "\t" in line[: len(line) - len(line.lstrip())] and line.strip():
            return number
    return None


class _Builder:
    """Turns composed nodes into plain data. Anchors are expanded here, under the limit on values."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._places: dict[KeyPath, Place] = {}
        self._problems: list[Problem] = []
        self._count = 0

    def document(self, root: MappingNode) -> Document:
        self._places[()] = Place(self._file, 1)
        data = self._map(root, ())
        return Document(self._file, data, self._places, list(dict.fromkeys(self._problems)))

    def _value(self, node: Node, path: KeyPath) -> Any:
        self._count += 1
        if self._count > MAX_VALUES or len(path) > MAX_DEPTH:
            self._refuse(node, f"anchors unfold into more than {MAX_VALUES} values, or into themselves")
        if isinstance(node, MappingNode):
            return self._map(node, path)
        if isinstance(node, SequenceNode):
            return self._list(node, path)
        return self._scalar(node, path)

    def _list(self, node: SequenceNode, path: KeyPath) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            self._places[*path, index] = self._place(item)
            items.append(self._value(item, (*path, index)))
        return items

    def _map(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        self._check_tag(node, path, "map")
        lines: dict[str, int] = {}
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                continue
            name = self._key(key, path)
            line = key.start_mark.line + 1
            if name is None:
                continue
            if name in lines:
                self._problem(line, path, f'the key "{name}" is here twice (first on line {lines[name]}): keep one')
                continue
            lines[name] = line
            self._places[*path, name] = Place(self._file, line)
            data[name] = self._value(value, (*path, name))
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                self._merge(value, data, path)
        return data

    def _merge(self, value: Node, data: dict[str, Any], path: KeyPath) -> None:
        """`<<: *anchor` or a list of them: keys that are there already win."""
        for source in value.value if isinstance(value, SequenceNode) else [value]:
            if not isinstance(source, MappingNode):
                self._problem(value.start_mark.line + 1, path, "`<<` merges a map, or a list of maps, by its anchor")
                continue
            part = _Builder(self._file)
            part._count = self._count  # one limit for the whole file
            merged = part._value(source, path)
            self._count = part._count
            self._problems += part._problems
            for name, item in merged.items():
                if name not in data:
                    data[name] = item
                    here = (*path, name)
                    self._places |= {k: v for k, v in part._places.items() if k[: len(here)] == here}

    def _key(self, node: Node, path: KeyPath) -> str | None:
        """The key's text; None for what can't be one."""
        line = node.start_mark.line + 1
        if not isinstance(node, ScalarNode):
            self._problem(line, path, "a map or list can't be a key (text that begins with `{` or `[` needs quotes)")
            return None
        text = str(node.value)
        if node.tag == _TAG + "bool" and text.lower() not in {"true", "false"}:
            self._problem(line, (*path, text), f'a bare {text} means a boolean to YAML: write "{text}" in quotes')
        elif node.tag == _TAG + "null":
            self._problem(line, path, "a key is missing before the colon")
            return None
        return text

    def _scalar(self, node: Node, path: KeyPath) -> Any:
        self._check_tag(node, path, "str", "bool", "int", "float", "null")
        text = str(node.value)
        if node.tag == _TAG + "bool":
            return text.lower() in _TRUE
        if node.tag == _TAG + "int":
            # Python refuses to read numbers of thousands of digits; so do we, as text.
            return int(text) if len(text) < 30 else text
        if node.tag == _TAG + "float":
            return float(text)
        return None if node.tag == _TAG + "null" else text

    def _check_tag(self, node: Node, path: KeyPath, *known: str) -> None:
        if node.tag not in {_TAG + name for name in known} and node.tag != "!":
            sentence = (
                "has a tag, which is not known here: write the plain value (a text that begins with ! needs quotes)"
            )
            self._problem(node.start_mark.line + 1, path, sentence)

    def _place(self, node: Node) -> Place:
        return Place(self._file, node.start_mark.line + 1)

    def _problem(self, line: int, path: KeyPath, sentence: str) -> None:
        self._problems.append(Problem(path, Place(self._file, line), sentence))

    def _refuse(self, node: Node, sentence: str) -> NoReturn:
        raise InvalidInput([f"{self._place(node)}: {sentence}: no inventory needs that"])
