"""What is wrong with a file, and where: every problem is collected, so that a person mends them all at once."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from rollsafe.errors import InvalidInput

# A key from the top of a file: ("services", "scim", "port"). Items of lists are numbers.
KeyPath = tuple[str | int, ...]

# An endpoint may be its url alone, a tenant its id: then the file doesn't hold these keys.
_SHORT_FORMS = ("url", "id")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, counted from 1."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{shown(self.file)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong or worth knowing, at which key, on which line."""

    path: KeyPath
    place: Place
    sentence: str

    def __str__(self) -> str:
        key = f"{dotted(self.path)}: " if self.path else ""
        return printable(f"{self.place}: {key}{self.sentence}")


@dataclass(slots=True)
class Problems:
    """Errors and warnings, each with its place. `places` tells the line of each key."""

    places: dict[KeyPath, Place]
    home: Path  # the file to name where no key is known
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(self, path: KeyPath, sentence: str) -> None:
        """Remember what is wrong at that key, and what is allowed."""
        self.errors.append(Problem(*self.place(path), sentence))

    def missing(self, path: KeyPath, sentence: str) -> None:
        """Remember a key that should be there: named in full, on the line of the map that lacks it."""
        home, place = self.place(path[:-1])
        self.errors.append(Problem((*home, path[-1]), place, sentence))

    def warn(self, path: KeyPath, sentence: str) -> None:
        """Remember what works, but should be known."""
        self.warnings.append(Problem(*self.place(path), sentence))

    def place(self, path: KeyPath) -> tuple[KeyPath, Place]:
        """The path as the file spells it, and the line of its nearest known key.

        A check that was written as one map is item 0 of a list to us: numbers that the file doesn't hold are dropped.
        """
        spelled: KeyPath = ()
        place = self.places.get((), Place(self.home, 1))
        for part in path:
            longer = (*spelled, part)
            if longer not in self.places and (isinstance(part, int) or part in _SHORT_FORMS):
                continue
            spelled = longer
            place = self.places.get(longer, place)
        return spelled, place

    def where(self, path: KeyPath) -> str:
        """`FILE:LINE: path.to.key`."""
        spelled, place = self.place(path)
        return printable(f"{place}: {dotted(spelled)}")

    def stop_on_errors(self) -> None:
        """Raise InvalidInput with all errors, in the order of their lines."""
        if self.errors:
            raise InvalidInput(self.lines(self.errors))

    def lines(self, found: Iterable[Problem]) -> list[str]:
        """`FILE:LINE: path.to.key: sentence`, sorted by line, none twice."""
        ordered = sorted(found, key=lambda item: (str(item.place.file), item.place.line))
        return list(dict.fromkeys(str(item) for item in ordered))


def dotted(path: KeyPath) -> str:
    """`services.scim.tenants[0].id`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(file: Path) -> str:
    """The file as a person finds it: relative to where they are, if it is below."""
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_absolute() and file.is_relative_to(here) else str(file)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "port"?`, or nothing."""
    near = get_close_matches(word, list(known), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def printable(text: str) -> str:
    """On one line, and without what a terminal would obey: an inventory may come from a stranger's branch."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def listed(words: Iterable[str]) -> str:
    """`a, b or c`."""
    names = list(words)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}" if names else "nothing"
