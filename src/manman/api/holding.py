"""Ports of a deployment: named ones at their number, all others wherever the host has room. A clash names the holder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from manman.api.refusals import Fault, InvalidRequest
from manman.domain import ports as ports_rules
from manman.domain.outcomes import Refused
from manman.domain.ports import EVERYWHERE, Held, Holder, address_of
from manman.errors import RefusedError
from manman.store import deployment_changes
from manman.store.pool import Connection
from manman.v1 import deployments_pb2 as pb
from manman.v1.types import ConfigPort


def wished(ports: Sequence[ConfigPort], wishes: Iterable[pb.PortWish]) -> dict[str, pb.PortWish]:
    """The wishes by port name; raises `invalid_argument` for a name that the config does not have, or a bad number or address."""
    names = [port.name for port in ports]
    faults, found = [], dict[str, pb.PortWish]()
    for index, wish in enumerate(wishes):
        at = f"/ports/{index}"
        if wish.name not in names:
            faults.append(Fault(pointer=f"{at}/name", detail=f"is no port of the config; there is {', '.join(names)}"))
        if wish.name in found:
            faults.append(Fault(pointer=f"{at}/name", detail=f"{wish.name} stands twice"))
        if not 0 <= wish.port <= 65535:
            faults.append(Fault(pointer=f"{at}/port", detail="must be between 1 and 65535"))
        try:
            address_of(wish.address)
        except ValueError:
            faults.append(Fault(pointer=f"{at}/address", detail=f"must be an IP address, not {wish.address!r}"))
        found[wish.name] = wish
    if faults:
        raise InvalidRequest(faults)
    return found


async def chosen(
    conn: Connection, host: Any, ports: Sequence[ConfigPort], wishes: dict[str, pb.PortWish]
) -> list[Held]:
    """The ports that a deployment gets on a locked host; raises `port_taken` (with the holder) or `ports_exhausted`.

    Ports of a config that have one default number, TCP and UDP, get one number: games expect them together.
    """
    held: list[Held] = []
    numbers: dict[int, int] = {}
    # What is asked for by number comes first, so that no automatic choice takes it.
    for port in sorted(ports, key=lambda p: not (p.name in wishes and wishes[p.name].port)):
        wish = wishes.get(port.name) or pb.PortWish(name=port.name)
        address = address_of(wish.address)
        together = [p.protocol for p in ports if p is port or (port.default and p.default == port.default)]
        number = wish.port or numbers.get(port.default or 0)
        if not number:
            number = await _anywhere(conn, host, port, together, address, held)
        one = Held(name=port.name, protocol=port.protocol, port=number, address=address)
        await must_be_free(conn, host, one, held)
        held.append(one)
        if port.default:
            numbers.setdefault(port.default, number)
    return held


async def must_be_free(conn: Connection, host: Any, wanted: Held, held: Sequence[Held]) -> None:
    """Raises `port_taken`, naming who holds it: another deployment, or another port of the same one."""
    twice = ports_rules.asked_twice(wanted, held)
    if twice is not None:
        raise refused(twice)
    holder = await deployment_changes.holder(conn, host["id"], wanted)
    if holder is not None:
        raise taken(host["name"], wanted, holder)


def taken(host: str, wanted: Held, row: Any) -> RefusedError:
    """`port_taken` for the row of who holds it."""
    address = row["address"] if row["mask"] else EVERYWHERE
    held = Held(name=row["name"], protocol=wanted.protocol, port=wanted.port, address=address)
    holder = Holder(deployment_id=row["deployment"], deployment=row["deployment_name"], held=held)
    return refused(ports_rules.taken(host, wanted, holder))


def refused(why: Refused) -> RefusedError:
    """A decision that must roll the transaction back."""
    return RefusedError(why.code, why.detail, hint=why.hint, **why.facts)


async def _anywhere(
    conn: Connection, host: Any, port: ConfigPort, protocols: Sequence[str], address: str, held: Sequence[Held]
) -> int:
    mine = [p.port for p in held]
    span = (host["port_first"], host["port_last"])
    if port.default and port.default not in mine:
        usual = await deployment_changes.free_port(
            conn, host["id"], protocols, port.default, port.default, address, mine
        )
        if usual is not None:
            return usual
    number = await deployment_changes.free_port(conn, host["id"], protocols, *span, address, mine)
    if number is None:
        raise RefusedError(
            "ports_exhausted",
            f"host {host['name']} has no free {'+'.join(protocols)} port in {span[0]}–{span[1]} for {port.name}",
            hint="widen the host's port range, or name a port",
        )
    return number
