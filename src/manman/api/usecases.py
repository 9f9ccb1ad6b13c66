"""Which function does which method. A method without one does not start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from manman.api.definition import Undefined, methods

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Done:
    """A reply whose HTTP status is not the method's usual one: 200 for "nothing to do", 202 for "told its host"."""

    message: Message
    status: int


UseCase = Callable[[Any, Any, Any], Awaitable[Message | Done]]
Streaming = Callable[[Any, Any, Any], Awaitable[AsyncIterator[Message]]]


@dataclass(frozen=True, slots=True)
class Stream:
    """How a stream is opened, and what it says when it must end for a reason of ours."""

    open: Streaming
    bye: Callable[[str], Message]


use_cases: dict[str, UseCase] = {}
streams: dict[str, Stream] = {}

C = TypeVar("C", bound=Callable[..., Any])


def use_case(name: str) -> Callable[[C], C]:
    """Binds `async def f(request, caller, conn) -> message | Done` to a method. It runs inside the call's transaction."""

    def bind(function: C) -> C:
        if name in use_cases:
            raise Undefined(f"{name} has two use cases")
        use_cases[name] = function
        return function

    return bind


def stream_case(name: str, bye: Callable[[str], Message]) -> Callable[[C], C]:
    """Binds `async def f(request, caller, office) -> AsyncIterator` to a streaming method; it raises before the first message."""

    def bind(function: C) -> C:
        if name in streams:
            raise Undefined(f"{name} has two use cases")
        streams[name] = Stream(function, bye)
        return function

    return bind


def check() -> None:
    """Raises `Undefined` for the first method without a use case, or use case without a method."""
    for name, method in methods().items():
        if name not in (streams if method.streams else use_cases):
            raise Undefined(f"{name} has no use case")
    for name in [*use_cases, *streams]:
        if name not in methods():
            raise Undefined(f"{name} is no method of the definition")
