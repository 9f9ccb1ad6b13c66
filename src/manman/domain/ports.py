"""Ports that deployments hold: which addresses meet, and how a clash is told. The database keeps the same rule as a constraint."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from manman.domain.outcomes import Refused

EVERYWHERE = "0.0.0.0/0"
EVERYWHERE_6 = "::/0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A port that is held or wanted: `address` is an address or a network, "0.0.0.0/0" for all of IPv4."""

    name: str
    protocol: str
    port: int
    address: str = EVERYWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a port: the deployment, and what it calls the port."""

    deployment_id: int
    deployment: str
    held: Held


def address_of(text: str) -> str:
    """A local address as it is kept: empty and the wildcards are networks. Raises `ValueError` for what is no address."""
    if text in ("", "0.0.0.0"):
        return EVERYWHERE
    if text == "::":
        return EVERYWHERE_6
    return str(ipaddress.ip_address(text))


def meet(one: str, other: str) -> bool:
    """Whether two addresses or networks have an address in common; the families never meet."""
    first, second = ipaddress.ip_network(one), ipaddress.ip_network(other)
    return first.version == second.version and first.overlaps(second)


def clashes(one: Held, other: Held) -> bool:
    """Whether two ports of one host cannot both be bound."""
    return (one.port, one.protocol) == (other.port, other.protocol) and meet(one.address, other.address)


def asked_twice(wanted: Held, others: Sequence[Held]) -> Refused | None:
    """`port_taken` where another port of the same deployment wants the same."""
    twin = next((other for other in others if clashes(wanted, other)), None)
    if twin is None:
        return None
    return Refused(
        "port_taken", f"port {wanted.port}/{wanted.protocol} is asked for twice, by {twin.name} and {wanted.name}"
    )


def taken(host: str, wanted: Held, holder: Holder) -> Refused:
    """`port_taken`, which names who holds it: port 25565/udp on host box-1 is held by deployment …"""
    everywhere = holder.held.address in (EVERYWHERE, EVERYWHERE_6)
    where = "on all addresses" if everywhere else f"on {holder.held.address}"
    return Refused(
        "port_taken",
        f"port {wanted.port}/{wanted.protocol} on host {host} is held by deployment {holder.deployment} "
        f"({holder.held.name} {where})",
        hint="choose another port, or delete that deployment",
        facts={"deployment_id": holder.deployment_id, "port": wanted.port, "protocol": wanted.protocol},
    )
