"""Keeps what was measured, and writes it as RESULTS.md and results.svg."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench import PARTS, REPEATS, Figure, chart

HERE = Path(__file__).parent
KEPT = HERE / "results.json"
QUIET = 0.3  # cores that others use at the begin, above which a run says that they worked beside it

LEAST = "the least: taken and acknowledged, nothing done, no events beside them"
MOST = "the most that all cores could carry: (e)'s rows, (a)'s broker, (c)'s client, and nothing else"
SIMULATION = "simulation"  # kept by `make sim`, which is no measurement

TITLES = {
    "processor": "Events a second",
    "latency": "From a host's publish to the announcement on `external`",
    "lone": "A lone event, one at a time",
    "growth": "Growth",
    "detection": "Finding and marking silent hosts",
    "silence": "From a host's last beat to its announcement as stale",
    "failover": "A replica dies or freezes under load",
    "heartbeats": "Heartbeats",
    "memory": "Memory over a million events",
    "hold": "Many hosts, held",
    "profile": "Where the time goes",
    "codec": "Understanding and writing one message",
    "databases": "What a fresh database costs a test",
    SIMULATION: "Simulation",
}
NOTES = {
    "processor": "The same 100,000 events (1,000 sessions side by side, each pending → starting → running → stopping → stopped, 20 "
    "times) wait in a quorum queue; 40,000 of them are announced on `external`. (a) runs with everything on: history, inbox, "
    "outbox, numbered events, confirms; its time is from the first announcement to the last. PostgreSQL syncs every commit to the disk. "
    "(b) takes 3,000 of them. (c) uses the same client library. (d) writes a bare row of history and one of events for each and announces "
    "with confirms, and nothing else: no lock, rule, inbox, outbox, name, index or foreign key. It is a comparison, "
    "no bound: what waits for its confirm is not acknowledged, and holds up what comes next. (e) is nearer to one: the rows that (a) "
    "left, written once more into the same tables by the database itself, 200 events at once, "
    "where nobody locks, loads, decides or sends anything; 1,000 at "
    "once take a fifth less.",
    "latency": "Publisher (bare frames, persistent, each confirmed), broker, database, processor and recorder share the machine; the "
    "first 2 s of 10 are not counted. "
    "(d) is the least that can be done with an event, as above. (a) and (b) run in turns at the rate that (b) can follow; `to (b)` are "
    "the ratios of neighbours. A transition is committed when the database says that its transaction is.",
    "lone": "What of a lone event's way is the design's and what is the work's: (b) writes a session and its history and nothing else. "
    "(f) is (b) with the rest of what an effect of exactly once and events for others need, a statement each: the journal's settled "
    "numbers, the names, a numbered event. All three in turns; the ratios are of neighbours.",
    "growth": "10,000 sessions go their whole way, each on a deployment of its own, on 1,000 and on 10,000 of 100,000 hosts.",
    "detection": "The whole statement, seen from the client, rolled back each time; 15 times.",
    "silence": "All hosts beat every 3 s for 15 s, then some of them no longer do; the threshold is 10 s. The longest of any of them, as a "
    "subscriber hears it.",
    "failover": "Three replicas share four partitions, 500 events/s of 100 hosts. After 6 s the one that leads is struck by `kill -9` "
    "or SIGSTOP, and not started again. The longest that any announcement took after its host's publish, over the whole run.",
    "heartbeats": "10,000 hosts, 24,000 heartbeats a second for 10 s beside the events; the least at 40,000 for 5 s. They are "
    "taken once every host's last beat is in its row. Where the "
    "publisher's own rate is lower than that, the machine could not offer more, and the figure says nothing of what the processor could "
    "take.",
    SIMULATION: "Each seed is ten simulated minutes of power commands and drawn faults, and their healed end, on a real PostgreSQL; the "
    "checker of what must hold judges its whole history.",
    "memory": "1,000 sessions side by side, 200 times one after the other, never more than 10,000 events waiting.",
    "hold": "5,000 simulated hosts in a process of their own hold 30 sessions each: they say hello, answer for a report, beat every 3 s "
    "with the fingerprint of what they hold, and a few times a second a session ends and is followed by the next.",
    "profile": "Sampled every 2 ms of the processor's CPU time, under full load; the sampling itself costs a few percent. The database's "
    "shares are of the time that its statements take, as it counts them itself; commits are in none.",
}


def others() -> float:
    """How many cores are in use while nothing is measured, over 3 s."""
    return psutil.cpu_percent(interval=3) / 100 * (psutil.cpu_count() or 1)


def keep(part: str, figures: Sequence[Figure], load: float | None, command: str | None = None) -> None:
    """Keep a part's figures beside those of the others; `load`: the cores that were in use before it began, where that matters;
    `command` repeats it."""
    kept = read()
    kept[part] = {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load": None if load is None else round(load, 2),
        "repeats": REPEATS,
        "machine": machine(),
        **({} if command is None else {"command": command}),
        "figures": [asdict(figure) for figure in figures],
    }
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read() -> dict[str, Any]:
    """What is kept, by part; a `remark` beside its figures, written by hand, is gone with the next measurement."""
    kept: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    return kept


def machine() -> str:
    """What it ran on, in one line."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].partition(":")[2].strip() if names else platform.machine()
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{psutil.cpu_count()} cores ({model}), {memory:.0f} GiB, {system}"


