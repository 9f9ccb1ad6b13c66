"""Where players join: of a port as it is held, and of the addresses of its host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from manman.v1.types import Endpoint

LOOPBACK = "127.0.0.1"
CONSOLE = "console"
WILDCARDS = frozenset({"", "0.0.0.0", "0.0.0.0/0", "::", "::/0"})
_VARIABLE = re.compile(r"\$\{(address|port|name)\}")


def join_address(bound: str, host_addresses: Sequence[str]) -> str:
    """The address that players use: the one that is bound, else the best one of the host, else this machine."""
    if bound not in WILDCARDS:
        return bound
    return host_addresses[0] if host_addresses else LOOPBACK


def join_url(template: str | None, name: str, address: str, port: int) -> str:
    """What opens the game: `${address}`, `${port}` and `${name}` replaced literally, once; empty without a template."""
    if not template:
        return ""
    shown = f"[{address}]" if ":" in address else address
    values = {"address": shown, "port": str(port), "name": name}
    return _VARIABLE.sub(lambda found: values[found[1]], template)


def endpoint(
    name: str, protocol: str, bound: str, port: int, host_addresses: Sequence[str], template: str | None, *, main: bool
) -> Endpoint:
    """One endpoint; only the main port (the first of its config, or the one called "game") gets the `join_url`."""
    address = join_address(bound, host_addresses)
    url = join_url(template, name, address, port) if main else ""
    return Endpoint(name=name, protocol=protocol, address=address, port=port, join_url=url)


def for_players(names: Iterable[str]) -> list[str]:
    """The ports that players are told of: all but a console's, which only this machine can reach."""
    return [name for name in names if name != CONSOLE]


def main_port(names: Sequence[str]) -> str | None:
    """Which port players join at: "game", else the first by name."""
    return "game" if "game" in names else min(names, default=None)
