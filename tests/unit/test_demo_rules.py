"""The demo game's rules and its answers to server browsers, without a process."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from manman.demo.arena import HEALTH, MOST, ROOMS, SHORT, Arena
from manman.demo.query import Shown, challenge, reply

SECRET = b"s" * 16
ALICE = ("127.0.0.1", 4711)
SHOWN = Shown("Höhle", "arena", "1.0", 27015, 16, [("alice", 3, 1.5), ("bob", 0, 0.5)])
INFO = b"\xff\xff\xff\xffTSource Engine Query\0"


def an_arena(*names: str, hurt: int = 4) -> Arena:
    arena = Arena(lambda low, high: hurt)
    for name in names:
        arena.join(name, 0.0)
    return arena


def heard(arena: Arena, name: str, line: str) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for each in arena.act(name, line):
        for to in each.to:
            texts.setdefault(to, []).append(each.text)
    return texts


def test_two_players_hear_each_other() -> None:
    arena = an_arena("alice", "bob")
    assert heard(arena, "alice", "say hello") == {"alice": ["alice: hello"], "bob": ["alice: hello"]}


def test_who_walks_is_seen_leaving_and_coming() -> None:
    arena = an_arena("alice", "bob", "carol")
    heard(arena, "carol", "go north")
    texts = heard(arena, "alice", "n")
    assert texts["bob"] == ["alice goes north."]
    assert texts["carol"] == ["alice comes in."]


def test_who_falls_wakes_at_the_gate_and_the_other_scores() -> None:
    arena = an_arena("alice", "bob")
    for name in ("alice", "bob"):
        heard(arena, name, "north")
    for _ in range(3):
        texts = heard(arena, "alice", "hit BOB")
    assert texts["alice"] == ["bob falls to alice, who has won 1."]
    assert (arena.players["bob"].room, arena.players["bob"].health) == ("gate", HEALTH)
    assert arena.scores == {"alice": 1, "bob": 0}


def test_nobody_is_hit_at_the_gate_or_from_another_room() -> None:
    arena = an_arena("alice", "bob")
    assert "Not at the gate" in heard(arena, "alice", "hit bob")["alice"][0]
    heard(arena, "alice", "north")
    assert "no bob to hit here" in heard(arena, "alice", "hit bob")["alice"][0]


def test_names_are_taken_once_whatever_their_case_and_the_arena_fills() -> None:
    arena = an_arena("Alice")
    assert arena.refusal("alice") is not None
    assert arena.refusal("a b") is not None
    assert arena.refusal("") is not None
    assert arena.refusal("bob") is None
    assert an_arena(*(f"p{n}" for n in range(MOST))).refusal("one-more") == "The arena is full."


def test_every_way_leads_back() -> None:
    for room, (_, ways) in ROOMS.items():
        for target in ways.values():
            assert room in ROOMS[target][1].values()
    assert {way for _, ways in ROOMS.values() for way in ways} <= set(SHORT.values())


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.text(max_size=20) | st.sampled_from(["n", "e", "hit b", "rest"]))
    )
)
@settings(max_examples=30)
def test_nothing_that_is_typed_upsets_the_arena(acts: list[tuple[str, str]]) -> None:
    arena = an_arena("a", "b")
    for name, line in acts:
        arena.act(name, line)
    assert all(0 < each.health <= HEALTH for each in arena.players.values())


def test_a_query_is_answered_to_who_repeats_the_challenge_only() -> None:
    first = reply(INFO, SECRET, ALICE, SHOWN)
    assert first is not None
    assert first[:5] == b"\xff\xff\xff\xffA"
    assert len(first) <= len(INFO), "no amplifier"
    info = reply(INFO + first[5:], SECRET, ALICE, SHOWN)
    assert info is not None
    assert info[4:6] == b"I\x11"
    name, map_, _, _ = info[6:].split(b"\0", 4)[:4]
    assert (name.decode(), map_) == ("Höhle", b"arena")
    again = reply(INFO + first[5:], SECRET, ("127.0.0.1", 4712), SHOWN)
    assert again is not None
    assert again[4:5] == b"A", "another sender's challenge is none"


def test_players_are_told_with_score_and_time() -> None:
    right = challenge(SECRET, ALICE)
    players = reply(b"\xff\xff\xff\xffU" + right, SECRET, ALICE, SHOWN)
    assert players == b"\xff\xff\xff\xffD\x02\x00alice\0" + struct.pack("<lf", 3, 1.5) + b"\x01bob\0" + struct.pack(
        "<lf", 0, 0.5
    )


@given(st.binary(max_size=64))
@settings(max_examples=50)
def test_any_datagram_is_answered_or_ignored(data: bytes) -> None:
    said = reply(data, SECRET, ALICE, SHOWN)
    assert said is None or said.startswith(b"\xff\xff\xff\xffA")
