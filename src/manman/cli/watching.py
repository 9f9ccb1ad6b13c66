"""`--wait`: watches what happens to a deployment until something is reached."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from manman.client import Client
from manman.errors import ManManError, TimedOut
from manman.v1 import types

T = TypeVar("T")
FINAL = ("stopped", "crashed")
LOOK_AGAIN = 2.0  # seconds: a stream that was cut must not make a command wait for ever


@asynccontextmanager
async def news(client: Client, filter: str | None) -> AsyncIterator[asyncio.Event]:
    """An event that is set whenever something was said that fits the filter; it ends with the block."""
    heard = asyncio.Event()

    async def listen() -> None:
        while True:
            try:
                async for _ in client.watch_events(filter=filter):
                    heard.set()
            except ManManError:
                await asyncio.sleep(0.5)

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(
    client: Client,
    filter: str | None,
    look: Callable[[], Awaitable[T]],
    done: Callable[[T], bool],
    timeout: float,
    what: str,
) -> T:
    """Look, and again whenever something fitting happens, until `done`; `TimedOut` after `timeout` seconds, naming `what`."""
    try:
        async with asyncio.timeout(timeout), news(client, filter) as heard:
            while True:
                heard.clear()
                value = await look()
                if done(value):
                    return value
                try:
                    async with asyncio.timeout(LOOK_AGAIN):
                        await heard.wait()
                except TimeoutError:
                    continue
    except TimeoutError as error:
        raise TimedOut(
            f"{what} was not reached within {timeout:g} s", hint="it goes on; look with: manman sessions list"
        ) from error


async def until_running(client: Client, session: types.Session, timeout: float) -> types.Session:
    """The deployment's session once it runs or has ended; a superseded one is followed by its winner."""
    about = f"deployment_id = {session.deployment_id}"

    async def look() -> types.Session:
        now = await client.get_session(session.session_id)
        if now.status in FINAL and now.reason == "superseded":
            return await _latest(client, now)
        return now

    return await until(
        client,
        about,
        look,
        lambda s: s.status == "running" or s.status in FINAL,
        timeout,
        f"running of session {session.session_id}",
    )


async def until_over(client: Client, session: types.Session, timeout: float) -> types.Session:
    """The session once it is stopped or crashed."""
    about = f"session_id = {session.session_id}"
    return await until(
        client,
        about,
        lambda: client.get_session(session.session_id),
        lambda s: s.status in FINAL,
        timeout,
        f"the end of session {session.session_id}",
    )


async def until_followed(client: Client, session: types.Session, timeout: float) -> types.Session:
    """The session that follows a restarted one, once it runs or has ended."""
    about = f"deployment_id = {session.deployment_id}"

    def done(now: types.Session) -> bool:
        return now.session_id != session.session_id and (now.status == "running" or now.status in FINAL)

    return await until(
        client, about, lambda: _latest(client, session), done, timeout, f"the session after {session.session_id}"
    )


async def _latest(client: Client, session: types.Session) -> types.Session:
    deployment = await client.get_deployment(session.deployment_id)
    return await client.get_session(deployment.session_id or session.session_id)


async def until_installed(client: Client, deployment: types.Deployment, timeout: float) -> types.Deployment:
    """The deployment once its install is over, well or badly."""
    number = deployment.deployment_id
    return await until(
        client,
        f"deployment_id = {number}",
        lambda: client.get_deployment(number),
        lambda d: d.status != "installing",
        timeout,
        f"the install of {deployment.name}",
    )
