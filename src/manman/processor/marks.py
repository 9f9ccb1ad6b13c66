"""What stands at the end of a queue that gets no more. It comes over the default exchange, where no host may publish."""

import msgspec

from manman.events import topics
from manman.events.bus import Delivery


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a partition: `mark` as `domain.partitions` counts them."""

    generation: int
    partition: int
    mark: int


def mark_of(delivery: Delivery) -> Mark | None:
    """The mark that this is. None for all else, whatever way it came: an operator's tool may move messages over the default exchange."""
    if delivery.exchange != topics.DEFAULT:
        return None
    try:
        return msgspec.json.decode(delivery.body, type=Mark)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
