"""Consoles that are not the terminal: a TCP port on this machine that wants a password first, as Teeworlds' is.

What the game answers is in its log too, which is the terminal's; here is only written.
"""

from __future__ import annotations

import asyncio

from manman.errors import Unavailable
from manman.host import places
from manman.host.runtimes import NotLaunched
from manman.v1.types import Launch

LOOPBACK = "127.0.0.1"
DEADLINE = 5.0
ECHO = 2.0  # seconds that the game gets to read the line and to close its end


def is_by_port(launch: Launch | None) -> bool:
    """Whether lines go to a port of the game instead of its terminal."""
    return launch is not None and launch.console is not None and launch.console.kind == "tcp"


def has_none(launch: Launch | None) -> bool:
    """Whether the game reads no console at all."""
    return launch is not None and launch.console is not None and launch.console.kind == "none"


async def type_line(launch: Launch, line: str) -> str | None:
    """Gives a line to the console port of the launch; None, or why it was not taken."""
    console = launch.console
    assert console is not None
    try:
        port = places.port_of(launch, console.port).port
        async with asyncio.timeout(DEADLINE):
            await _talk(port, console.password, line)
    except NotLaunched as error:
        return error.detail
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        return f"the game's console on port {port} does not answer: {str(error) or 'it took too long'}"
    except Unavailable as error:
        return error.detail
    return None


async def _talk(port: int, password: str, line: str) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        await reader.readuntil(b":")  # "Enter password:"
        writer.write(password.encode() + b"\n")
        answer = await _sentence(reader)
        if b"uccess" not in answer:
            raise Unavailable(f"the game's console refuses: {answer.decode(errors='replace').strip()}")
        writer.write("".join(c for c in line if c.isprintable()).encode() + b"\n")
        await writer.drain()
        # The end of ours is told first and the game's awaited: many a game dies of writing to a console that is gone.
        writer.write_eof()
        try:
            async with asyncio.timeout(ECHO):
                await reader.read(-1)
        except (OSError, TimeoutError):
            pass  # the line was written
    finally:
        writer.close()


async def _sentence(reader: asyncio.StreamReader) -> bytes:
    """The next line with words in it."""
    while True:
        said = (await reader.readuntil(b"\n")).strip(b"\0\r\n ")
        if said:
            return said
