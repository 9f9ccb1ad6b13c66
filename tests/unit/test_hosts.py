"""Liveness of hosts: which beat counts, when silence may be judged, who is unreachable."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from manman.domain.hosts import (
    GOODBYE,
    Heard,
    Pulse,
    can_judge,
    deaf_since,
    is_mass,
    is_newer,
    is_silent,
    lease_size,
    unreachable_since,
)
from manman.domain.ids import HostId

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TEN = 10 * SECOND
HEARD = Heard(host_id=HostId(1), online=True, boot=2, beat=7, last_seen=NOW - 2 * SECOND)


@pytest.mark.parametrize(
    ("boot", "beat", "counts"), [(2, 8, True), (2, 7, False), (3, 1, True), (1, 99, False), (None, None, True)]
)
def test_only_a_pair_above_the_known_one_counts(boot: int | None, beat: int | None, counts: bool) -> None:
    assert is_newer(boot, beat, (2, 7)) is counts
    assert is_newer(boot, beat, None)


@given(st.integers(0, 2**62))
def test_nothing_of_a_boot_counts_after_its_goodbye(beat: int) -> None:
    assert not is_newer(5, beat, (5, GOODBYE))
    assert is_newer(6, 0, (5, GOODBYE))


def test_silence_is_longer_than_the_threshold() -> None:
    assert not is_silent(NOW - TEN, NOW, TEN)
    assert is_silent(NOW - TEN - SECOND, NOW, TEN)


@pytest.mark.parametrize(
    ("last", "since", "judges"), [(1, 60, True), (4, 60, False), (1, 20, False), (1, 21, True), (3, 21, True)]
)
def test_only_a_good_ear_judges(last: int, since: int, judges: bool) -> None:
    pulse = Pulse(last=NOW - last * SECOND, since=NOW - since * SECOND)
    assert can_judge(pulse, NOW, TEN, TEN) is judges


def test_without_any_heartbeat_ever_nothing_is_judged() -> None:
    assert not can_judge(None, NOW, TEN, TEN)
    assert deaf_since(None, NOW) is None


def test_deafness_has_a_beginning() -> None:
    assert deaf_since(Pulse(last=NOW - SECOND, since=NOW), NOW) is None
    assert deaf_since(Pulse(last=NOW - TEN, since=NOW), NOW) == NOW - TEN


@pytest.mark.parametrize(
    ("silent", "online", "mass"), [(1, 1, False), (3, 3, False), (2, 4, False), (3, 4, True), (51, 100, True)]
)
def test_most_of_at_least_four_are_a_mass(silent: int, online: int, mass: bool) -> None:
    assert is_mass(silent, online) is mass


def test_sessions_are_unreachable_while_nobody_knows() -> None:
    assert unreachable_since(HEARD, NOW, TEN) is None
    assert unreachable_since(HEARD, NOW + 9 * SECOND, TEN) == HEARD.last_seen
    assert unreachable_since(replace(HEARD, online=False), NOW, TEN) == HEARD.last_seen
    assert unreachable_since(replace(HEARD, returned_at=NOW - SECOND), NOW, TEN) == NOW - SECOND
    assert unreachable_since(None, NOW, TEN) is None


def test_a_lease_lasts_for_a_reboot_of_all_deployments() -> None:
    assert [lease_size(n) for n in (0, 12, 13, 100)] == [50, 50, 52, 400]
