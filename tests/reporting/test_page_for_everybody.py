"""The page for those who see little, no colour, or use no mouse: contrasts, words, and what the keyboard reaches."""

import re

import pytest

from rollsafe.reporting.fold import account_of
from rollsafe.reporting.html import html
from tests.reporting import stories
from tests.reporting.test_reports import Page

TEXT = ["ink", "soft", "good", "warn", "bad"]  # colours that words are written in
LABELLED = ["drain", "restart", "healthy", "ready", "soak", "other"]  # colours that a word is written on
DRAWN = ["drain", "restart", "healthy", "ready", "soak", "okay", "bad", "s0", "s1", "s2", "s3"]
PAGE = html(account_of(stories.probed(stories.node_out(), bad=(65, 73), silent=(80, 99))))


def palettes() -> dict[str, dict[str, str]]:
    """The colours of the light and of the dark page, and of print (light, but for what it changes)."""
    found = [
        dict(re.findall(r"--([a-z0-9]+):(#[0-9a-f]{3,6})", block)) for block in re.findall(r":root\{([^}]*)\}", PAGE)
    ]
    light, dark, printed = found
    return {"light": light, "dark": light | dark, "print": light | printed}


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_the_yardstick_is_right() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("palette", ["light", "dark", "print"])
def test_words_and_drawings_stand_out(palette: str) -> None:
    colours = palettes()[palette]
    for ground in ("bg", "card"):
        weak = {name: contrast(colours[name], colours[ground]) for name in TEXT}
        assert {name: value for name, value in weak.items() if value < 4.5} == {}
        weak = {name: contrast(colours[name], colours[ground]) for name in DRAWN}
        assert {name: value for name, value in weak.items() if value < 3} == {}
    weak = {name: contrast(colours["on"], colours[name]) for name in LABELLED}
    assert {name: value for name, value in weak.items() if value < 4.5} == {}


def test_each_colour_has_its_words() -> None:
    page = Page(PAGE)
    drawn = {kind for tag, attrs in page.tags if tag == "rect" for kind in str(attrs["class"]).split()} - {"bad"}
    explained = {attrs.get("class") for tag, attrs in page.tags if tag == "i"}
    assert drawn <= explained
    assert {"good", "silent", "failed", "outage", "drain"} <= drawn
    titles = re.findall(r"<rect [^>]*><title>([^<]+)</title>", PAGE)
    assert any("jira2: healthy 30 s, timed out" in title for title in titles)
    assert "failed for 7.5 s" in " ".join(titles)
    lines = re.findall(r'<polyline class="(s\d)"', PAGE)
    keys = re.findall(r'<path class="(s\d)" d="M0 4H28"/></svg>([^<]+)<', PAGE)
    assert set(lines) <= {kind for kind, name in keys if name}


def test_the_keyboard_reaches_what_scrolls_and_what_opens() -> None:
    page = Page(PAGE)
    scrolls = [attrs for _, attrs in page.tags if attrs.get("class") == "wide"]
    assert scrolls
    assert all(
        attrs.get("tabindex") == "0" and attrs.get("role") == "region" and attrs.get("aria-label") for attrs in scrolls
    )
    assert [attrs["tabindex"] for _, attrs in page.tags if attrs.get("tabindex") not in (None, "0")] == []
    assert ":focus-visible" in PAGE
    opened = sum(tag == "details" for tag, _ in page.tags)
    assert opened == sum(tag == "summary" for tag, _ in page.tags) > 0
    svgs = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert all(attrs.get("aria-label") or attrs.get("aria-hidden") for attrs in svgs)
    assert all(attrs.get("scope") for tag, attrs in page.tags if tag == "th")


def test_a_thousand_nodes_share_forty_rows_and_those_that_went_wrong_keep_their_words() -> None:
    story = stories.Story([f"jira{n}" for n in range(1, 1001)])
    story.begin()
    for position in range(1, 200):
        story.whole_node(f"jira{position}", position)
    story.say("step.started", "jira200", step="restart")
    story.wait(9)
    story.say("step.finished", "jira200", step="restart", outcome="failed")
    text = html(account_of(story.records))
    assert len(re.findall(r'<text class="name" x="4"', text)) < 50
    assert "jira200: restart 9.0 s, failed" in text
