"""A state is always tone, icon and word, from one place; and what pages are made of stays as strict as the policy says."""

import re
from itertools import combinations

import pytest

from manman.domain.deployments import Install
from manman.domain.hosts import Presence
from manman.domain.restarts import GaveUp
from manman.domain.sessions import Reason, Status
from manman.ui import icons, looks, words
from manman.ui.render import STATIC
from manman.ui.words import Look, Tone

TEMPLATES = STATIC.parent / "templates"
VENDOR = STATIC / "vendor"
TABLES = {
    "session": words.SESSION,
    "deployment": words.DEPLOYMENT,
    "host": words.HOST,
    "backup": words.BACKUP,
    "delivery": words.DELIVERY,
}
ALONE = (words.UNREACHABLE, words.REACHABLE, words.SLEEPING, words.DEAF, words.DEAD_LETTER)
ALL = [look for table in TABLES.values() for look in table.values()] + list(ALONE)


@pytest.mark.parametrize("look", ALL, ids=lambda look: look.key)
def test_each_look_has_tone_icon_and_word(look: Look) -> None:
    assert isinstance(look.tone, Tone)
    assert look.icon in icons.ICONS
    assert look.word and look.word[0].isupper() and not re.search(r"[!.]", look.word)


def test_every_status_and_reason_of_the_rules_is_shown() -> None:
    assert set(words.SESSION) == {status.value for status in Status}
    assert set(words.DEPLOYMENT) >= {status.value for status in Install}
    assert set(words.HOST) >= {status.value for status in Presence}
    assert set(words.REASONS) == {reason.value for reason in Reason}
    assert set(words.GAVE_UP) == {reason.value for reason in GaveUp}


@pytest.mark.parametrize("noun", TABLES)
def test_states_of_one_noun_differ_in_their_outline(noun: str) -> None:
    same = {
        (one.key, other.key)
        for one, other in combinations(TABLES[noun].values(), 2)
        if icons.ICONS[one.icon] == icons.ICONS[other.icon]
    }
    assert same == set()


def test_every_state_has_its_place_in_the_order_of_the_overview() -> None:
    assert set(words.SESSION) | {"installing", "install_failed", "gave_up", "suspended"} <= set(looks.ORDER)


def test_an_unknown_word_is_shown_as_it_is() -> None:
    assert words.unknown("half_asleep").word == "Half asleep"
    assert words.reason("bored") == ("ended: bored", "bored")


def test_templates_hold_no_inline_script_style_or_handler() -> None:
    found = []
    for template in sorted(TEMPLATES.glob("*.html")):
        text = template.read_text()
        found += [
            (template.name, match) for match in re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|js:", text)
        ]
        found += [(template.name, match) for match in re.findall(r"<script(?![^>]*\ssrc=)", text)]
        found += [(template.name, match) for match in re.findall(r"\|\s*safe\b|autoescape\s+false", text)]
    assert found == []


def test_nothing_names_another_origin() -> None:
    found = []
    for file in sorted([*TEMPLATES.glob("*.html"), *STATIC.glob("*.*")]):
        found += [
            (file.name, url) for url in re.findall(r"https?://[^\s\"'<)]+", file.read_text()) if "www.w3.org" not in url
        ]
    assert found == []


def test_words_of_the_pages_are_calm() -> None:
    banned = re.compile(r"\b(please|sorry|oops|whoops|successfully|simply|just)\b", re.IGNORECASE)
    found = []
    for template in sorted(TEMPLATES.glob("*.html")):
        prose = re.sub(r"\{[{%#].*?[}%#]\}|<[^>]*>", " ", template.read_text(), flags=re.DOTALL)
        found += [(template.name, match[0]) for match in banned.finditer(prose)]
        found += [(template.name, "!")] if "!" in prose else []
    assert found == []


def test_vendored_code_has_its_licence_and_is_listed() -> None:
    listed = (VENDOR / "README.md").read_text()
    folders = [folder for folder in VENDOR.iterdir() if folder.is_dir()]
    assert folders
    for folder in folders:
        assert (folder / "LICENSE").is_file(), folder.name
        assert f"`{folder.name}`" in listed
