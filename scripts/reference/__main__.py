"""`python -m scripts.reference` writes docs/reference; with `--check` it names the stale pages, and ends with 1."""

import sys

from scripts.reference.pages import FOLDER, pages, stale


def main(words: list[str]) -> int:
    """Write or check every page."""
    if words == ["--check"]:
        old = stale()
        for name in old:
            sys.stderr.write(f"docs/reference/{name} is stale: python -m scripts.reference\n")
        return 1 if old else 0
    if words:
        sys.stderr.write("usage: python -m scripts.reference [--check]\n")
        return 2
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