def write() -> None:
    """RESULTS.md and results.svg from what is kept."""
    kept = read()
    (HERE / "results.svg").write_text(chart.draw(kept), encoding="utf-8")
    (HERE / "RESULTS.md").write_text(text(kept), encoding="utf-8")


def text(kept: Mapping[str, Any]) -> str:
    """The page."""
    lines = [
        "# Results",
        "",
        "Measured, not promised: `make bench` repeats all of it and writes this page, `.venv/bin/python -m bench NAME…` some "
        f"({', '.join(f'`{part}`' for part in PARTS)}).",
        "Ratios between what ran side by side are the result; absolute figures are those of one small machine, on which the load, "
        "PostgreSQL, RabbitMQ and the processor share the cores.",
        "",
        "![Events a second and latency](results.svg)",
        "",
        *_verdict(kept),
    ]
    for part in (*PARTS, SIMULATION):
        if part in kept:
            lines += ["", *_section(part, kept[part])]
    return "\n".join(lines) + "\n"


def _verdict(kept: Mapping[str, Any]) -> list[str]:
    said = [f for part in PARTS for f in kept.get(part, {}).get("figures", ()) if f["met"] is not None]
    met, missed = [f for f in said if f["met"]], [f for f in said if not f["met"]]
    lines = [f"**Targets: {len(met)} met, {len(missed)} not met.**"]
    if missed:
        lines += ["Not met:", ""]
        lines += [f"- {f['what']}: {shown(f['amount'])} {f['unit']} ({f['target']})".replace(" )", ")") for f in missed]
    if unmeasured := [TITLES[part] for part in PARTS if part not in kept]:
        lines += ["", f"Not measured yet: {', '.join(unmeasured)}."]
    for more in (_allowed(kept), _most(kept), _bottleneck(kept)):
        lines += ["", more] if more else []
    return lines


def _allowed(kept: Mapping[str, Any]) -> str:
    """What a program reached here that does the least that can be done: how much of what is missing is the processor's."""
    figures = {f["what"]: f["amount"] for part in PARTS for f in kept.get(part, {}).get("figures", ())}
    named = {
        "ratio (d) / (b)": "{} times (b)",
        "ratio (d) / (c)": "{} of (c)",
        "5,000 events/s, (d): p50": "at 5,000 events/s a p50 of {} ms",
        "5,000 events/s, (d): p99": "and a p99 of {} ms",
        LEAST: "and {} heartbeats a second where nobody does anything with them",
    }
    said = [words.format(shown(figures[what])) for what, words in named.items() if what in figures]
    begin = "For comparison, what does nothing but write an event down and announce it (d) reached here: "
    return f"{begin}{', '.join(said)}." if said else ""


