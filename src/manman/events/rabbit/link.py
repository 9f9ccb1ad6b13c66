"""Connections and channels as awaitables, and pika's failures as ours."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import pika
from pika import exceptions as failures
from pika.channel import Channel

from manman.errors import BadSetting, ManManError, OutOfReach, Unavailable
from manman.events.bus import NotAllowed, QueueDiffers, QueueLocked, QueueMissing
from manman.events.rabbit.lane import LaneChannel, LaneConnection

Answer = TypeVar("Answer")

REPLY_SECONDS = 30.0  # a queue without a leader answers nothing at all
CLOSE_SECONDS = 5.0
LOOK_SECONDS = 5.0
HEARTBEAT_SECONDS = 3  # a frozen consumer is then replaced in 6.7 s, with 4 in up to 10.7
REFUSED_BY_BROKER = 530  # NOT_ALLOWED: unknown vhost, or no access to it


class NoAnswer(Unavailable):
    """The broker is there, and what was asked is not answered."""


# What pika would log is said once by whoever catches the exception.
logging.getLogger("pika").setLevel(logging.CRITICAL)


def parameters(url: str, name: str, setting: str) -> pika.URLParameters:
    """What to connect to; raises `BadSetting` naming the setting when the URL is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
        raise BadSetting(f"{setting} must look like amqp://user:password@host:5672/%2Fdev, not {_shown(url)}")
    try:
        made = pika.URLParameters(url)
    except (ValueError, TypeError) as error:
        raise BadSetting(f"{setting} cannot be read: {error}") from error
    made.heartbeat = HEARTBEAT_SECONDS
    made.client_properties = {"connection_name": name}
    made.connection_attempts = 1
    made.socket_timeout = 5.0
    made.stack_timeout = 10.0
    return made


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://…@{parts.hostname or ''}{parts.path}" if parts.scheme else repr(url)


def place(made: pika.URLParameters) -> str:
    """Host, port and vhost for a person."""
    return f"{made.host}:{made.port}, vhost {unquote(made.virtual_host)!r}"


async def open_connection(made: pika.URLParameters, setting: str) -> LaneConnection:
    """An open connection; raises `OutOfReach` when broker refuses user or vhost, `Unavailable` when it cannot be
    reached."""
    opened: asyncio.Future[LaneConnection] = asyncio.get_running_loop().create_future()

    def on_open(connection: Any) -> None:
        if opened.done():
            connection.close()
        else:
            opened.set_result(connection)

    def on_error(_: Any, error: Any) -> None:
        if not opened.done():
            opened.set_exception(error if isinstance(error, Exception) else RuntimeError(str(error)))

    connection = LaneConnection(made, on_open_callback=on_open, on_open_error_callback=on_error)
    try:
        return await _in_time(opened)
    except BaseException as error:
        if not connection.is_closed and not connection.is_closing:
            connection.close()
        if isinstance(error, ManManError) or not isinstance(error, Exception):
            raise
        raise _refusal(error, made, setting) from error


async def end_of(connection: LaneConnection, ended: asyncio.Future[BaseException]) -> BaseException:
    """Why the connection ended: what its close callback put into `ended`, or that it is closed though nothing was said."""
    while not ended.done():
        # Looked at too, so that a callback which never came holds up nobody for ever.
        await asyncio.wait([ended], timeout=LOOK_SECONDS)
        if connection.is_closed and not ended.done():
            return Unavailable("the connection ended without a word")
    return ended.result()


async def close_connection(connection: LaneConnection, ended: asyncio.Future[BaseException]) -> None:
    """Closes and waits for `ended`, which its close callback sets; a broker that does not answer is hung up on."""
    if connection.is_open:
        connection.close()
    if not connection.is_closed:
        await asyncio.wait([ended], timeout=CLOSE_SECONDS)
    if not connection.is_closed:
        connection.hang_up()
        await asyncio.wait([ended], timeout=CLOSE_SECONDS)


def _refusal(error: Exception, made: pika.URLParameters, setting: str) -> ManManError:
    user = made.credentials.username
    for cause in _causes(error):
        match cause:
            case failures.ProbableAuthenticationError() | failures.ProbableAccessDeniedError() if not _is_said(cause):
                return Unavailable(f"{setting}: the broker at {place(made)} hung up")
            case failures.ProbableAuthenticationError() | failures.AuthenticationError():
                return OutOfReach(f"{setting}: the broker at {place(made)} refuses the user {user!r} or its password")
            case failures.ProbableAccessDeniedError():
                return OutOfReach(
                    f"{setting}: the broker at {made.host}:{made.port} gives {user!r} no vhost {made.virtual_host!r}",
                    hint="in a URL the vhost '/dev' is written %2Fdev; '…/dev' means a vhost 'dev'",
                )
            case failures.ConnectionClosedByBroker() if cause.reply_code in (REFUSED_BY_BROKER, 403):
                return OutOfReach(
                    f"{setting}: the broker at {place(made)} refuses {user!r}: {cause.reply_text}",
                    hint="in a URL the vhost '/dev' is written %2Fdev; '…/dev' means a vhost 'dev'",
                )
            case _:
                continue
    return Unavailable(f"{setting}: no broker answers at {made.host}:{made.port} ({_why(error)})")


