"""Who consumes which partition, and the way of a change: the rules alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from manman.domain.partitions import (
    MARK_AGAIN,
    OVERLAP,
    QUIET,
    TAKEN_OVER,
    Do,
    Generation,
    Part,
    Step,
    Wanted,
    consumed,
    is_done,
    next_step,
    owners,
    share,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def generation(number: int = 0, partitions: int = 1, **said: object) -> Generation:
    """A bound one, consumed by somebody."""
    return replace(Generation(number=number, partitions=partitions, ended=(0,) * partitions, bound_at=NOW), **said)  # type: ignore[arg-type]


def test_a_partition_belongs_to_the_replica_with_its_number_modulo_their_count() -> None:
    assert owners(5, ["c", "a", "b", "a"]) == {0: "a", 1: "b", 2: "c", 3: "a", 4: "b"}
    assert owners(1, ["b", "a"]) == {0: "a"}
    assert owners(3, []) == {}


@pytest.mark.parametrize("partitions", [1, 2, 5, 12])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_are_even_and_cover_everything_once(partitions: int, count: int) -> None:
    replicas = [f"r{n}" for n in range(count)]
    begun = [generation(3, partitions)]
    shares = [share(begun, replicas, me) for me in replicas]
    assert sum(len(one) for one in shares) == partitions
    assert frozenset().union(*shares) == {Part(3, partitions, n) for n in range(partitions)}
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_replica_that_is_not_alive_has_nothing() -> None:
    assert share([generation(0, 4)], ["a", "b"], "c") == frozenset()


def test_the_new_generation_is_consumed_only_once_every_end_of_the_old_one_was_seen() -> None:
    new = generation(1, 4)
    bound = [generation(0, 2), new]
    unbound = [replace(bound[0], unbound_at=NOW), new]
    half = [replace(unbound[0], ended=(1, 0)), new]
    whole = [replace(unbound[0], ended=(1, 1)), new]
    for waiting in (bound, unbound, half):
        assert [one.number for one in consumed(waiting)] == [0]
    assert [one.number for one in consumed(whole)] == [0, 1]
    closed = [replace(whole[0], ended=(2, 2), drained_at=NOW, closed_at=NOW), new]
    assert [one.number for one in consumed(closed)] == [1]


def test_marks_that_were_seen_before_the_old_way_ended_say_nothing() -> None:
    assert not generation(0, 1, ended=(1,)).drained


def walk(wanted: Wanted, begun: list[Generation], *, led_for: timedelta | None = None) -> list[tuple[Do, int]]:
    """All steps from here on, each noted as the store does, with marks that are consumed as soon as they are there."""
    now, made = LATER, []
    for _ in range(200):
        now += timedelta(seconds=1)
        step = next_step(wanted, begun, now, led_for=led_for)
        if step is not None:
            made.append((step.do, step.number))
            begun = noted(begun, step, now)
        elif is_done(wanted, begun):
            return made
    raise AssertionError(f"never done: {made}")


def noted(begun: list[Generation], step: Step, now: datetime) -> list[Generation]:
    """What the database says after a step."""
    if step.do is Do.BEGIN:
        return [*begun, generation(step.number, step.partitions, bound_at=None)]
    if step.do is Do.DELETE:
        return [one for one in begun if one.number != step.number]
    [one] = [one for one in begun if one.number == step.number]
    match step.do:
        case Do.BIND:
            changed = replace(one, bound_at=now)
        case Do.UNBIND:
            changed = replace(one, unbound_at=now)
        case Do.MARK:
            changed = replace(one, marked_at=now, ended=(one.round,) * one.partitions)
        case Do.NOTE_DRAINED:
            changed = replace(one, drained_at=now, marked_at=None)
        case Do.CLOSE:
            changed = replace(one, closed_at=now)
        case other:
            raise AssertionError(other)
    return [changed if each.number == one.number else each for each in begun]


def test_a_change_goes_its_way_step_by_step() -> None:
    made = walk(Wanted(partitions=4, generation=1), [generation()])
    assert made == [
        (Do.BEGIN, 1), (Do.BIND, 1), (Do.UNBIND, 0), (Do.MARK, 0), (Do.NOTE_DRAINED, 0), (Do.MARK, 0), (Do.CLOSE, 0),
        (Do.DELETE, 0),
    ]  # fmt: skip


def test_nothing_is_to_be_done_where_the_number_is_there_already() -> None:
    assert walk(Wanted(partitions=4, generation=9), [generation(2, 4)]) == []


def test_another_change_begins_only_when_nothing_of_the_first_is_left() -> None:
    middle = [generation(0, 1, unbound_at=NOW), generation(1, 4)]
    made = walk(Wanted(partitions=6, generation=3), middle)
    assert made.index((Do.DELETE, 0)) + 1 == made.index((Do.BEGIN, 3))
    assert made[-1] == (Do.DELETE, 1)
    # The queue of a single partition has one name in every generation: back to it only after it was deleted.
    back = walk(Wanted(partitions=1, generation=4), middle)
    assert back.index((Do.DELETE, 0)) < back.index((Do.BIND, 4))


def test_a_number_that_is_there_already_is_not_used_again() -> None:
    begun = next_step(Wanted(partitions=4, generation=1), [generation(2, 3)], LATER, led_for=None)
    assert begun is not None and (begun.do, begun.number, begun.partitions) == (Do.BEGIN, 3, 4)


def test_the_old_way_stays_for_a_moment_beside_the_new_one() -> None:
    begun = [generation(), generation(1, 4, bound_at=NOW)]
    wanted = Wanted(partitions=4, generation=1)
    assert next_step(wanted, begun, NOW + OVERLAP / 2, led_for=None) is None
    unbind = next_step(wanted, begun, NOW + OVERLAP, led_for=None)
    assert unbind is not None and (unbind.do, unbind.number) == (Do.UNBIND, 0)


def test_marks_that_do_not_come_back_are_set_again() -> None:
    wanted = Wanted(partitions=4, generation=1)
    begun = [generation(0, 2, unbound_at=NOW, marked_at=NOW, ended=(1, 0)), generation(1, 4)]
    assert next_step(wanted, begun, NOW + MARK_AGAIN / 2, led_for=None) is None
    again = next_step(wanted, begun, NOW + MARK_AGAIN, led_for=None)
    assert again is not None and again.do is Do.MARK


def test_queues_go_only_some_time_after_nobody_consumes_them() -> None:
    wanted = Wanted(partitions=4, generation=1)
    old = generation(0, 1, unbound_at=NOW, drained_at=NOW, closed_at=NOW, ended=(2,))
    assert next_step(wanted, [old, generation(1, 4)], NOW + QUIET / 2, led_for=None) is None
    gone = next_step(wanted, [old, generation(1, 4)], NOW + QUIET, led_for=None)
    assert gone is not None and gone.do is Do.DELETE


def test_who_took_over_changes_nothing_while_its_predecessor_may_still_be_heard() -> None:
    wanted = Wanted(partitions=4, generation=1)
    assert next_step(wanted, [generation()], LATER, led_for=TAKEN_OVER / 2) is None
    assert next_step(wanted, [generation()], LATER, led_for=TAKEN_OVER) is not None
    assert walk(wanted, [generation()], led_for=TAKEN_OVER)[-1] == (Do.DELETE, 0)


def test_a_change_is_done_when_only_the_wanted_number_is_left() -> None:
    wanted = Wanted(partitions=4, generation=1)
    assert not is_done(wanted, [generation()])
    assert not is_done(wanted, [generation(1, 4, bound_at=None)])
    assert not is_done(wanted, [generation(0, 1, closed_at=NOW), generation(1, 4)])
    assert is_done(wanted, [generation(1, 4)])
