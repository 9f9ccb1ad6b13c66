"""What every use case may need beside its request: settings, pool, bus, chance. Made once by the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from manman.api.rates import Rates
from manman.api.settings import ApiSettings
from manman.api.tail import Tail
from manman.domain.ids import Chance
from manman.events.bus import Bus
from manman.events.rabbit.admin import BrokerAdmin
from manman.store.pool import Pool
from manman.store.secrets import Keys


@dataclass(slots=True, kw_only=True)
class Office:
    """One API process. `chance(n)` gives n unguessable bytes; `clock` seconds that only rise (deadlines, rates).

    `stopping` is set on SIGTERM: streams say `bye`. `broker` makes broker users for hosts; None where the bus is the
    database's. `agent_url` and `vhost` are where hosts find the broker.
    """

    settings: ApiSettings
    pool: Pool
    bus: Bus
    chance: Chance
    clock: Callable[[], float]
    rates: Rates
    tail: Tail
    keys: Keys | None = None
    broker: BrokerAdmin | None = None
    agent_url: str = ""
    vhost: str = ""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    # Streams that are being cleared away.
    closing: set[asyncio.Future[None]] = field(default_factory=set)
