"""How a host sends what is journalled: so many at once, and never again what was confirmed."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from manman.domain.ids import HostId, SessionId
from manman.errors import TimedOut
from manman.events import contracts
from manman.events.bus import MOST_AT_ONCE, Outcome, Outgoing, Unanswered
from manman.host.journal import Journal
from manman.host.sender import Sender

HOST = HostId(3)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Broker:
    """Confirms the first so many of each batch, and nothing more."""

    def __init__(self, confirms: int) -> None:
        self.confirms = confirms
        self.sizes: list[int] = []

    async def publish(self, batch: Sequence[Outgoing], **_: Any) -> list[Outcome]:
        self.sizes.append(len(batch))
        if len(batch) <= self.confirms:
            return [Outcome.CONFIRMED] * len(batch)
        raise Unanswered("nothing", [Outcome.CONFIRMED] * self.confirms + [None] * (len(batch) - self.confirms))


async def test_a_broker_that_falls_silent_is_not_told_again_what_it_confirmed_nor_too_much_at_once(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path / "journal.db", HOST, chance=os.urandom)
    for number in range(MOST_AT_ONCE + 50):
        journal.say(f"status.session.running.{HOST}", contracts.SessionStatus(session_id=SessionId(number + 1)), NOW)
    broker = Broker(confirms=60)
    sender = Sender(journal, broker)  # type: ignore[arg-type]
    with pytest.raises(TimedOut, match=rf"nothing for status\.session\.running\.{HOST}"):
        await sender.step()
    assert len(journal.unsent(1000)) == MOST_AT_ONCE - 10
    broker.confirms = MOST_AT_ONCE
    assert await sender.step() == MOST_AT_ONCE - 10
    assert broker.sizes == [MOST_AT_ONCE, MOST_AT_ONCE - 10]
    journal.close()
