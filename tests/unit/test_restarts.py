"""What follows an end, by the policy."""

from datetime import UTC, datetime, timedelta

import pytest

from manman.domain.restarts import Again, Ending, GaveUp, GiveUp, Nothing, Policy, When, delay_of, next_after, policy_of
from manman.v1.types import RestartPolicy

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def following(
    policy: Policy, ending: Ending, before: int = 0, ran_for: timedelta = SECOND, wanted: bool = True
) -> object:
    restarts = [NOW - (n + 1) * SECOND for n in range(before)]
    return next_after(policy, ending, wanted=wanted, ran_for=ran_for, restarts=restarts, now=NOW)


@pytest.mark.parametrize(
    ("when", "ending", "expected"),
    [
        (When.ON_CRASH, Ending.CRASHED, Again(after=5 * SECOND, attempt=1, of=5)),
        (When.ON_CRASH, Ending.EXPECTED, GiveUp(GaveUp.ENDED)),
        (When.ON_CRASH, Ending.ASKED, Nothing()),
        (When.ON_CRASH, Ending.CARRIED, Again(after=timedelta(0), attempt=1, of=None)),
        (When.ALWAYS, Ending.CRASHED, Again(after=5 * SECOND, attempt=1, of=5)),
        (When.ALWAYS, Ending.EXPECTED, Again(after=5 * SECOND, attempt=1, of=5)),
        (When.ALWAYS, Ending.ASKED, Nothing()),
        (When.NEVER, Ending.CRASHED, GiveUp(GaveUp.NEVER)),
        (When.NEVER, Ending.EXPECTED, GiveUp(GaveUp.NEVER)),
        (When.NEVER, Ending.CARRIED, Again(after=timedelta(0), attempt=1, of=None)),
    ],
)
def test_each_policy_after_each_ending(when: When, ending: Ending, expected: object) -> None:
    assert following(Policy(when=when), ending) == expected


def test_a_stop_that_came_meanwhile_ends_it() -> None:
    assert following(Policy(when=When.ALWAYS), Ending.CRASHED, wanted=False) == Nothing()


def test_the_delay_doubles_to_its_bound() -> None:
    seconds = [delay_of(Policy(), n).total_seconds() for n in range(8)]
    assert seconds == [5, 10, 20, 40, 80, 160, 300, 300]
    assert delay_of(Policy(), 10_000) == 5 * MINUTE


def test_the_sixth_crash_within_the_window_gives_up() -> None:
    assert following(Policy(), Ending.CRASHED, before=4) == Again(after=80 * SECOND, attempt=5, of=5)
    assert following(Policy(), Ending.CRASHED, before=5) == GiveUp(GaveUp.LIMIT)
    assert following(Policy(limit=None), Ending.CRASHED, before=50) == Again(after=5 * MINUTE, attempt=51, of=None)


def test_ten_good_minutes_forget_what_was() -> None:
    assert following(Policy(), Ending.CRASHED, before=5, ran_for=10 * MINUTE) == Again(
        after=5 * SECOND, attempt=1, of=5
    )


def test_a_machine_that_restarted_brings_back_only_what_starts_on_boot() -> None:
    assert following(Policy(start_on_boot=False), Ending.CARRIED) == GiveUp(GaveUp.NOT_ON_BOOT)


def test_a_launch_policy_is_read_with_its_defaults() -> None:
    assert policy_of(None) == Policy()
    read = policy_of(RestartPolicy(policy="always", delay="1s", max_delay="1m30s", limit=2, window="1h"), False)
    assert read == Policy(
        when=When.ALWAYS, delay=SECOND, max_delay=90 * SECOND, limit=2, window=60 * MINUTE, start_on_boot=False
    )
    with pytest.raises(ValueError, match="soon"):
        policy_of(RestartPolicy(delay="soon"))
