"""What the agent may be told by its environment."""

from typing import Annotated

import msgspec


def _says(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `manman host`; field names in capitals are the variables."""

    state_dir: Annotated[str | None, _says("Folder of everything that this machine keeps.")] = None
    stale_host_threshold_seconds: Annotated[float, _says("After this much silence a host counts as offline.")] = 10.0
    heartbeat_seconds: Annotated[float, _says("How often the agent beats.")] = 3.0
    game_uids: Annotated[str, _says("Numbers that games run under when the agent is root, as first-last.")] = (
        "60578-61183"
    )
    host_bind_roots: Annotated[
        tuple[str, ...], _says("Folders of the machine that games may be given; none: only their own data.")
    ] = ()
    host_address: Annotated[str | None, _says("Address that players reach this machine under.")] = None
    prefetch: Annotated[int, _says("Most messages received and not yet acknowledged.")] = 500
    agent_rabbitmq_url: Annotated[
        str | None, _says("Broker of a joined agent, if it differs from what joining answered.")
    ] = None
    health_check_port: Annotated[int | None, _says("Port of the agent's probes on loopback; none: no port.")] = None
