"""Whole installations as their users have them: `manman up`, or API, processor and agent as processes of their own.

Each has a state folder of its own, free ports, and the command line as a subprocess; at the end nothing of it is left.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.processes import free_port, last_words, mentioning, spawn, stop
from harness.rabbitmq import ask
from harness.wrapped import until
from manman.api import identity
from manman.client import LocalFile
from manman.store import pool
from manman.store.secrets import new_line
from manman.store.settings import DatabaseSettings
from manman.wrapper import pipe

PATIENCE = 120.0
MANMAN = [sys.executable, "-m", "manman"]


class Installation:
    """What both kinds share: the command line, plain HTTP, and looks at what is there."""

    def __init__(self, state: Path) -> None:
        state.mkdir(mode=0o711, exist_ok=True)
        state.chmod(0o711)
        self.state = state
        self.http_port, self.grpc_port = free_port(), free_port()
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.env: dict[str, str] = {
            "PATH": os.environ["PATH"],
            "HOME": str(state),
            "LANG": "C.UTF-8",
            "STATE_DIR": str(state),
            "HTTP_PORT": str(self.http_port),
            "GRPC_PORT": str(self.grpc_port),
            "HOST_ADDRESS": "127.0.0.1",
        }

    # ---- processes ----------------------------------------------------------------------------------

    def begin(self, name: str, *arguments: str, **more: str) -> "subprocess.Popen[bytes]":
        """Start a long-running command; its output goes to `log(name)`."""
        self.children[name] = spawn([*MANMAN, *arguments], env=self.env | more, cwd=self.state, log=self.log(name))
        return self.children[name]

    def log(self, name: str) -> Path:
        """Where a long-running command writes."""
        return self.state / f"{name}.out"

    def said(self, name: str, text: str, *, times: int = 1) -> str:
        """Waits until a long-running command has printed this; gives all that it printed."""

        def look() -> str | None:
            printed = self.log(name).read_text(errors="replace")
            if printed.count(text) >= times:
                return printed
            child = self.children[name]
            assert child.poll() is None, f"{name} ended with {child.returncode}:\n{last_words(self.log(name), 40)}"
            return None

        printed: str = until(look, PATIENCE)
        return printed

    def kill(self, name: str) -> None:
        """`kill -9`."""
        child = self.children.pop(name)
        child.kill()
        child.wait()

    def end(self, name: str) -> int:
        """SIGTERM and wait; its exit code."""
        child = self.children.pop(name)
        stop(child, patience=PATIENCE)
        return child.returncode

    def leave_nothing(self) -> None:
        """Ends what runs, games included, by the folder that is in their arguments, environment or place."""
        for name in list(self.children)[::-1]:
            self.end(name)
        for process in mentioning(self.state):
            process.kill()
        until(lambda: not mentioning(self.state))

    # ---- the command line ---------------------------------------------------------------------------

    def run(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """A command of the same user, to its end."""
        return subprocess.run(
            [*MANMAN, *arguments],
            env=self.env | more,
            cwd=self.state,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def manman(self, *arguments: str, code: int = 0) -> str:
        """What a command prints; it must end with `code`."""
        done = self.run(*arguments)
        assert done.returncode == code, f"{arguments} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if code == 0 else done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        """What a command prints for programs."""
        return json.loads(self.manman(*arguments, "--json"))

    # ---- plain HTTP ---------------------------------------------------------------------------------

    def panel(self) -> tuple[str, str]:
        """URL and credential of the API."""
        raise NotImplementedError

    def http(self, method: str, path: str, body: Any = None, *, token: str | None = "") -> tuple[int, Any]:
        """(status, decoded body) of one call; `token=None`: without a credential."""
        url, own = self.panel()
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token or own}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url + path, method=method, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def get(self, path: str) -> Any:
        """A noun or a list."""
        status, body = self.http("GET", path)
        assert status == 200, body
        return body

    # ---- looks --------------------------------------------------------------------------------------

    def session(self, number: int) -> Any:
        """A session as the API says it."""
        return self.get(f"/v1/sessions/{number}")

    def history(self, number: int) -> list[Any]:
        """Its transitions, first to last."""
        rows: list[Any] = self.get(f"/v1/sessions/{number}/history")["transitions"]
        return sorted(rows, key=lambda row: row["number"])

    def latest(self, deployment: str) -> Any:
        """The latest session of a deployment by name."""
        return self.session(self.deployment(deployment)["session_id"])

    def becomes(self, number: int, *status: str) -> Any:
        """Waits for a session's status; gives the session."""
        return until(lambda: (s := self.session(number))["status"] in status and s, PATIENCE)

    def deployment(self, name: str) -> Any:
        """A deployment by name."""
        return self.get(f"/v1/deployments?filter=name%20%3D%20{name}")["deployments"][0]

    def follower(self, session: Mapping[str, Any]) -> Any:
        """Waits for the session that follows one, running."""

        def look() -> Any:
            now = self.latest(session["deployment"])
            return now["previous_session_id"] == session["session_id"] and now["status"] == "running" and now

        return until(look, PATIENCE)

    def host_is_online(self) -> None:
        """Waits for the first host's agent."""
        until(lambda: any(h["status"] == "online" for h in self.get("/v1/hosts").get("hosts", [])), PATIENCE)

    def deploy(self, name: str, game: str = "demo", *, port: int | None = None, on: str | None = None) -> int:
        """A game of the catalogue, placed on a free port and installed; the port."""
        port = port or free_port()
        self.manman("games", "import", game)
        place = ["--on", on] if on else []
        self.manman("deployments", "create", name, "--config", game, "--port", f"game={port}", *place, "--wait")
        return port

    def start(self, deployment: str) -> Any:
        """Starts it, waits until it runs, gives the session."""
        session = self.json("sessions", "start", deployment, "--wait")
        assert session["status"] == "running", session
        return session

    # ---- the machine, past the panel ----------------------------------------------------------------

    def folder(self, session: int) -> Path:
        """A session's folder on this machine."""
        return self.state / "host" / "sessions" / str(session)

    def game(self, session: int) -> int:
        """The pid of a session's game: what its wrapper started."""
        found: int = self.wrapper(session, "status")["status"]["game"]
        return found

    def wrapper(self, session: int, do: str, **fields: object) -> pipe.Said:
        """One question to a session's wrapper, as the agent asks it."""
        with pipe.Client(self.folder(session), timeout=30) as client:
            return client.ask(do, **fields)

    def runs(self, session: int) -> bool:
        """Whether the wrapper of a session says that its game runs."""
        try:
            return bool(self.wrapper(session, "status")["status"]["state"] == "running")
        except OSError:
            return False

    def kill_game(self, session: int) -> None:
        """`kill -9` of the game."""
        os.kill(self.game(session), signal.SIGKILL)


