"""The agent's identity. Only an exclusive queue is a lock; a broker that is away locks nothing, so the disk remembers the machine on
which its agent last had its identity, and on another one nothing is begun before the agent has it there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from manman.errors import ManManError
from manman.events import topology
from manman.events.bus import Bus, QueueLocked
from manman.host.journal import DiskFull, Journal
from manman.observability import get_logger

log = get_logger(__name__)

# What a copied disk does not bring along, or a cloned machine is given anew. The machine's own first: a system that is made anew at each
# boot has another machine-id each time.
_MARKS = {
    "product_uuid": "/sys/class/dmi/id/product_uuid",
    "serial_number": "/sys/firmware/devicetree/base/serial-number",
    "machine_id": "/etc/machine-id",
}
_NOT_YET = "uninitialized"  # machine-id(5)
HOME = "home"


def machine_marks() -> dict[str, str]:
    """By what this machine can be told from another one, as far as its agent may read it; empty where it has no such mark."""
    marks: dict[str, str] = {}
    for name, path in _MARKS.items():
        with contextlib.suppress(OSError):
            text = Path(path).read_text(encoding="ascii", errors="replace").strip("\0 \n")
            if text not in ("", _NOT_YET):
                marks[name] = text
    return marks


def are_of_two(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether these marks are of two machines: the first one that both have tells. One that only one of them has says nothing."""
    both = next((name for name in _MARKS if name in one and name in other), None)
    return both is not None and one[both] != other[both]


class IdentityLock:
    """What one life of an agent knows of its identity; `speaks` is set once it has it. After `threshold` seconds a lock is no longer
    taken for that of its own dead connection. It may lose it again, with its connection: the bus asks for it whenever it connects."""

    def __init__(
        self, journal: Journal, bus: Bus, speaks: asyncio.Event, *, threshold: float, marks: Mapping[str, str]
    ) -> None:
        self._journal, self._bus, self._speaks = journal, bus, speaks
        self._threshold, self._marks = threshold, dict(marks)
        self._is_elsewhere = are_of_two(journal.fact(HOME) or {}, marks)
        self._locked_since: float | None = None
        self._is_anothers = False

    @property
    def may_be_anothers(self) -> bool:
        """Whether another agent may have it: that one begins what is to begin. The broker away, only its disk, or a lock that has
        lasted for the threshold, says so: what should run, runs."""
        is_locked = self._locked_since is not None and (self._is_anothers or self._bus.connected)
        return self._is_elsewhere or is_locked or self._is_refused

    @property
    def _is_refused(self) -> bool:
        """Whether the bus, which had it, found it another one's when it connected again."""
        return isinstance(getattr(self._bus, "trouble", None), QueueLocked)

    async def hold(self) -> None:
        """Takes it, and looks each second whether it still has it; never returns."""
        if self._is_elsewhere:
            hint = "begins nothing before the broker has answered"
            log.warning("state_of_another_machine", host_id=self._journal.host_id, hint=hint)
        while True:
            await self.look()
            await asyncio.sleep(1)

    async def look(self) -> None:
        """Asks for it until it had it once; from then on the bus does. What is found is noted, and told after the threshold."""
        try:
            if not self._speaks.is_set():
                await self._bus.wait_connected()
                await self._bus.declare(topology.agent(self._journal.host_id))
            elif self._is_refused:
                self._is_locked()
                return
            elif not self._bus.connected:
                self._locked_since = None
                return
            self._has_it()
        except QueueLocked:
            self._is_locked()
        except ManManError as error:
            self._locked_since = None  # nobody says that it is
            log.debug("identity_waits", reason=str(error))

    def _is_locked(self) -> None:
        now = time.monotonic()
        self._locked_since = now if self._locked_since is None else self._locked_since
        if not self._is_anothers and now - self._locked_since >= self._threshold:
            self._is_anothers = True
            log.error(
                "another_agent_has_this_identity",
                host_id=self._journal.host_id,
                hint="one of two was made from a copy of the other's state; join it anew",
            )

    def _has_it(self) -> None:
        self._locked_since, self._is_anothers = None, False
        if self._speaks.is_set():
            return
        self._speaks.set()
        self._is_elsewhere = False
        if self._journal.fact(HOME) != self._marks:
            with contextlib.suppress(DiskFull):  # the next life on this machine writes it
                self._journal.keep_fact(HOME, self._marks)
