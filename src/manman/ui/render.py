"""Templates to pages: Jinja2 with escaping everywhere, and the words that templates use."""

import re
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from manman.ui import ansi, icons, times, words

STATIC: Final = Path(__file__).parent / "static"
STYLES: Final = ("tokens.css", "base.css", "parts.css", "pages.css")


def environment() -> Environment:
    """Jinja as every page uses it. A name that a page forgot to give is an error, not an empty spot."""
    jinja = Environment(
        loader=PackageLoader("manman.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    jinja.globals.update(
        icon=icon, asset=asset, age=age, clock=clock, moment=moment, styles=STYLES, reason=words.reason
    )
    jinja.filters.update(
        size=times.size, share=times.share, number=times.number, pieces=ansi.pieces, cause=words.cause, span=times.span
    )
    jinja.tests["opening"] = opens_a_game
    jinja.globals.update(plural=times.plural, used=times.used)
    return jinja


def opens_a_game(url: str) -> bool:
    """Whether a join URL may be a link: a scheme with an authority, so never `javascript:` or `data:`."""
    return re.match(r"(?!javascript|data|vbscript|file)[a-z][a-z0-9+.-]*://[^\s/]", url, re.IGNORECASE) is not None


def icon(name: str, turns: bool = False, label: str = "") -> Markup:
    """An icon as `svg`. Without a label it is decoration, beside a word that says the same."""
    kind = "icon turns" if turns else "icon"
    spoken = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    return Markup(f'<svg class="{kind}" viewBox="0 0 16 16" {spoken}>{icons.ICONS[name]}</svg>')


@cache
def asset(name: str) -> str:
    """The URL of a file of ours; it changes with its content, so browsers may keep it for ever."""
    return f"/static/{name}?v={sha256((STATIC / name).read_bytes()).hexdigest()[:10]}"


def age(since: datetime | None, now: datetime) -> Markup:
    """'4 min', ticking in the browser by the server's clock; the exact time on hover."""
    if since is None:
        return Markup("")
    local = since.astimezone()
    return Markup(
        f'<span class="age" data-since="{since.isoformat()}" title="{times.exact(local)}">{times.span(now - since)}</span>'
    )


def clock(at: datetime | None, now: datetime) -> Markup:
    """A time element: the clock today, day and clock before; exact with zone on hover."""
    return moment(at, now)


def moment(at: datetime | None, now: datetime) -> Markup:
    """A time element; '–' for an unset time."""
    if at is None:
        return Markup("–")
    local = at.astimezone()
    return Markup(
        f'<time datetime="{at.isoformat()}" title="{times.exact(local)}">{times.moment(local, now.astimezone())}</time>'
    )


class Pages:
    """Renders templates by name."""

    def __init__(self) -> None:
        self.jinja = environment()

    def render(self, template: str, /, **given: Any) -> str:
        """The page as text."""
        return self.jinja.get_template(template).render(**given)
