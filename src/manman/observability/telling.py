"""`observe`: an act is told once, as a log line, as metrics and as a span."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from manman.observability import metrics, tracing
from manman.observability.acts import Act


class Seen:
    """What was seen while the act went on. `add` sums whole numbers and keeps the last of anything else."""

    __slots__ = ("facts",)

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts

    def add(self, **facts: Any) -> None:
        """Add to what is told at the end: `seen.add(applied=3, first_trace=…)`."""
        for name, value in facts.items():
            known = self.facts.get(name)
            if isinstance(value, int) and isinstance(known, int) and not isinstance(value, bool):
                self.facts[name] = known + value
            else:
                self.facts[name] = value

    @property
    def empty(self) -> bool:
        """Whether counts were added and all of them are zero."""
        counts = [v for v in self.facts.values() if isinstance(v, int) and not isinstance(v, bool)]
        return bool(counts) and not any(counts)


@contextmanager
def observe(act: Act, **facts: Any) -> Iterator[Seen]:
    """Tell `act` when the block ends: its facts, duration in seconds, and the error if it raised (which goes on)."""
    seen = Seen(dict(facts))
    began = time.perf_counter()
    log = structlog.get_logger(module="acts")
    with tracing.span(act.name) as span:
        try:
            yield seen
        except BaseException as error:
            took = time.perf_counter() - began
            metrics.tell(act.name, "failed", took, seen.facts)
            tracing.finish(span, seen.facts, error)
            if isinstance(error, Exception):
                log.warning(
                    act.name,
                    outcome="failed",
                    error=f"{type(error).__name__}: {error}",
                    seconds=round(took, 4),
                    **seen.facts,
                )
            raise
        took = time.perf_counter() - began
        metrics.tell(act.name, "done", took, seen.facts)
        tracing.finish(span, seen.facts, None)
        tell = log.debug if act.level == "debug" or seen.empty else log.info
        tell(act.name, seconds=round(took, 4), **seen.facts)
