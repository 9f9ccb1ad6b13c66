"""What cannot be applied together is found by halves, so that one host's heartbeat is no other host's fault."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from manman.errors import is_transient
from manman.events.bus import Delivery
from manman.observability import Seen

COMMON_FROM = 10  # culprits one after another, and nothing that could be applied between them: it is no host's fault


@dataclass(slots=True)
class Halving:
    """One batch. `apply` takes a part of it in one transaction, or raises; it returns how many were not too late. `applied` are these in
    all, `culprits` those that fail also alone, with their errors."""

    apply: Callable[[Sequence[Delivery], Seen], Awaitable[int]]
    applied: int = 0
    culprits: list[tuple[Delivery, Exception]] = field(default_factory=list)
    in_a_row: int = 0

    async def apply_all(self, deliveries: Sequence[Delivery], seen: Seen) -> None:
        """All at once, or by halves. Raises what is transient, and the error of what fails whoever says it: the rest of the batch is
        not tried then."""
        try:
            self.applied += await self.apply(deliveries, seen)
        except Exception as error:
            if is_transient(error) or self.in_a_row >= COMMON_FROM:
                raise
            if len(deliveries) == 1:
                self.in_a_row += 1
                self.culprits.append((deliveries[0], error))
                return
        else:
            self.in_a_row = 0
            return
        half = len(deliveries) // 2
        await self.apply_all(deliveries[:half], seen)
        await self.apply_all(deliveries[half:], seen)
