"""What a lone event costs in time: (b), (f) and this processor in turns, at the rate that one at a time can follow."""

import asyncio
from collections.abc import Callable

from bench import REPEATS, Figure, median
from bench.latency import BEARABLE, SINGLE, Sample, run

WHOLE = "bench.whole"
NAMED = {
    "(b), one at a time: session and history": SINGLE,
    "(f), (b) with the inbox, names and numbered events": WHOLE,
    "(a), this processor": None,
}


def measure() -> list[Figure]:
    """Latencies of each, and the ratios of neighbours."""
    figures = []
    for rate in BEARABLE:
        rounds = [[asyncio.run(run(rate, program=program)) for program in NAMED.values()] for _ in range(REPEATS)]
        for place, name in enumerate(NAMED):
            figures += [
                median(f"{rate:,} events/s, {name}: {word}", [of(one[place]) for one in rounds], "ms")
                for word, of in WORDS.items()
            ]
        for word, of in WORDS.items():
            single, whole, ours = ([of(one[place]) for one in rounds] for place in range(3))
            figures += [
                median(f"{rate:,} events/s: {word}, (f) to (b)", ratios(whole, single), "times"),
                median(f"{rate:,} events/s: {word}, (a) to (f)", ratios(ours, whole), "times"),
            ]
    return figures


WORDS: dict[str, Callable[[Sample], float]] = {
    "mean": lambda sample: sample.mean,
    "p50": lambda sample: sample.at(0.5),
    "p99": lambda sample: sample.at(0.99),
}


def ratios(of: list[float], to: list[float]) -> list[float]:
    """Each to its neighbour."""
    return [one / other for one, other in zip(of, to, strict=True)]
