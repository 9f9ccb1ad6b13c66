"""Every pair of colours that meets on a page can be told apart; the stylesheet's values are the tokens as decided."""

import re
from itertools import product

import pytest

from manman.ui.render import STATIC

LIGHT = {
    "canvas": "#f8f9fb", "surface": "#ffffff", "sunken": "#f1f2f6", "hover": "#ebeef3",
    "line": "#e1e3e8", "border": "#cccfd6", "edge": "#858b96", "text": "#1a1e27", "soft": "#515763",
    "accent": "#534bd2", "on-accent": "#ffffff", "accent-tint": "#edefff",
    "good": "#056836", "good-tint": "#e2f8e8", "good-fill": "#2fa465",
    "warn": "#824f00", "warn-tint": "#fff0d3", "warn-fill": "#c87d1b",
    "bad": "#b0171a", "bad-tint": "#ffeceb", "bad-fill": "#e4312f",
    "info": "#006499", "info-tint": "#e3f4fe", "info-fill": "#1d9dd9",
    "mute": "#515763", "mute-tint": "#eaedf2", "mute-fill": "#8c919a",
    "term": "#101318",
}  # fmt: skip
DARK = {
    "canvas": "#0d0f13", "surface": "#15171c", "sunken": "#101216", "hover": "#1e2127",
    "line": "#272a31", "border": "#3b3e47", "edge": "#686d78", "text": "#e7e9ee", "soft": "#9ea3ad",
    "accent": "#9d9ef9", "on-accent": "#0c0d1b", "accent-tint": "#242648",
    "good": "#68d694", "good-tint": "#142d1f", "good-fill": "#37ab6b",
    "warn": "#f0b758", "warn-tint": "#37270e", "warn-fill": "#df9c32",
    "bad": "#fc8983", "bad-tint": "#441c1b", "bad-fill": "#f0524d",
    "info": "#6cc2f4", "info-tint": "#112b3c", "info-fill": "#369cd5",
    "mute": "#9ea3ad", "mute-tint": "#23252b", "mute-fill": "#6c7079",
    "term": "#08090c",
}  # fmt: skip
OLED = DARK | {"canvas": "#000000", "sunken": "#000000", "surface": "#0b0c0f"}
TERMINAL = {
    "term-text": "#dfe1e7", "term-soft": "#8e929c", "red": "#ff8b82", "yellow": "#f2c265", "green": "#7fd8a3",
    "blue": "#8fb8ff", "magenta": "#d6a5ff", "cyan": "#7fd6e0",
}  # fmt: skip
THEMES = {"light": LIGHT, "dark": DARK, "oled": OLED}
TONES = ("good", "warn", "bad", "info", "mute")
GROUNDS = ("canvas", "surface", "sunken", "hover")


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def block(selector: str) -> dict[str, str]:
    """The tokens that a rule of the stylesheet sets."""
    sheet = (STATIC / "tokens.css").read_text()
    found = re.search(re.escape(selector) + r"\s*\{([^}]*)\}", sheet)
    assert found is not None, selector
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6});", found[1]))


@pytest.mark.parametrize(
    ("selector", "tokens"),
    [
        (':root, [data-theme="light"]', LIGHT),
        ('[data-theme="dark"], [data-theme="oled"]', DARK),
        ('  [data-theme="system"]', DARK),
        ("\n:root", TERMINAL),
    ],
)
def test_the_stylesheet_has_the_tokens(selector: str, tokens: dict[str, str]) -> None:
    assert block(selector) == tokens


def test_oled_is_dark_on_black() -> None:
    sheet = (STATIC / "tokens.css").read_text()
    assert '[data-theme="oled"] { --canvas: #000000; --sunken: #000000; --surface: #0b0c0f; }' in sheet


@pytest.mark.parametrize("theme", THEMES)
def test_text_can_be_read_on_every_ground(theme: str) -> None:
    colours, least = THEMES[theme], 5.5 if theme == "light" else 6.0
    pairs = [
        (text, ground) for text, ground in product(("text", "soft", "accent", *TONES), ("canvas", "surface", "sunken"))
    ]
    pairs += [(tone, f"{tone}-tint") for tone in TONES] + [
        ("on-accent", "accent"),
        ("text", "hover"),
        ("text", "accent-tint"),
    ]
    pairs += [("text", f"{tone}-tint") for tone in TONES]
    found = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs}
    assert {pair: value for pair, value in found.items() if value < least} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_words_of_a_row_stay_readable_under_the_pointer(theme: str) -> None:
    colours = THEMES[theme]
    found = {text: round(contrast(colours[text], colours["hover"]), 2) for text in ("soft", "accent", *TONES)}
    assert {text: value for text, value in found.items() if value < 4.5} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_what_carries_meaning_without_text_stands_out(theme: str) -> None:
    colours = THEMES[theme]
    pairs = [*product(("edge", "accent", "good-fill", "warn-fill", "bad-fill", "info-fill", "mute-fill"), ("surface",))]
    pairs += [("accent", ground) for ground in GROUNDS]
    found = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs}
    assert {pair: value for pair, value in found.items() if value < 3.0} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_the_console_can_be_read_in_every_colour(theme: str) -> None:
    ground, least = THEMES[theme]["term"], 5.5
    found = {name: round(contrast(colour, ground), 2) for name, colour in TERMINAL.items()}
    assert {name: value for name, value in found.items() if value < least} == {}


def test_styles_use_tokens_and_no_other_colours_but_the_consoles() -> None:
    console = {"#3b3e47", "#272a31", "#1e2127", "#9d9ef9", "#e7e9ee", "#f2c265", "#101318", "#242648"}
    used = set[str]()
    for sheet in ("base.css", "parts.css", "pages.css"):
        used |= set(re.findall(r"#[0-9a-fA-F]{3,6}\b", (STATIC / sheet).read_text()))
    assert used <= console


def test_the_page_of_the_api_has_the_same_colours() -> None:
    text = (STATIC.parent.parent / "api" / "doors" / "docs.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part)) for part in text.split("@media (prefers", 1))
    assert len(light) == len(dark) > 10
    assert light.items() <= LIGHT.items() and dark.items() <= DARK.items()