def _is_said(probable: Exception) -> bool:
    """Whether the broker said so: pika takes a connection that is lost in these moments, as by a broker that dies, for a refusal,
    and keeps only the text of what it was."""
    return failures.ConnectionClosedByBroker.__name__ in str(probable)


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what is wrapped in it: pika nests the reasons of an attempt in `exceptions` and `exception`."""
    found, todo = [], [error]
    while todo:
        one = todo.pop(0)
        found.append(one)
        inner = [*getattr(one, "exceptions", ()), getattr(one, "exception", None), *one.args]
        todo.extend(e for e in inner if isinstance(e, BaseException) and e not in found)
    return found


def _why(error: Exception) -> str:
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, socket.gaierror | ConnectionError | TimeoutError | OSError) and cause.args:
            return cause.strerror or str(cause)
    return type(causes[-1]).__name__


async def open_channel(
    connection: LaneConnection, on_closed: Callable[[BaseException], None] | None = None
) -> LaneChannel:
    """An open channel; `on_closed` is told why it ended. Raises `Unavailable` when the connection is gone.

    One that has no channel left because the broker holds up some that are to be closed is hung up on: they end with it.
    """
    opened: asyncio.Future[LaneChannel] = asyncio.get_running_loop().create_future()

    def on_open(channel: LaneChannel) -> None:
        if not opened.done():
            opened.set_result(channel)

    def on_close(_: Channel, error: Exception) -> None:
        if not opened.done():
            opened.set_exception(error)
        elif on_closed is not None:
            on_closed(error)

    try:
        channel: LaneChannel = connection.channel(on_open_callback=on_open)
        channel.add_on_close_callback(on_close)
        return await _in_time(opened)
    except failures.NoFreeChannels as error:
        raise _crowded(connection) from error
    except Exception as error:
        raise ours(error) from error


def _crowded(connection: LaneConnection) -> Unavailable:
    if any(channel.is_closing for channel in connection._channels.values()):
        connection.hang_up()
    return Unavailable("the connection has no channel left")


async def reply(channel: Channel, operation: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Calls the channel's `operation` and waits for its answer; the channel closing instead is raised as one of ours."""
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def on_answer(frame: Any) -> None:
        if not answered.done():
            answered.set_result(frame)

    def on_close(_: Channel, error: Exception) -> None:
        if not answered.done():
            answered.set_exception(error)

    channel.add_on_close_callback(on_close)
    try:
        operation(*arguments, callback=on_answer, **named)
        return await _in_time(answered)
    except Exception as error:
        raise ours(error) from error


async def close_channel(channel: Channel) -> None:
    """Closes and waits until the broker knows, a few seconds at most; harmless on a closed one."""
    if channel.is_closed:
        return
    closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    channel.add_on_close_callback(lambda *_: closed.done() or closed.set_result(None))  # type: ignore[func-returns-value]
    try:
        if not channel.is_closing:
            channel.close()
    except failures.AMQPError:
        return
    await asyncio.wait([closed], timeout=CLOSE_SECONDS)


def leave_channel(channel: Channel) -> None:
    """Asks the broker to close it and waits for nothing: a channel that is held up answers to nothing."""
    if channel.is_closed or channel.is_closing:
        return
    try:
        channel.close()
    except failures.AMQPError:
        return


async def _in_time(answer: asyncio.Future[Answer]) -> Answer:
    try:
        async with asyncio.timeout(REPLY_SECONDS):
            return await answer
    except TimeoutError:
        raise NoAnswer(f"the broker gave no answer within {REPLY_SECONDS:.0f} s") from None


def ours(error: BaseException) -> ManManError:
    """One of our exceptions for one of pika's; what is unknown means that the broker is out of reach."""
    if isinstance(error, ManManError):
        return error
    text = getattr(error, "reply_text", "") or str(error) or type(error).__name__
    match getattr(error, "reply_code", None):
        case 403:
            return NotAllowed(f"the broker refuses it: {text}")
        case 406 if "user_id" in text:
            return NotAllowed(f"the broker refuses it: {text}")
        case 404:
            return QueueMissing(f"the broker does not have it: {text}")
        case 405:
            return QueueLocked(f"another connection holds it: {text}")
        case 406 if "inequivalent arg" in text:
            return QueueDiffers(_difference(text), hint=_migration(text))
        case _:
            return Unavailable(f"the broker went away: {text}")


def _difference(text: str) -> str:
    return text.removeprefix("PRECONDITION_FAILED - ").replace("inequivalent arg", "it exists with another")


def _migration(text: str) -> str:
    words = text.split("'")
    queue, vhost = (words[3], words[5]) if len(words) > 5 else ("NAME", "VHOST")
    return f"stop its consumers once it is empty, then: rabbitmqctl -p {vhost} delete_queue {queue} --if-empty"
