"""The figures as one small picture: bars for events a second, bars for latency."""

from collections.abc import Mapping
from html import escape
from typing import Any

WIDTH, BAR, GAP, LEFT, TOP = 720, 18, 8, 250, 34
INK, OURS, OTHERS, QUIET = "#888", "#2f7ed8", "#b8b8b8", "#999"


def draw(kept: Mapping[str, Any]) -> str:
    """An SVG that reads on light and dark paper."""
    rates = _rates(kept)
    times = _times(kept)
    upper, height = _bars("events/s (median)", rates, 0)
    lower, height = _bars("p99 in ms, host's publish → external (median)", times, height + 10)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13" fill="{INK}" role="img" aria-label="Events a second and latency">\n'
        + "\n".join([*upper, *lower])
        + "\n</svg>\n"
    )


def _rates(kept: Mapping[str, Any]) -> list[tuple[str, float, bool]]:
    figures = kept.get("processor", {}).get("figures", ())
    return [(f["what"].split(",")[0], f["amount"], "(a)" in f["what"]) for f in figures if f["unit"] == "events/s"]


def _times(kept: Mapping[str, Any]) -> list[tuple[str, float, bool]]:
    figures = kept.get("latency", {}).get("figures", ())
    others = ("(b)", "(d)")
    return [
        (f["what"].removesuffix(": p99"), f["amount"], not f["what"].removesuffix(": p99").endswith(others))
        for f in figures
        if f["what"].endswith(": p99")
    ]


def _bars(title: str, rows: list[tuple[str, float, bool]], top: int) -> tuple[list[str], int]:
    lines = [f'<text x="8" y="{top + 20}" font-weight="bold">{escape(title)}</text>']
    most = max((amount for _, amount, _ in rows), default=1) or 1
    y = top + TOP
    for what, amount, ours in rows:
        length = max(1, round((WIDTH - LEFT - 90) * amount / most))
        colour = OURS if ours else OTHERS
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(what)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{length}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LEFT + length + 6}" y="{y + 14}">{amount:,.0f}</text>',
        ]
        y += BAR + GAP
    return lines, y + 4
