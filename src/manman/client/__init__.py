"""Public: the typed API client (REST). One class, a method for each method of the proto definition.

    async with Client("http://127.0.0.1:8080", token) as client:          # or Client.discover(state_dir)
        page = await client.list_sessions(filter="status = (running, starting)")
        session = await client.start_session(deployment_id=7)
        async for said in client.watch_events(after=page.watch_from): ...

Methods are those of `manman.v1.calls.Calls`, named like the RPC in snake case; path variables are positional, everything
else is by keyword. Replies are the frozen structs of `manman.v1.types` (`msgspec.to_builtins(reply)` is the JSON again).
`async for session in client.each(client.list_sessions, filter=…)` walks all pages. Streams resume by themselves after a lost
connection, by cursor or line. Changing methods send an `Idempotency-Key`, so that a repeat after a lost reply does nothing twice.

What may go wrong: `ApiError` (the API said no: `code`, `status`, `detail`, `hint`, `facts`, `errors`) or
`errors.Unavailable` (nobody answers, or 503).
"""

from manman.client.errors import ApiError
from manman.client.http import Client
from manman.client.local import LocalFile
from manman.v1 import types

__all__ = ["ApiError", "Client", "LocalFile", "types"]
