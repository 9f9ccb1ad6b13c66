"""Values of secret parameters: people write them, hosts get them, nobody reads them back.

Stored parameters hold `{"secret": version}` in their place; the text lies sealed in a table of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manman.api.callers import Caller
from manman.api.office import Office
from manman.errors import RefusedError
from manman.store import secrets
from manman.store.pool import Connection
from manman.v1.types import GameConfigSpec

MASK = "********"


def is_reference(value: Any) -> bool:
    """Whether a stored value stands for a secret."""
    return isinstance(value, Mapping) and "secret" in value


def plain_values(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are no secrets."""
    return {name: value for name, value in stored.items() if not is_reference(value)}


def shown(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Stored values as people see them."""
    return {name: MASK if is_reference(value) else value for name, value in stored.items()}


def place(deployment: int, name: str) -> str:
    """What a secret is bound to."""
    return f"secrets/deployment/{deployment}/{name}"


async def opened(conn: Connection, deployment: int, stored: Mapping[str, Any], office: Office) -> dict[str, str]:
    """The plain texts of a deployment's secrets; raises `Unreadable`."""
    if not any(is_reference(value) for value in stored.values()):
        return {}
    sealed = await secrets.sealed_of(conn, deployment)
    keys = _keys(office)
    return {name: keys.open(text, place(deployment, name)) for name, text in sealed.items()}


def _keys(office: Office) -> secrets.Keys:
    if office.keys is None:
        raise RefusedError(
            "config_invalid",
            "this installation has no key for secrets",
            hint=f"set {secrets.SETTING} to a file with a line <id>:<32 bytes in base64>",
        )
    return office.keys


async def stored(
    conn: Connection,
    deployment: int,
    spec: GameConfigSpec,
    given: Mapping[str, Any],
    caller: Caller,
) -> dict[str, Any]:
    """The values as they are stored: secrets are sealed into their table; a mask keeps the one that is there."""
    secret = {p.name for p in spec.parameters if p.type == "secret"}
    kept: dict[str, Any] = {name: value for name, value in given.items() if name not in secret and value is not None}
    present = await secrets.sealed_of(conn, deployment)
    for name in secret & given.keys():
        if given[name] is None or (given[name] == MASK and name not in present):
            continue
        if given[name] == MASK:
            kept[name] = {"secret": 0}
            continue
        sealed = _keys(caller.office).seal(str(given[name]), place(deployment, name), caller.office.chance)
        kept[name] = {"secret": await secrets.put(conn, deployment, name, sealed, caller.said)}
    await secrets.drop_others(conn, deployment, [n for n, v in kept.items() if is_reference(v)])
    return kept
