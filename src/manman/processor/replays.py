"""Dead letters that come again: judged as messages of the hosts that their rows name, and once.

The control plane's broker user sends them, so nobody but the row vouches for whose words they were.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from manman.domain.ids import HostId
from manman.processor.world import Arrived
from manman.store import dead_letters
from manman.store.pool import Connection


async def of_their_rows(conn: Connection, batch: list[Arrived]) -> list[Arrived]:
    """The batch with each replay as its row has it, and those rows locked, before all else that the batch locks."""
    numbers = numbers_of(batch)
    if not numbers:
        return batch
    rows = await dead_letters.lock(conn, numbers)
    return [one if one.replays is None else of_its_row(one, rows) for one in batch]


def numbers_of(batch: Iterable[Arrived]) -> set[int]:
    """The dead letters that come again in a batch."""
    return {one.replays for one in batch if one.replays is not None}


def of_its_row(arrived: Arrived, rows: dict[int, HostId | None]) -> Arrived:
    """A replay as a message of its row's host. `rows` are those that are open; without one it `is_over`."""
    number, message = arrived.replays, arrived.message
    if number not in rows:
        return replace(arrived, is_over=True)
    host = rows[number]
    if host is None or message is None or host == message.host_id:
        return arrived
    said = message.attributes
    # Another host's number is not this one's to settle.
    own = said if said is not None and said.host_id in (None, host) else None
    return replace(arrived, message=replace(message, host_id=host, attributes=own))