class Up(Installation):
    """`manman up`; the command line finds it by itself."""

    def up(self, *arguments: str, game: str = "") -> str:
        """Start it and wait until it is ready; what it printed."""
        self.log("up").unlink(missing_ok=True)
        self.begin("up", "up", "--game", game, *arguments)
        return self.said("up", "\nReady.")

    def panel(self) -> tuple[str, str]:
        """See `Installation.panel`."""
        local = LocalFile.read(self.state)
        assert local is not None
        return local.url, local.token


class Separate(Installation):
    """`manman api`, `manman processor` and `manman host` on a real broker and database."""

    def __init__(self, state: Path, *, database: str, broker: str, broker_admin: str) -> None:
        super().__init__(state)
        key = state / "secrets.key"
        key.write_text(new_line("1", os.urandom))
        self._url = f"http://127.0.0.1:{self.http_port}"
        self.env |= {"MANMAN_URL": self._url, "MANMAN_TOKEN": ""}
        self._server = {
            "DATABASE_URL": database,
            "RABBITMQ_URL": broker,
            "BROKER_ADMIN_URL": broker_admin,
            "SECRETS_KEY_FILE": str(key),
            "HEALTH_CHECK_PORT": "0",
        }

    def panel(self) -> tuple[str, str]:
        """See `Installation.panel`."""
        return self._url, self.env["MANMAN_TOKEN"]

    def use_broker(self, url: str) -> None:
        """Another broker than the one it was made with."""
        self._server["RABBITMQ_URL"] = url

    def publish(self, key: str, body: Any) -> None:
        """A plain message to the exchange `manman`, without a header, by the broker's management API."""
        vhost = self._server["RABBITMQ_URL"].rpartition("/")[2]
        said = {
            "properties": {},
            "routing_key": key,
            "payload": json.dumps(body),
            "payload_encoding": "string",
        }
        answer = ask(self._server["BROKER_ADMIN_URL"], "POST", f"/api/exchanges/{vhost}/manman/publish", said)
        assert answer == {"routed": True}

    def install(self) -> None:
        """Migrates, starts everything, joins this machine, and waits for its agent."""
        done = self.run("migrate", "up", **self._server)
        assert done.returncode == 0, done.stderr
        self.env["MANMAN_TOKEN"] = asyncio.run(_first_key(self._server["DATABASE_URL"]))
        self.begin_api()
        self.begin_processor()
        made = self.run("hosts", "join-token").stdout
        token = next(word for word in made.split() if word.startswith("mmj_"))
        self.manman("host", "join", self._url, token, "--name", "box-1", "--address", "127.0.0.1")
        self.begin_host()
        self.host_is_online()

    def begin_api(self) -> None:
        """Starts the API and waits until it answers."""
        self.begin("api", "api", **self._server)
        until(self._answers, PATIENCE)

    def _answers(self) -> bool:
        child = self.children["api"]
        assert child.poll() is None, last_words(self.log("api"), 40)
        try:
            return self.http("GET", "/v1/hosts")[0] == 200
        except OSError:
            return False

    def begin_processor(self) -> None:
        """Starts a processor."""
        self.begin("processor", "processor", **self._server)

    def begin_host(self) -> None:
        """Starts this machine's agent."""
        self.begin("host", "host")


async def _first_key(database: str) -> str:
    """A key of the service account `local`, as `manman up` makes one for the commands of its user."""
    connections = await pool.connect(DatabaseSettings(database_url=database))
    try:
        async with connections.transaction() as conn:
            return await identity.new_local_key(conn, os.urandom)
    finally:
        await connections.close()