def _most(kept: Mapping[str, Any]) -> str:
    """What this schema, broker and client library alone would allow here, in batches as they are."""
    figures = {f["what"]: f["amount"] for f in kept.get("processor", {}).get("figures", ())}
    if MOST not in figures:
        return ""
    of_b, of_c = figures[f"{MOST}, to (b)"], figures[f"{MOST}, to (c)"]
    return (
        f"What the rows of an event, its messages in the broker and the taking of it alone need of CPU would allow "
        f"{shown(figures[MOST])} events/s here, if nobody locked, loaded, decided or encoded anything: {shown(of_b)} times (b), "
        f"{shown(of_c)} of (c)."
    )


def _bottleneck(kept: Mapping[str, Any]) -> str:
    shares = {f["what"]: f["amount"] for f in kept.get("profile", {}).get("figures", ())}
    if not shares:
        return ""
    whole = {k.removeprefix("of all three: "): v for k, v in shares.items() if k.startswith("of all three")}
    inside = {k.removeprefix("processor: "): v for k, v in shares.items() if k.startswith("processor: ")}
    most, part = max(whole, key=lambda k: whole[k]), max(inside, key=lambda k: inside[k])
    asked = {k.removeprefix("database: "): v for k, v in shares.items() if k.startswith("database: ")}
    heaviest = max(asked, key=lambda k: asked[k], default="")
    within = f"within the database's time to {heaviest} ({asked[heaviest]:.0f} %), " if asked else ""
    return (
        f"Where the CPU goes under full load: of all that the three programs use, {whole[most]:.0f} % is that of {most}; "
        f"{within}within the processor most goes to {part} ({inside[part]:.0f} %). {_cores(kept)}"
    ).strip()


def _cores(kept: Mapping[str, Any]) -> str:
    """How much of the machine the three programs use at the measured rate: where it is most of it, the processors are the limit."""
    figures = {f["what"]: f["amount"] for f in kept.get("processor", {}).get("figures", ())}
    spent = sum(amount for what, amount in figures.items() if what.startswith("(a): CPU"))
    rate = figures.get("(a) this processor", 0.0)
    if not spent or not rate:
        return ""
    used = rate * spent / 1e6
    return f"At {shown(rate)} events/s they use {used:.1f} of {psutil.cpu_count()} cores."


def _section(part: str, kept: Mapping[str, Any]) -> list[str]:
    load = kept["load"]
    beside = "" if load is None else f"others used {load:.2f} cores before it. "
    times = (
        "" if part in ("detection", "profile", "codec", "databases", SIMULATION) else f"medians of {kept['repeats']}, "
    )
    lines = [f"## {TITLES[part]}", ""]
    if part in NOTES:
        lines += [NOTES[part], ""]
    command = kept.get("command", f"python -m bench {part}")
    lines += [f"`{command}`, {kept['at']}, {times}{beside}{kept['machine']}."]
    if "remark" in kept:
        lines += ["", f"**{kept['remark']}**"]
    if load is not None and load > QUIET:
        lines += [
            "",
            "**Others worked on the machine at the same time: only the ratios and the CPU per event mean anything.**",
        ]
    lines += ["", "| what | median | spread | target | met |", "|---|---:|---:|---|---|"]
    return lines + [_row(figure) for figure in kept["figures"]]


def _row(figure: Mapping[str, Any]) -> str:
    low, high = figure["low"], figure["high"]
    spread = "" if low is None else f"{shown(low)} to {shown(high)}"
    met = {None: "", True: "yes", False: "**no**"}[figure["met"]]
    amount = f"{shown(figure['amount'])} {figure['unit']}".strip()
    return f"| {figure['what']} | {amount} | {spread} | {figure['target']} | {met} |"


def shown(amount: float) -> str:
    """A number as a person reads it."""
    return (
        f"{amount:,.0f}"
        if amount >= 100 or amount == int(amount)
        else f"{amount:,.1f}"
        if amount >= 10
        else f"{amount:.2f}"
    )
