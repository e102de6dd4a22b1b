"""Sentences side by side: an error's own text may end with a full stop, with a question mark, or with nothing."""


def ended(text: str) -> str:
    """The text with one end: a full stop, where it has none of its own."""
    bare = text.rstrip(".")
    return bare if bare.endswith(("?", "!")) else f"{bare}."


def capital(text: str) -> str:
    """The text as a sentence begins."""
    return text[:1].upper() + text[1:]


def in_a_row(first: str, *more: str) -> str:
    """One sentence after the other: the first begins as it is written, and the last ends so. No empty ones."""
    said = [first, *(capital(text) for text in more if text)]
    return " ".join([*(ended(text) for text in said[:-1]), said[-1]])
