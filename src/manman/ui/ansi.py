"""Console text made harmless: escape sequences become colours or nothing, control characters become visible signs.

A game writes what players type, so a line may hold anything. The result is pieces of plain text, each with the name of a
colour; templates escape them and the browser makes text nodes of them, never markup.
"""

import re
from typing import Final

# CSI and its parameters; OSC up to BEL or ST (an unfinished one swallows the line's rest, as a terminal would); DCS and the
# like; a charset choice; any other single escape. Both the 7-bit and the 8-bit forms.
ESCAPE: Final = re.compile(
    "(?:\x1b\\[|\x9b)(?P<given>[0-?]*)[ -/]*(?P<final>[@-~]?)"
    "|(?:\x1b\\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c|$|(?=\x1b))"
    "|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\\\|\x9c|$|(?=\x1b))"
    "|\x1b[()*+][0-9A-Za-z]?|\x1b."
    "|\x1b"
)
CONTROL: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
# Characters that re-order or hide text around them: a name could otherwise imitate another line.
BIDI: Final = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c\ufeff]")
COLOURS: Final = {1: "r", 2: "g", 3: "y", 4: "b", 5: "m", 6: "c"}
LONGEST: Final = 4096

Piece = tuple[str, str]


def pieces(text: str) -> list[Piece]:
    """A line as (class, text) pieces, in order. Classes: 'r g y b m c d bold', one colour and perhaps bold, or empty.

    At most 4,096 characters; a carriage return shows only what was written last, as a terminal would.
    """
    text = text[:LONGEST]
    if text.isprintable():
        return [("", text)] if text else []
    text = text.rstrip("\r\n").rpartition("\r")[2]
    found: list[Piece] = []
    colour, bold, at = "", False, 0
    for match in ESCAPE.finditer(text):
        _add(found, text[at : match.start()], colour, bold)
        at = match.end()
        if match["final"] == "m":
            colour, bold = _styled(match["given"], colour, bold)
    _add(found, text[at:], colour, bold)
    return found


def plain(text: str) -> str:
    """A line without any of it, for copying and downloading."""
    return "".join(part for _, part in pieces(text))


def _add(found: list[Piece], text: str, colour: str, bold: bool) -> None:
    if not text:
        return
    text = BIDI.sub(lambda m: f"⟨U+{ord(m[0]):04X}⟩", CONTROL.sub(_sign, text))
    found.append((f"{colour} bold".strip() if bold else colour, text))


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "�"


def _styled(given: str, colour: str, bold: bool) -> tuple[str, bool]:
    """Colour and weight after an SGR sequence; what has no place in the palette of six is left out."""
    codes = [int(part) if part.isdigit() else 0 for part in re.split("[;:]", given or "0")][:32]
    at = 0
    while at < len(codes):
        code = codes[at]
        if code in (38, 48):
            # Extended colours carry arguments that must not be read as codes: 5;n or 2;r;g;b.
            at += 5 if codes[at + 1 : at + 2] == [2] else 3
            continue
        colour, bold = _after(code, colour, bold)
        at += 1
    return colour, bold


def _after(code: int, colour: str, bold: bool) -> tuple[str, bool]:
    match code:
        case 0:
            return "", False
        case 1:
            return colour, True
        case 2 | 90:
            return "d", bold
        case 22:
            return colour, False
        case 39 | 37 | 97:
            return "", bold
        case _:
            base = code - 30 if code < 50 else code - 90
            return COLOURS.get(base, colour), bold
