"""The first game avoids ports that another program of this machine holds."""

import socket

from manman.cli.up_first import free_ports
from manman.v1 import types


def a_config(*ports: types.ConfigPort) -> types.GameConfig:
    return types.GameConfig(spec=types.GameConfigSpec(ports=list(ports)))


def test_a_free_default_is_left_to_the_panel() -> None:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        number = probe.getsockname()[1]
    assert free_ports(a_config(types.ConfigPort(name="game", protocol="tcp", default=number))) == []


def test_ports_that_share_a_number_move_together_when_one_of_them_is_held() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("0.0.0.0", 0))
        number = holder.getsockname()[1]
        wishes = free_ports(
            a_config(
                types.ConfigPort(name="game", protocol="tcp", default=number),
                types.ConfigPort(name="query", protocol="udp", default=number),
            )
        )
    assert [wish["name"] for wish in wishes] == ["game", "query"]
    assert wishes[0]["port"] == wishes[1]["port"] > number
