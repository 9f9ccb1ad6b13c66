"""Sets of numbers as ranges: the inbox and the leases."""

import itertools
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from manman.domain import ranges

NUMBERS = st.sets(st.integers(1, 60))


def members(found: ranges.Ranges) -> set[int]:
    return {n for first, last in found for n in range(first, last + 1)}


@given(NUMBERS)
def test_ranges_hold_exactly_their_numbers(numbers: set[int]) -> None:
    found = ranges.of(numbers)
    assert members(found) == numbers
    assert ranges.size(found) == len(numbers)
    assert all(ranges.contains(found, n) is (n in numbers) for n in range(62))
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(found))


@given(NUMBERS, NUMBERS)
def test_merging_is_union_and_taking_away_is_difference(a: set[int], b: set[int]) -> None:
    assert ranges.merged([*ranges.of(a), *ranges.of(b)]) == ranges.of(a | b)
    assert ranges.without(ranges.of(a), b) == ranges.of(a - b)


@given(NUMBERS, st.integers(1, 61))
def test_adding_a_number_is_as_merging_it(numbers: set[int], number: int) -> None:
    assert ranges.add(ranges.of(numbers), number) == ranges.of(numbers | {number})


class Read(tuple[int, int]):
    """A range that counts how often it is looked at."""

    times = 0

    def __iter__(self) -> Iterator[int]:
        Read.times += 1
        return super().__iter__()

    def __getitem__(self, place: Any) -> Any:
        Read.times += 1
        return super().__getitem__(place)

    def __gt__(self, other: tuple[int, ...]) -> bool:
        Read.times += 1
        return super().__gt__(other)


def test_a_number_finds_its_place_among_many_ranges_in_few_steps() -> None:
    many = tuple(Read((n, n)) for n in range(1, 60_001, 2))
    for number in (2, 30_000, 30_001, 60_000, 60_001):
        Read.times = 0
        assert ranges.contains(many, number) is (number % 2 == 1 and number < 60_000)
        ranges.add(many, number)
        assert 0 < Read.times <= 50


@given(NUMBERS, st.integers(0, 70))
def test_holes_are_what_is_missing_up_to_a_number(numbers: set[int], up_to: int) -> None:
    assert members(ranges.holes(ranges.of(numbers), up_to)) == set(range(1, up_to + 1)) - numbers


@given(NUMBERS)
def test_taking_gives_the_least(numbers: set[int]) -> None:
    taken = ranges.take(ranges.of(numbers))
    if not numbers:
        assert taken is None
        return
    assert taken == (min(numbers), ranges.of(numbers - {min(numbers)}))


def test_empty_ranges_are_dropped() -> None:
    assert ranges.merged([(5, 4), (1, 2), (3, 3)]) == ((1, 3),)


@given(NUMBERS, st.integers(1, 9))
def test_fewer_ranges_hold_all_and_give_up_the_lowest_holes(numbers: set[int], most: int) -> None:
    all_ = ranges.of(numbers)
    found = ranges.fewer(all_, most)
    assert len(found) == min(len(all_), most)
    assert members(found) >= numbers
    assert found[1:] == all_[len(all_) - len(found) + 1 :]
    assert ranges.holes(found, 99)[-1:] == ranges.holes(all_, 99)[-1:]
