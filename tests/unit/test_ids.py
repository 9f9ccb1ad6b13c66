"""UUIDv7: time first, version and variant where the standard says, the rest chance's."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from manman.domain.ids import uuid7, uuid7_text, uuid7_texts

moments = st.datetimes(datetime(1970, 1, 1), datetime(2500, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


@given(now=moments, count=st.integers(0, 5), seed=st.binary(min_size=50, max_size=50))
def test_ids_made_at_once_are_uuids_of_that_moment(now: datetime, count: int, seed: bytes) -> None:
    asked = []

    def chance(size: int) -> bytes:
        asked.append(size)
        return seed[:size]

    made = [UUID(text) for text in uuid7_texts(now, chance, count)]
    assert (len(made), asked) == (count, [10 * count])
    for n, one in enumerate(made):
        assert (one.version, one.variant) == (7, "specified in RFC 4122")
        assert one.int >> 80 == int(now.timestamp() * 1000)
        assert str(one) == uuid7_text(now, lambda size, n=n: seed[10 * n : 10 * n + size])  # type: ignore[misc]


@given(now=moments, a=st.binary(min_size=10, max_size=10), b=st.binary(min_size=10, max_size=10))
def test_other_chance_is_another_id_but_for_six_bits(now: datetime, a: bytes, b: bytes) -> None:
    def told(chance: bytes) -> int:
        return int.from_bytes(chance, "big") & ~(0b1100 << 64 | 0b1111)

    assert (uuid7(now, lambda _: a) == uuid7(now, lambda _: b)) == (told(a) == told(b))
