"""Messages that were redelivered: one of them may have killed a process, so each is applied alone and its attempts are noted before."""

import hashlib

from manman.processor.held import Item
from manman.store.sql import storable

SUSPECT_FROM = 2  # deliveries before this one
MOST_BYTES = (
    256 * 1024
)  # of bodies in one transaction: some thirty reports of thirty sessions each, or many hundred events


def is_suspect(item: Item) -> bool:
    """Whether it was delivered often enough."""
    return item[0].attempts >= SUSPECT_FROM


def name_of(item: Item) -> str:
    """What identifies a message over deliveries: its id; where that is none, or nothing that can be stored, a hash of all that it says."""
    delivery = item[0]
    named = delivery.message_id or ""
    if named and storable(named) == named:
        return named
    said = b"\0".join((_bytes(named), _bytes(delivery.key), delivery.body))
    return hashlib.sha256(said).hexdigest()


def together(batch: list[Item]) -> list[Item]:
    """What comes first and may share a transaction: a suspect nothing, and of long messages (reports) no more than it can bear."""
    part: list[Item] = []
    size = 0
    for item in batch:
        size += len(item[0].body)
        if part and (is_suspect(item) or size > MOST_BYTES):
            break
        part.append(item)
        if is_suspect(item):
            break
    return part


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
