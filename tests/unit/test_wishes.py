"""The host's side of the wish: the highest version counts, a version is good for one begin, a start is fenced."""

from hypothesis import given
from hypothesis import strategies as st

from manman.domain.ids import SessionId
from manman.domain.sessions import Desired
from manman.domain.wishes import (
    EPOCH,
    Agreed,
    Begin,
    Cause,
    EndLive,
    Held,
    Live,
    RefuseStart,
    TakeStart,
    Wish,
    agree,
    begun,
    ended,
    given_back,
    heard,
    judge_start,
)


def wanted(version: int, fresh: int = 0) -> Wish:
    return Wish(desired=Desired.RUNNING, version=version, fresh_version=fresh)


def unwanted(version: int) -> Wish:
    return Wish(desired=Desired.STOPPED, version=version)


def test_the_highest_version_counts_whatever_the_order() -> None:
    held = heard(heard(Held(), unwanted(3)), wanted(2))
    assert held.wish == unwanted(3)


def test_a_wish_of_a_later_epoch_beats_every_older_one() -> None:
    held = heard(Held(), wanted(EPOCH - 1))
    assert heard(held, unwanted(EPOCH + 1)).wish == unwanted(EPOCH + 1)


def test_a_version_is_good_for_one_begin() -> None:
    held = heard(Held(), wanted(5))
    assert agree(held) == Begin(Cause.WISH)
    after = ended(begun(held, SessionId(1), 1))
    assert agree(after) == Agreed(forget=False)
    assert agree(heard(after, wanted(6))) == Begin(Cause.WISH)


def test_end_gives_the_version_back() -> None:
    held = ended(begun(heard(Held(), wanted(5)), SessionId(1), 1))
    assert agree(given_back(held)) == Begin(Cause.WISH)


def test_a_restart_ends_what_began_below_it_and_begins_the_next() -> None:
    held = heard(begun(heard(Held(), wanted(1)), SessionId(1), 1), wanted(2, fresh=2))
    assert held.live is not None
    assert agree(held) == EndLive(held.live)
    assert agree(ended(held)) == Begin(Cause.RESTART)


def test_a_stop_that_crosses_a_restart_stops_the_new_session_too() -> None:
    held = begun(heard(Held(), wanted(2, fresh=2)), SessionId(9), 4)
    crossed = heard(held, unwanted(3))
    assert agree(crossed) == EndLive(Live(session_id=SessionId(9), run=4, begun_version=2))
    assert agree(ended(crossed)) == Agreed(forget=True)


def test_a_start_with_a_higher_run_ends_what_lives_and_begins() -> None:
    held = begun(heard(Held(), wanted(1)), SessionId(1), 1)
    verdict = judge_start(held, wanted(2), run=2)
    assert isinstance(verdict, TakeStart)
    assert verdict.ends == held.live
    assert verdict.held.version == 2


def test_a_start_at_or_below_the_last_run_is_refused_but_its_wish_is_heard() -> None:
    held = begun(heard(Held(), wanted(1)), SessionId(1), 3)
    verdict = judge_start(held, wanted(2), run=3)
    assert isinstance(verdict, RefuseStart)
    assert (verdict.reason, verdict.held.version) == ("superseded", 2)


def test_a_start_that_a_later_stop_overtook_is_refused() -> None:
    verdict = judge_start(heard(Held(), unwanted(7)), wanted(6), run=9)
    assert isinstance(verdict, RefuseStart)
    assert verdict.held.wish == unwanted(7)


@given(st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1), st.randoms())
def test_any_order_of_the_same_wishes_ends_in_the_same_one(said: list[tuple[int, bool]], order: object) -> None:
    wishes = {v: wanted(v) if on else unwanted(v) for v, on in said}
    shuffled = list(wishes.values()) * 2
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    held = Held()
    for wish in shuffled:
        held = heard(held, wish)
    assert held.wish == wishes[max(wishes)]
