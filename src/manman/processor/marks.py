"""What stands at the end of a queue that gets no more. It comes over the default exchange, where no host may publish."""

from typing import Annotated

import msgspec

from manman.events import topics
from manman.events.bus import Delivery

Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class Mark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of a partition: `mark` as `domain.partitions` counts them."""

    generation: Number
    partition: Number
    mark: Number


def mark_of(delivery: Delivery, own_user: str | None) -> Mark | None:
    """The mark that this is. None for all else, whatever way it came: an operator's tool may move messages over the default exchange.
    Only what the control plane's own user said is one."""
    if delivery.exchange != topics.DEFAULT or delivery.user_id != own_user:
        return None
    try:
        return msgspec.json.decode(delivery.body, type=Mark)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
