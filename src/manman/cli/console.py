"""A session's console on a terminal: lines with their numbers, gaps named, and input for `attach`."""

import asyncio
import re
import sys

from manman.cli import output
from manman.client import Client
from manman.errors import ManManError
from manman.v1 import types

# A game must not be able to move the cursor, set titles or ask the terminal questions: colours pass, all else is dropped.
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
OTHER = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    """A console line without control characters and escape sequences, but for colours."""
    parts, last = [], 0
    for found in COLOUR.finditer(text):
        parts += [OTHER.sub("", text[last : found.start()]), found.group()]
        last = found.end()
    parts.append(OTHER.sub("", text[last:]))
    coloured = len(parts) > 1
    return "".join(parts) + ("\x1b[0m" if coloured else "")


def show_batch(batch: types.LogBatch, expected: int | None, as_json_: bool) -> int | None:
    """Print a batch; a jump in the numbers is said. Returns the number that should come next."""
    for line in batch.lines:
        if as_json_:
            output.show_json_line(line)
        else:
            if expected is not None and line.n > expected:
                print(f"------ {line.n - expected} lines missing ({expected}–{line.n - 1})")
            print(f"{line.n:>6} {harmless(line.text)}")
        expected = line.n + 1
    sys.stdout.flush()
    return expected


async def print_lines(client: Client, session_id: int, first: int, *, follow: bool, as_json: bool) -> None:
    """Lines from `first` on; without `follow` it ends when everything that is there has been printed."""
    expected: int | None = max(first, 1)
    async for batch in client.stream_logs(session_id, from_=max(first, 1), until_now=not follow):
        expected = show_batch(batch, expected, as_json)


async def attach_to(client: Client, session: types.Session) -> None:
    """Follow the console and send what is typed, a line at a time, until Ctrl-D or the end of the session."""
    print(
        f"Attached to session {session.session_id} ({session.deployment}). Ctrl-D leaves; the game runs on.",
        file=sys.stderr,
    )
    typed: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), lambda: typed.put_nowait(sys.stdin.readline() or None))
    follow = asyncio.create_task(print_lines(client, session.session_id, 1, follow=True, as_json=False))
    try:
        await _send_typed(client, session.session_id, typed, follow)
    finally:
        loop.remove_reader(sys.stdin.fileno())
        follow.cancel()
        await asyncio.gather(follow, return_exceptions=True)


async def _send_typed(
    client: Client, session_id: int, typed: asyncio.Queue[str | None], follow: asyncio.Task[None]
) -> None:
    while not follow.done():
        waiting = asyncio.create_task(typed.get())
        await asyncio.wait({waiting, follow}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            break
        line = waiting.result()
        if line is None:
            return
        try:
            await client.send_input(session_id, line=line.rstrip("\r\n"))
        except ManManError as error:
            print(f"manman: {error.detail}", file=sys.stderr)
    ended = None if follow.cancelled() else follow.exception()
    if isinstance(ended, ManManError):
        output.fail(ended)
