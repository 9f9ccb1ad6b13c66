"""What of a long batch may be two transactions at once."""

import asyncio
from collections.abc import Collection
from typing import Any

from manman.events.bus import Delivery
from manman.processor.arrivals import arrive
from manman.processor.consumer import SIDE_BY_SIDE_FROM, EventConsumer
from manman.processor.held import Item
from manman.processor.world import Arrived

HOSTLESS = Delivery(
    tag=0, exchange="manman", key="status.session.stopping", body=b'{"session_id":7}', headers={}, message_id="plain"
)


class Ways:
    """Notes what is applied together, and how many at once."""

    def __init__(self) -> None:
        self.applied: list[list[Arrived]] = []
        self.under_way, self.most = 0, 0

    async def apply(self, batch: list[Arrived], _erase: Collection[str]) -> dict[str, int]:
        self.applied.append(batch)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        return {}


def said_by(host: int, tag: int) -> Item:
    delivery = Delivery(
        tag=tag,
        exchange="manman",
        key=f"status.session.stopping.{host}",
        body=b'{"session_id":%d}' % tag,
        headers={"host": str(host)},
    )
    return delivery, arrive(delivery, "control")


async def applied(part: list[Item], *, side_by_side: bool = True) -> tuple[Ways, list[int]]:
    """What was applied, and the tags that may be acknowledged, in order."""
    ways, anything = Ways(), Any
    consumer = EventConsumer(
        bus=anything,
        queue="events",
        prefetch=500,
        batch_max=500,
        ways=ways,  # type: ignore[arg-type]
        backoff=anything,
        loop_time=asyncio.get_running_loop().time,
        side_by_side=lambda: side_by_side,
    )
    consumer.backoff = type("Backoff", (), {"reset": lambda self: None})()  # type: ignore[assignment]
    return ways, sorted(delivery.tag for delivery, _ in await consumer._settle_sides(part))


def long(hosts: int) -> list[Item]:
    return [said_by(1 + n % hosts, n + 1) for n in range(SIDE_BY_SIDE_FROM)]


async def test_a_long_batch_of_several_hosts_is_two_at_once_and_each_host_is_in_one_of_them_in_order() -> None:
    part = long(5)
    ways, tags = await applied(part)
    assert ways.most == len(ways.applied) == 2 and tags == [delivery.tag for delivery, _ in part]
    for batch in ways.applied:
        hosts = {one.message.host_id for one in batch if one.message is not None}
        assert batch == [one for _, one in part if one.message is not None and one.message.host_id in hosts]


async def test_a_short_one_or_of_one_host_or_beside_other_queues_is_one() -> None:
    assert len((await applied(long(5)[1:]))[0].applied) == 1
    assert len((await applied(long(1)))[0].applied) == 1
    assert len((await applied(long(5), side_by_side=False))[0].applied) == 1


async def test_a_message_that_names_no_host_keeps_its_place_among_all() -> None:
    part = [*long(5), (HOSTLESS, arrive(HOSTLESS, "control"))]
    assert part[-1][1].message is not None
    ways, _ = await applied(part)
    assert ways.applied == [[one for _, one in part]]
