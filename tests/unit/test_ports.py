"""Ports: wildcards meet everything of their family, and a clash names its holder."""

import pytest

from manman.domain.ports import EVERYWHERE, Held, Holder, address_of, asked_twice, clashes, meet, taken


def a_port(port: int = 25565, protocol: str = "udp", address: str = EVERYWHERE, name: str = "game") -> Held:
    return Held(name=name, protocol=protocol, port=port, address=address)


@pytest.mark.parametrize(
    ("one", "other", "met"),
    [
        (EVERYWHERE, EVERYWHERE, True),
        (EVERYWHERE, "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("::/0", "fe80::1", True),
        ("::/0", EVERYWHERE, False),
    ],
)
def test_addresses_meet_as_the_constraint_says(one: str, other: str, met: bool) -> None:
    assert meet(one, other) is met
    assert meet(other, one) is met


def test_other_protocols_and_numbers_never_clash() -> None:
    assert clashes(a_port(), a_port(address="10.0.0.1"))
    assert not clashes(a_port(), a_port(protocol="tcp"))
    assert not clashes(a_port(), a_port(port=25566))


@pytest.mark.parametrize(
    ("text", "kept"), [("", EVERYWHERE), ("0.0.0.0", EVERYWHERE), ("::", "::/0"), ("10.0.0.1", "10.0.0.1")]
)
def test_wildcards_are_kept_as_networks(text: str, kept: str) -> None:
    assert address_of(text) == kept


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="example"):
        address_of("example")


def test_two_ports_of_one_deployment_at_the_same_place_are_named() -> None:
    said = asked_twice(a_port(name="query", address="10.0.0.1"), [a_port()])
    assert said is not None and said.code == "port_taken" and "game and query" in said.detail
    assert asked_twice(a_port(name="query", address="10.0.0.1"), [a_port(address="10.0.0.2")]) is None


def test_a_clash_names_its_holder_and_the_way_out() -> None:
    holder = Holder(deployment_id=12, deployment="survival", held=a_port())
    said = taken("box-1", a_port(address="10.0.0.1"), holder)
    assert said.detail == "port 25565/udp on host box-1 is held by deployment survival (game on all addresses)"
    assert said.facts["deployment_id"] == 12 and said.hint
