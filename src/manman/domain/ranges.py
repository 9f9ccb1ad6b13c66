"""Sets of whole numbers as ascending, disjoint, inclusive ranges: leases of session ids, and settled sequence numbers."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence

Range = tuple[int, int]
Ranges = tuple[Range, ...]


def of(numbers: Iterable[int]) -> Ranges:
    """The ranges of some numbers, in any order, repeated or not."""
    return merged([(n, n) for n in numbers])


def merged(ranges: Iterable[Sequence[int]]) -> Ranges:
    """Ranges in any order, overlapping or touching, as the least set of ranges. Empty ones (last below first) are dropped."""
    found: list[Range] = []
    for first, last in sorted((r[0], r[1]) for r in ranges if r[0] <= r[1]):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def contains(ranges: Ranges, number: int) -> bool:
    """Whether the number lies in one of them."""
    place = bisect_right(ranges, (number, math.inf))
    return place > 0 and number <= ranges[place - 1][1]


def add(ranges: Ranges, number: int) -> Ranges:
    """The set and one number more. Finding its place takes no longer where there are many ranges."""
    place = bisect_right(ranges, (number, math.inf))
    first = last = number
    before, after = place, place
    if place and ranges[place - 1][1] >= number - 1:
        before = place - 1
        first, last = ranges[before][0], max(ranges[before][1], number)
    if place < len(ranges) and ranges[place][0] == number + 1:
        after = place + 1
        last = ranges[place][1]
    return (*ranges[:before], (first, last), *ranges[after:])


def fewer(ranges: Ranges, most: int) -> Ranges:
    """The set in at most so many ranges, at least one: what is missing between the lowest ones counts as held."""
    over = len(ranges) - most
    return ranges if over <= 0 else ((ranges[0][0], ranges[over][1]), *ranges[over + 1 :])


def size(ranges: Ranges) -> int:
    """How many numbers they hold."""
    return sum(last - first + 1 for first, last in ranges)


def without(ranges: Ranges, numbers: Iterable[int]) -> Ranges:
    """The set less some numbers."""
    left = list(ranges)
    for number in numbers:
        for place, item in enumerate(left):
            if item[0] <= number <= item[1]:
                left[place : place + 1] = _less(item, number)
                break
    return tuple(left)


def _less(item: Range, number: int) -> list[Range]:
    first, last = item
    if not first <= number <= last:
        return [item]
    return [r for r in ((first, number - 1), (number + 1, last)) if r[0] <= r[1]]


def take(ranges: Ranges) -> tuple[int, Ranges] | None:
    """The least number and what is left; None when the set is empty."""
    if not ranges:
        return None
    number = ranges[0][0]
    return number, without(ranges, [number])


def holes(ranges: Ranges, up_to: int) -> Ranges:
    """What is missing of 1 … `up_to`."""
    missing: list[Range] = []
    next_ = 1
    for first, last in ranges:
        if first > up_to:
            break
        if first > next_:
            missing.append((next_, min(first - 1, up_to)))
        next_ = max(next_, last + 1)
    if next_ <= up_to:
        missing.append((next_, up_to))
    return tuple(missing)
