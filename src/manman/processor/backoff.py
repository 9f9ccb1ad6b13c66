"""Waits that grow, are bounded and jittered: no hot loop, and replicas do not come back in step."""

import asyncio
from dataclasses import dataclass

from manman.domain.ids import Chance


@dataclass(slots=True)
class Backoff:
    """0.1 s doubling to 5 s (or as given), each wait between half and all of it."""

    chance: Chance
    first: float = 0.1
    most: float = 5.0
    failures: int = 0

    def next(self) -> float:
        """The next wait in seconds."""
        whole: float = min(self.first * 2**self.failures, self.most)
        self.failures = min(self.failures + 1, 30)
        return whole * (0.5 + int.from_bytes(self.chance(2), "big") / 131072)

    def reset(self) -> None:
        """All is well again."""
        self.failures = 0

    async def wait(self, stop: asyncio.Event | None) -> None:
        """Sleep for the next wait, or until `stop`."""
        seconds = self.next()
        if stop is None:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            pass
