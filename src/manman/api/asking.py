"""What a door hands to `call`, and what it gets back."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message

from manman.api.definition import Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One call as a door understood it. `credential` is the bearer's word, `address` where it came from."""

    method: Method
    request: Message
    credential: str | None = None
    idempotency_key: str | None = None
    address: str = ""
    trace_id: str = ""
    timeout: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the call gave: the reply, its HTTP status, and whether it is the answer of an earlier twin."""

    message: Message
    status: int
    replayed: bool = False
