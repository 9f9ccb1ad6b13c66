"""The one way of every call: authenticate → permit → for a change, in one transaction: idempotency row → use case → audit row.

Doors call `call` and `open_stream`; nothing else runs a use case. What is refused is raised: `RefusedError`, or an error of
`manman.errors`; the transaction has then left nothing behind.
"""

from __future__ import annotations

import asyncio

from google.protobuf.message import Message

from manman.api import auditing, usecases
from manman.api.asking import Answer, Ask
from manman.api.authenticating import authenticate, permit
from manman.api.callers import Caller
from manman.api.office import Office
from manman.api.streaming import open_stream
from manman.api.usecases import Done
from manman.errors import RefusedError
from manman.observability import acts, get_logger, observe
from manman.store import requests
from manman.store.pool import Connection

log = get_logger(__name__)
LONGEST_KEY = 255


async def call(office: Office, ask: Ask) -> Answer:
    """Does one call and answers; raises what is told to the caller."""
    refusal: RefusedError | None = None
    answer: Answer | None = None
    with observe(acts.CALL, method=ask.method.name, trace_id=ask.trace_id) as seen:
        try:
            async with asyncio.timeout(ask.timeout):
                answer = await (_change(office, ask) if ask.method.changes else _read(office, ask))
        except RefusedError as error:
            refusal = error
            seen.add(refused=error.refused_code)
    if refusal is not None:
        if refusal.refused_code in ("permission_denied", "unauthenticated"):
            log.info("call_refused", method=ask.method.name, code=refusal.refused_code, address=ask.address)
        raise refusal
    assert answer is not None
    return answer


async def _read(office: Office, ask: Ask) -> Answer:
    async with office.pool.acquire() as conn:
        caller = await _admit(office, ask, conn)
        return _answer(ask, await usecases.use_cases[ask.method.name](ask.request, caller, conn))


async def _change(office: Office, ask: Ask) -> Answer:
    async with office.pool.transaction() as conn:
        caller = await _admit(office, ask, conn)
        key = _key(ask, caller)
        if key is not None:
            earlier = await _earlier(ask, caller, key, conn)
            if earlier is not None:
                return earlier
        answer = _answer(ask, await usecases.use_cases[ask.method.name](ask.request, caller, conn))
        await auditing.write(ask, caller, answer.message, conn)
        if key is not None:
            kept = auditing.without_secrets(answer.message).SerializeToString()
            await requests.finish(conn, caller.key, key, answer.status, kept)
        return answer


async def _admit(office: Office, ask: Ask, conn: Connection) -> Caller:
    caller = await authenticate(office, ask, conn)
    office.rates.take(caller.key or caller.address)
    permit(ask, caller)
    return caller


def _key(ask: Ask, caller: Caller) -> str | None:
    key = ask.idempotency_key
    if not key or not caller.key:
        return None
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise RefusedError("invalid_argument", f"an idempotency key has at most {LONGEST_KEY} printable characters")
    return key


async def _earlier(ask: Ask, caller: Caller, key: str, conn: Connection) -> Answer | None:
    sent = ask.request.SerializeToString(deterministic=True)
    digest = await requests.digest(conn, ask.method.name.encode() + b"\0" + sent)
    earlier = await requests.begin(conn, caller.key, key, ask.method.name, digest)
    if earlier is None:
        return None
    if not earlier.same:
        raise RefusedError("key_reused", f"the idempotency key {key!r} belongs to another request; choose a new one")
    return Answer(message=ask.method.reply.FromString(earlier.reply), status=earlier.status, replayed=True)


def _answer(ask: Ask, given: Message | Done) -> Answer:
    if isinstance(given, Done):
        return Answer(message=given.message, status=given.status)
    return Answer(message=given, status=ask.method.success[0])


def too_large(most: int) -> RefusedError:
    """`too_large`, for a body of more than so many bytes."""
    return RefusedError("too_large", f"the body is larger than {most:,} bytes")


__all__ = ["call", "open_stream", "too_large"]
