"""How often one caller may call: a bucket each, in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from manman.errors import RefusedError

MOST_CALLERS = 20_000


class Rates:
    """`rate` calls a second, `burst` at once, by caller. Raises `rate_limited`; the longest unseen callers are forgotten."""

    def __init__(self, rate: int, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Counts one call."""
        now = self._clock()
        left, since = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        self._buckets[caller] = (max(left - 1, 0.0), now)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        if left < 1:
            raise RefusedError("rate_limited", f"more than {self._rate} calls a second", hint="try again in a second")
