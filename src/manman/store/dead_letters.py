"""Dead letters: messages that were refused for good, one row each, written in the transaction that settles them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from manman.domain.ids import HostId
from manman.store.pool import Connection
from manman.store.sql import load, storable

sql = load(__name__)


class Refused(Protocol):
    """What a row is made of: the message as it came, and why it is refused."""

    @property
    def key(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, Any]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def reason(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def host_id(self) -> int | None: ...
    @property
    def session_id(self) -> int | None: ...
    @property
    def journal(self) -> str | None: ...
    @property
    def sequence(self) -> int | None: ...
    @property
    def event_id(self) -> str | None: ...


async def insert(conn: Connection, rows: Sequence[Refused]) -> list[int]:
    """One row for each, in the order given; their ids. Whatever a sender put into headers can be stored."""
    if not rows:
        return []
    found = await conn.fetch(
        sql["insert"],
        [storable(row.key) for row in rows],
        [_json(dict(row.headers)) for row in rows],
        [row.body for row in rows],
        [row.reason for row in rows],
        [storable(row.detail) for row in rows],
        [row.host_id for row in rows],
        [row.session_id for row in rows],
        [None if row.journal is None else storable(row.journal) for row in rows],
        [row.sequence for row in rows],
        [None if row.event_id is None else storable(row.event_id) for row in rows],
    )
    return [row["id"] for row in found]


async def lock(conn: Connection, letters: Collection[int]) -> dict[int, HostId | None]:
    """The hosts that these dead letters are of, where that is known, and locks the rows. What is closed or dropped is left out."""
    rows = await conn.fetch(sql["lock"], sorted(letters))
    return {row["id"]: None if row["host"] is None else HostId(row["host"]) for row in rows}


async def close(conn: Connection, settled: Mapping[int, str | None]) -> None:
    """Settles replayed rows: None closes one, a sentence (it was refused again) keeps it open and replaces its detail."""
    if settled:
        await conn.execute(sql["close"], list(settled), list(settled.values()))


async def count_open(conn: Connection) -> int:
    """How many nobody has dealt with."""
    number: int = await conn.fetchval(sql["open"])
    return number


def _json(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): _json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(part) for part in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, bytes):
        return storable(value.decode("utf-8", "replace"))
    return storable(str(value))
