"""Console text: colours stay, everything else becomes harmless and visible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manman.ui.ansi import LONGEST, pieces, plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", [("", "plain")]),
        ("", []),
        ("\x1b[31mred\x1b[0m after", [("r", "red"), ("", " after")]),
        ("\x1b[1;32mbold green\x1b[22m green", [("g bold", "bold green"), ("g", " green")]),
        ("\x1b[91mbright\x1b[39m none", [("r", "bright"), ("", " none")]),
        ("\x1b[90mdim", [("d", "dim")]),
        ("\x1b[38;5;196mindexed\x1b[31mred", [("", "indexed"), ("r", "red")]),
        ("\x1b[38;2;31;31;31mtrue\x1b[m none", [("", "true"), ("", " none")]),
        ("\x1b[2J\x1b[1;1H\x1b[?25lscreen", [("", "screen")]),
        ("\x1b]0;title\x07after", [("", "after")]),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", [("", "link")]),
        ("\x1b]52;c;cGF5bG9hZA==\x07clip", [("", "clip")]),
        ("\x1bP$q\x1b\\dcs", [("", "dcs")]),
        ("\x9b31mred", [("r", "red")]),
        ("unfinished \x1b[31", [("", "unfinished ")]),
        ("unfinished \x1b]0;title", [("", "unfinished ")]),
        ("lone \x1b", [("", "lone ")]),
        ("bell\x07 null\x00 delete\x7f", [("", "bell␇ null␀ delete␡")]),
        ("10 %\r50 %\r100 %", [("", "100 %")]),
        ("ended\r\n", [("", "ended")]),
        ("tab\tstays", [("", "tab\tstays")]),
        ("\u202egnp.exe", [("", "⟨U+202E⟩gnp.exe")]),
        ("<script>alert(1)</script>", [("", "<script>alert(1)</script>")]),
    ],
)
def test_a_line_becomes_coloured_pieces(text: str, expected: list[tuple[str, str]]) -> None:
    assert pieces(text) == expected


def test_a_line_is_cut_where_it_is_longer_than_any_window() -> None:
    assert len(plain("x" * 100_000)) == LONGEST


KINDS = {"", "r", "y", "g", "b", "m", "c", "d"}
NOISE = st.text(
    st.sampled_from("\x1b\x9b[]0;1m38?\x07\\P_^X(B\r\n\t<&\"'>a\x00\x7f\x90\x9c\u202e\u2028é字"), max_size=200
)


@given(st.one_of(NOISE, st.text(max_size=300)))
def test_no_text_leaves_a_control_character_or_an_unknown_class(text: str) -> None:
    for kind, part in pieces(text):
        assert set(kind.split()) <= KINDS | {"bold"}
        assert part and not any((ord(one) < 0x20 and one != "\t") or 0x7F <= ord(one) < 0xA0 for one in part)
        assert not set(part) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=200))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text
