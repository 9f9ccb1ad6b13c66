"""The parts of `manman up`, started in order and ended in order. One process: the agent's games are not its children."""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from manman import config
from manman.api import identity as who
from manman.api import service
from manman.api.settings import ApiSettings
from manman.cli import links, up_first, up_ports, up_story
from manman.client import Client, LocalFile
from manman.errors import BadSetting, ManManError
from manman.events import topology
from manman.events.bus import Bus
from manman.events.settings import BrokerSettings
from manman.host import join
from manman.host.agent import Agent
from manman.host.reports import version
from manman.host.settings import Settings as HostSettings
from manman.observability import get_logger
from manman.processor.service import Processor
from manman.processor.settings import ProcessorSettings
from manman.store import bus as database_bus
from manman.store import embedded, migrate, pool
from manman.store.secrets import new_line
from manman.store.settings import DatabaseSettings
from manman.ui.app import build as build_ui
from manman.ui.settings import Settings as UiSettings

log = get_logger(__name__)
GAMES_GRACE = 3.0  # seconds after the first Ctrl-C in which a second one stops the games


class Panel:
    """Everything of one state folder. `asked` has two events: `stop` and `games`."""

    def __init__(self, state: Path, asked: Any) -> None:
        self.state, self.asked = state, asked
        self.ending = asyncio.Event()
        self.agent_ending = asyncio.Event()

    async def run(self, game: str) -> None:
        """Start, print, serve until asked to stop; then end in order."""
        say(f"ManMan {version()}  state {self.state}")
        async with AsyncExitStack() as stack:
            database = await self._database(stack)
            await migrate.up(database)
            connections = await pool.connect(database)
            stack.push_async_callback(connections.close)
            buses = [await self._bus(stack, database) for _ in range(3)]
            await self._serve(stack, database, connections, buses, game)

    async def _database(self, stack: AsyncExitStack) -> DatabaseSettings:
        given = config.load(DatabaseSettings)
        if given.given:
            say("  database   as DATABASE_URL says")
            return given
        server = await embedded.Embedded.start(self.state)
        stack.push_async_callback(server.stop)
        say(f"  database   PostgreSQL {server.major}, embedded")
        return msgspec.structs.replace(given, database_url=server.dsn)

    async def _bus(self, stack: AsyncExitStack, database: DatabaseSettings) -> Bus:
        bus = await database_bus.connect(database, topology=topology.processor())
        stack.push_async_callback(bus.close)
        return bus

    async def _serve(
        self, stack: AsyncExitStack, database: DatabaseSettings, connections: pool.Pool, buses: list[Bus], game: str
    ) -> None:
        settings = msgspec.structs.replace(config.load(ApiSettings), secrets_key=self._secrets_key(), rabbitmq_url=None)
        listener, word = up_ports.take(settings.http_port, settings.bind, "the panel", "HTTP_PORT")
        reserved, grpc_word = up_ports.take(settings.grpc_port, settings.bind, "gRPC", "GRPC_PORT")
        grpc_port = reserved.getsockname()[1]
        reserved.close()
        url, grpc = f"http://{settings.bind}:{listener.getsockname()[1]}", f"{settings.bind}:{grpc_port}"
        api = await service.build(settings, connections, buses[0], database=database)
        ui = build_ui(msgspec.structs.replace(config.load(UiSettings), api_url=url), self.ending)
        async with connections.transaction() as conn:
            token = await who.new_local_key(conn, os.urandom)
            link = await who.new_admin_link(conn, os.urandom)
        LocalFile(url=url, grpc=grpc, token=token, pid=os.getpid()).write(self.state)
        stack.callback((self.state / "local.json").unlink, missing_ok=True)
        say(f"  panel      {url}")
        say(f"  gRPC       {grpc}")
        for sentence in (word, grpc_word):
            if sentence:
                say(f"             {sentence}")
        processor = Processor(
            msgspec.structs.replace(config.load(ProcessorSettings), health_check_port=0),
            database,
            buses[1],
            config.load(BrokerSettings),
        )
        say(f"  sign in    {url}/login#{link}   (good once, for an hour)")
        async with Client(url, token) as client, asyncio.TaskGroup() as group:
            group.create_task(api.follow())
            group.create_task(self._grpc(api, settings.bind, grpc_port))
            group.create_task(service.serve_http(api, _Both(api.rest, ui), listener, self.ending))
            group.create_task(processor.run(self.ending))
            group.create_task(self._links(connections, url))
            agent, agent_client = await self._agent(client, url, buses[2])
            stack.push_async_callback(agent_client.aclose)
            running = group.create_task(agent.run(self.agent_ending))
            await agent.running.wait()
            group.create_task(self._story(client, agent, game))
            group.create_task(self._end(agent, running))

    async def _links(self, connections: pool.Pool, url: str) -> None:
        """Whenever somebody asks with SIGUSR1: a new one-time link, for whoever may read this user's files."""
        ending = asyncio.create_task(self.ending.wait())
        while not self.ending.is_set():
            asked = asyncio.create_task(self.asked.link.wait())
            await asyncio.wait({asked, ending}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if self.asked.link.is_set():
                self.asked.link.clear()
                async with connections.transaction() as conn:
                    links.write(self.state, f"{url}/login#{await who.new_admin_link(conn, os.urandom)}")

    async def _grpc(self, api: service.Api, bind: str, port: int) -> None:
        async with service.serving_grpc(api, bind, port):
            await self.ending.wait()

    async def _agent(self, client: Client, url: str, bus: Bus) -> tuple[Agent, Client]:
        """This machine's agent, joined by itself with a host key of its own."""
        home = self.state / "host"
        identity = join.load(home)
        settings = config.load(HostSettings)
        if identity is None:
            made = await client.create_join_token(uses=1)
            addresses = [settings.host_address] if settings.host_address else []
            identity = await join.join(home, url, made.token, chance=os.urandom, addresses=addresses, with_broker=False)
        source = Client(url, identity.host_key, user_agent=f"manman-host/{version()}")
        return Agent(settings, bus, source, host_id=identity.host_id, state=home, chance=os.urandom), source

    async def _story(self, client: Client, agent: Agent, game: str) -> None:
        telling = asyncio.create_task(up_story.tell(client, self.ending))
        try:
            await up_first.first_game(client, game, self.ending)
        except ManManError as error:
            say(f"  {game}: {error.detail}")
        if not self.ending.is_set():
            say("Ready. Ctrl-C stops the panel; games run on.")
        await telling

    async def _end(self, agent: Agent, running: asyncio.Task[None]) -> None:
        """Wait to be asked, or for the agent to fail; the panel goes first, the agent last."""
        asked = asyncio.create_task(self.asked.stop.wait())
        await asyncio.wait({asked, running}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        await self._games(agent)
        self.ending.set()
        self.agent_ending.set()

    async def _games(self, agent: Agent) -> None:
        live = agent.live_count()
        if not self.asked.games.is_set():
            them = "no game runs" if live == 0 else f"{live} game{'s run' if live > 1 else ' runs'} on"
            say(
                f"Stopping the panel; {them}."
                + (" Ctrl-C again stops them too." if live and sys.stdout.isatty() else "")
            )
            if live and sys.stdout.isatty():
                try:
                    async with asyncio.timeout(GAMES_GRACE):
                        await self.asked.games.wait()
                except TimeoutError:
                    return
        if self.asked.games.is_set():
            say(
                f"Stopping {live} game{'' if live == 1 else 's'} in order; what should run runs again with the next `manman up`."
            )
            await agent.stop_games()

    def _secrets_key(self) -> str:
        """The key of secrets at rest, made once; mode 600."""
        path = self.state / "secrets.key"
        try:
            return path.read_text(encoding="ascii")
        except FileNotFoundError:
            line = new_line("1", os.urandom)
        except OSError as error:
            raise BadSetting(f"{path} cannot be read: {error.strerror}") from error
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(line)
        return line


class _Both:
    """One listener: the API at its paths, the pages everywhere else."""

    def __init__(self, api: Any, ui: Any) -> None:
        self.api, self.ui = api, ui

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        own = scope["type"] == "http" and service.serves(scope["path"])
        await (self.api if own else self.ui)(scope, receive, send)


def say(text: str) -> None:
    """A line for the person at the terminal, at once."""
    print(text, flush=True)
