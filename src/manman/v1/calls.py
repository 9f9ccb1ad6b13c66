"""Generated from `proto/manman/v1` by `tools/generate.py`; never edited by hand.

One call for each method of the definition; `manman.client.Client` says how a call is made.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec

from manman.v1 import types

T = TypeVar("T")
Given: TypeAlias = msgspec.Struct | Mapping[str, Any]


class Calls:
    """The methods of the API. An argument left None is not sent; a `PATCH` takes a mapping in which None clears.

    Every call raises `ApiError` with the API's code, or `Unavailable` when nobody answers.
    """

    async def _call(
        self,
        verb: str,
        path: str,
        reply: type[T],
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        etag: str | None = None,
        idempotency_key: str | None = None,
    ) -> T:
        raise NotImplementedError

    def _stream(
        self, path: str, message: type[T], *, query: Mapping[str, Any] | None = None
    ) -> AsyncIterator[T]:
        raise NotImplementedError

    async def list_dead_letters(self, *, page_size: int | None = None, page_token: str | None = None, filter: str | None = None, order_by: str | None = None) -> types.ListDeadLettersResponse:
        """Lists dead letters, newest first."""
        return await self._call("GET", "/v1/dead-letters", types.ListDeadLettersResponse, query={"page_size": page_size, "page_token": page_token, "filter": filter, "order_by": order_by})

    async def get_dead_letter(self, dead_letter_id: int) -> types.DeadLetter:
        """One dead letter with headers and body."""
        return await self._call("GET", f"/v1/dead-letters/{dead_letter_id}", types.DeadLetter)

    async def replay_dead_letter(self, dead_letter_id: int, *, idempotency_key: str | None = None) -> types.DeadLetter:
        """Tries a `status.*` message again; it is applied or refused anew."""
        return await self._call("POST", f"/v1/dead-letters/{dead_letter_id}:replay", types.DeadLetter, body={}, idempotency_key=idempotency_key)

    async def drop_dead_letter(self, dead_letter_id: int, *, idempotency_key: str | None = None) -> types.DropDeadLetterResponse:
        """Drops a dead letter."""
        return await self._call("DELETE", f"/v1/dead-letters/{dead_letter_id}", types.DropDeadLetterResponse, idempotency_key=idempotency_key)

    async def list_games(self, *, page_size: int | None = None, page_token: str | None = None, filter: str | None = None, order_by: str | None = None) -> types.ListGamesResponse:
        """Lists games."""
        return await self._call("GET", "/v1/games", types.ListGamesResponse, query={"page_size": page_size, "page_token": page_token, "filter": filter, "order_by": order_by})

    async def create_game(self, *, game: Given | None = None, idempotency_key: str | None = None) -> types.Game:
        """Makes a game."""
        return await self._call("POST", "/v1/games", types.Game, body=game, idempotency_key=idempotency_key)

    async def get_game(self, game_id: int) -> types.Game:
        """One game."""
        return await self._call("GET", f"/v1/games/{game_id}", types.Game)

    async def update_game(self, game_id: int, *, game: Given | None = None, etag: str | None = None, idempotency_key: str | None = None) -> types.Game:
        """Changes a game."""
        return await self._call("PATCH", f"/v1/games/{game_id}", types.Game, body=game, etag=etag, idempotency_key=idempotency_key)

    async def delete_game(self, game_id: int, *, etag: str | None = None, idempotency_key: str | None = None) -> types.DeleteGameResponse:
        """Removes a game that no deployment uses, with its configs."""
        return await self._call("DELETE", f"/v1/games/{game_id}", types.DeleteGameResponse, etag=etag, idempotency_key=idempotency_key)

    async def list_catalogue(self) -> types.ListCatalogueResponse:
        """Lists the ready-made games of the package."""
        return await self._call("GET", "/v1/catalogue", types.ListCatalogueResponse)

    async def import_catalogue(self, entry: str, *, idempotency_key: str | None = None) -> types.GameConfig:
        """Makes a ready-made game with its config, or finds it: the same entry again is the same config."""
        return await self._call("POST", f"/v1/catalogue/{quote(entry, safe='')}:import", types.GameConfig, body={}, idempotency_key=idempotency_key)

    async def list_game_configs(self, *, page_size: int | None = None, page_token: str | None = None, filter: str | None = None, order_by: str | None = None) -> types.ListGameConfigsResponse:
        """Lists configs, of one game or all."""
        return await self._call("GET", "/v1/configs", types.ListGameConfigsResponse, query={"page_size": page_size, "page_token": page_token, "filter": filter, "order_by": order_by})

    async def create_game_config(self, *, config: Given | None = None, idempotency_key: str | None = None) -> types.GameConfig:
        """Makes a config; its revision is 1."""
        return await self._call("POST", "/v1/configs", types.GameConfig, body=config, idempotency_key=idempotency_key)

    async def get_game_config(self, config_id: int) -> types.GameConfig:
        """One config at its newest revision."""
        return await self._call("GET", f"/v1/configs/{config_id}", types.GameConfig)

    async def update_game_config(self, config_id: int, *, config: Given | None = None, etag: str | None = None, idempotency_key: str | None = None) -> types.GameConfig:
        """Changes a config: another spec is another revision; deployments keep theirs until they are updated."""
        return await self._call("PATCH", f"/v1/configs/{config_id}", types.GameConfig, body=config, etag=etag, idempotency_key=idempotency_key)

    async def delete_game_config(self, config_id: int, *, etag: str | None = None, idempotency_key: str | None = None) -> types.DeleteGameConfigResponse:
        """Removes a config that no deployment uses."""
        return await self._call("DELETE", f"/v1/configs/{config_id}", types.DeleteGameConfigResponse, etag=etag, idempotency_key=idempotency_key)

    async def list_config_revisions(self, config_id: int, *, page_size: int | None = None, page_token: str | None = None) -> types.ListConfigRevisionsResponse:
        """Every revision of a config, newest first."""
        return await self._call("GET", f"/v1/configs/{config_id}/revisions", types.ListConfigRevisionsResponse, query={"page_size": page_size, "page_token": page_token})

    async def preview_game_config(self, config_id: int, *, revision: int | None = None, parameters: Mapping[str, Any] | None = None, ports: Mapping[str, int] | None = None, idempotency_key: str | None = None) -> types.Preview:
        """What would run: command, environment and files, each value with where it comes from. Nothing is changed."""
        return await self._call("POST", f"/v1/configs/{config_id}:preview", types.Preview, body={"revision": revision, "parameters": parameters, "ports": ports}, idempotency_key=idempotency_key)

    async def deploy_game_config(self, *, name: str | None = None, host_id: int | None = None, config_id: int | None = None, config_revision: int | None = None, ports: list[Given] | None = None, parameters: Mapping[str, Any] | None = None, overrides: Given | None = None, labels: Mapping[str, str] | None = None, restart: Given | None = None, start_on_boot: bool | None = None, idempotency_key: str | None = None) -> types.Deployment:
        """Places a config on a host: holds its ports, tells the host to install it."""
        return await self._call("POST", "/v1/deployments", types.Deployment, body={"name": name, "host_id": host_id, "config_id": config_id, "config_revision": config_revision, "ports": ports, "parameters": parameters, "overrides": overrides, "labels": labels, "restart": restart, "start_on_boot": start_on_boot}, idempotency_key=idempotency_key)

    async def validate_deployment(self, *, deployment: Given | None = None, idempotency_key: str | None = None) -> types.ValidateDeploymentResponse:
        """Says what DeployGameConfig would say, and changes nothing."""
        return await self._call("POST", "/v1/deployments:validate", types.ValidateDeploymentResponse, body=deployment, idempotency_key=idempotency_key)

    async def list_deployments(self, *, page_size: int | None = None, page_token: str | None = None, filter: str | None = None, order_by: str | None = None) -> types.ListDeploymentsResponse:
        """Lists deployments."""
        return await self._call("GET", "/v1/deployments", types.ListDeploymentsResponse, query={"page_size": page_size, "page_token": page_token, "filter": filter, "order_by": order_by})

    async def get_deployment(self, deployment_id: int) -> types.Deployment:
        """One deployment."""
        return await self._call("GET", f"/v1/deployments/{deployment_id}", types.Deployment)

    async def get_launch(self, deployment_id: int, *, session: int | None = None) -> types.Launch:
        """What its host runs, rendered; secrets are masked for everybody but the host."""
        return await self._call("GET", f"/v1/deployments/{deployment_id}/launch", types.Launch, query={"session": session})

    async def update_deployment(self, deployment_id: int, *, deployment: Given | None = None, etag: str | None = None, idempotency_key: str | None = None) -> types.Deployment:
        """Changes labels, parameters, overrides, config revision or restart policy; what runs keeps what it began with until its next start or restart."""
        return await self._call("PATCH", f"/v1/deployments/{deployment_id}", types.Deployment, body=deployment, etag=etag, idempotency_key=idempotency_key)

    async def stop_deployment(self, deployment_id: int, *, idempotency_key: str | None = None) -> types.Deployment:
        """Stops whatever runs there, and cancels a restart that is due."""
        return await self._call("POST", f"/v1/deployments/{deployment_id}:stop", types.Deployment, body={}, idempotency_key=idempotency_key)

    async def reinstall_deployment(self, deployment_id: int, *, idempotency_key: str | None = None) -> types.Deployment:
        """Tells the host to install it again."""
        return await self._call("POST", f"/v1/deployments/{deployment_id}:reinstall", types.Deployment, body={}, idempotency_key=idempotency_key)

    async def delete_deployment(self, deployment_id: int, *, force: bool | None = None, etag: str | None = None, idempotency_key: str | None = None) -> types.Deployment:
        """Removes a parked deployment; its ports are free once the host has removed it."""
        return await self._call("DELETE", f"/v1/deployments/{deployment_id}", types.Deployment, query={"force": force}, etag=etag, idempotency_key=idempotency_key)

    async def list_deployment_history(self, deployment_id: int, *, page_size: int | None = None, page_token: str | None = None) -> types.ListDeploymentHistoryResponse:
        """Every accepted transition of a deployment, oldest first."""
        return await self._call("GET", f"/v1/deployments/{deployment_id}/history", types.ListDeploymentHistoryResponse, query={"page_size": page_size, "page_token": page_token})

    async def list_events(self, *, page_size: int | None = None, page_token: str | None = None, filter: str | None = None, after: str | None = None) -> types.ListEventsResponse:
        """Past events after a cursor, oldest first; or, without one, the newest first."""
        return await self._call("GET", "/v1/events", types.ListEventsResponse, query={"page_size": page_size, "page_token": page_token, "filter": filter, "after": after})

    def watch_events(self, *, after: str | None = None, filter: str | None = None) -> AsyncIterator[types.WatchEventsResponse]:
        """Events as they come, after a cursor. `Last-Event-ID` is `after`."""
        return self._stream("/v1/events:watch", types.WatchEventsResponse, query={"after": after, "filter": filter})

    async def list_hosts(self, *, page_size: int | None = None, page_token: str | None = None, filter: str | None = None, order_by: str | None = None) -> types.ListHostsResponse:
        """Lists hosts."""
        return await self._call("GET", "/v1/hosts", types.ListHostsResponse, query={"page_size": page_size, "page_token": page_token, "filter": filter, "order_by": order_by})

    async def get_host(self, host_id: int) -> types.Host:
        """One host."""
        return await self._call("GET", f"/v1/hosts/{host_id}", types.Host)

    async def register_host(self, *, token: str | None = None, name: str | None = None, host_key_hash: str | None = None, broker_password_hash: str | None = None, agent_version: str | None = None, addresses: list[str] | None = None, labels: Mapping[str, str] | None = None, port_range: Given | None = None, isolation: str | None = None, capacity: Mapping[str, str] | None = None, idempotency_key: str | None = None) -> types.RegisterHostResponse:
        """A machine joins with a join token. It sends hashes of credentials that it made itself; a repeat with the same token and hashes is harmless."""
        return await self._call("POST", "/v1/hosts:register", types.RegisterHostResponse, body={"token": token, "name": name, "host_key_hash": host_key_hash, "broker_password_hash": broker_password_hash, "agent_version": agent_version, "addresses": addresses, "labels": labels, "port_range": port_range, "isolation": isolation, "capacity": capacity}, idempotency_key=idempotency_key)

    async def update_host(self, host_id: int, *, host: Given | None = None, etag: str | None = None, idempotency_key: str | None = None) -> types.Host:
        """Changes labels, addresses, name or port range."""
        return await self._call("PATCH", f"/v1/hosts/{host_id}", types.Host, body=host, etag=etag, idempotency_key=idempotency_key)

    async def drain_host(self, host_id: int, *, idempotency_key: str | None = None) -> types.Host:
        """The host takes no new session; what runs there runs on."""
        return await self._call("POST", f"/v1/hosts/{host_id}:drain", types.Host, body={}, idempotency_key=idempotency_key)

    async def undrain_host(self, host_id: int, *, idempotency_key: str | None = None) -> types.Host:
        """The host takes sessions again."""
        return await self._call("POST", f"/v1/hosts/{host_id}:undrain", types.Host, body={}, idempotency_key=idempotency_key)

    async def delete_host(self, host_id: int, *, etag: str | None = None, idempotency_key: str | None = None) -> types.DeleteHostResponse:
        """Removes a host that holds no deployment."""
        return await self._call("DELETE", f"/v1/hosts/{host_id}", types.DeleteHostResponse, etag=etag, idempotency_key=idempotency_key)

    async def list_ports(self, host_id: int) -> types.ListPortsResponse:
        """The ports of a host that are held, and by which deployment."""
        return await self._call("GET", f"/v1/hosts/{host_id}/ports", types.ListPortsResponse)

    async def list_host_history(self, host_id: int, *, page_size: int | None = None, page_token: str | None = None) -> types.ListHostHistoryResponse:
        """Every accepted transition of a host, oldest first."""
        return await self._call("GET", f"/v1/hosts/{host_id}/history", types.ListHostHistoryResponse, query={"page_size": page_size, "page_token": page_token})

    async def create_join_token(self, *, uses: int | None = None, valid_for: str | None = None, host_id: int | None = None, idempotency_key: str | None = None) -> types.JoinToken:
        """Makes a join token; its secret is in this reply and nowhere else."""
        return await self._call("POST", "/v1/join-tokens", types.JoinToken, body={"uses": uses, "valid_for": valid_for, "host_id": host_id}, idempotency_key=idempotency_key)

    async def list_join_tokens(self, *, page_size: int | None = None, page_token: str | None = None) -> types.ListJoinTokensResponse:
        """Lists join tokens, without their secrets."""
        return await self._call("GET", "/v1/join-tokens", types.ListJoinTokensResponse, query={"page_size": page_size, "page_token": page_token})

    async def revoke_join_token(self, join_token_id: int, *, idempotency_key: str | None = None) -> types.RevokeJoinTokenResponse:
        """Makes a join token useless."""
        return await self._call("DELETE", f"/v1/join-tokens/{join_token_id}", types.RevokeJoinTokenResponse, idempotency_key=idempotency_key)

    async def who_am_i(self) -> types.WhoAmIResponse:
        """Who the credential belongs to, and what it may do."""
        return await self._call("GET", "/v1/whoami", types.WhoAmIResponse)

    async def login(self, *, link: str | None = None, idempotency_key: str | None = None) -> types.LoginResponse:
        """Comes in by a one-time link."""
        return await self._call("POST", "/v1/login", types.LoginResponse, body={"link": link}, idempotency_key=idempotency_key)

    async def logout(self, *, idempotency_key: str | None = None) -> types.LogoutResponse:
        """Ends the login that called."""
        return await self._call("POST", "/v1/logout", types.LogoutResponse, body={}, idempotency_key=idempotency_key)

    def stream_logs(self, session_id: int, *, from_: int | None = None, until_now: bool | None = None) -> AsyncIterator[types.LogBatch]:
        """A session's console, live, from line `from` on; each number once, rising. A jump in the numbers is the count of lines that were lost."""
        return self._stream(f"/v1/sessions/{session_id}/logs", types.LogBatch, query={"from": from_, "until_now": until_now})

    async def start_session(self, *, deployment_id: int | None = None, idempotency_key: str | None = None) -> types.Session:
        """Starts a deployment: its wish is running, and a pending session waits for its host. One that is live is `session_live`, with its id."""
        return await self._call("POST", "/v1/sessions", types.Session, body={"deployment_id": deployment_id}, idempotency_key=idempotency_key)

    async def stop_session(self, session_id: int, *, grace: str | None = None, idempotency_key: str | None = None) -> types.Session:
        """Stops it. Always succeeds: 200 when it is over or stopping already."""
        return await self._call("POST", f"/v1/sessions/{session_id}:stop", types.Session, body={"grace": grace}, idempotency_key=idempotency_key)

    async def restart_session(self, session_id: int, *, idempotency_key: str | None = None) -> types.Session:
        """Its host ends it and begins the next; with nothing live it is a start."""
        return await self._call("POST", f"/v1/sessions/{session_id}:restart", types.Session, body={}, idempotency_key=idempotency_key)

    async def kill_session(self, session_id: int, *, idempotency_key: str | None = None) -> types.Session:
        """Ends it at once, without a grace period."""
        return await self._call("POST", f"/v1/sessions/{session_id}:kill", types.Session, body={}, idempotency_key=idempotency_key)

    async def send_input(self, session_id: int, *, line: str | None = None, idempotency_key: str | None = None) -> types.SendInputResponse:
        """Types one line into its console. It must run on a host that is online; after ten seconds the line is dropped."""
        return await self._call("POST", f"/v1/sessions/{session_id}:input", types.SendInputResponse, body={"line": line}, idempotency_key=idempotency_key)

    async def get_session(self, session_id: int) -> types.Session:
        """One session."""
        return await self._call("GET", f"/v1/sessions/{session_id}", types.Session)

    async def list_sessions(self, *, page_size: int | None = None, page_token: str | None = None, filter: str | None = None, order_by: str | None = None) -> types.ListSessionsResponse:
        """Lists sessions, newest first."""
        return await self._call("GET", "/v1/sessions", types.ListSessionsResponse, query={"page_size": page_size, "page_token": page_token, "filter": filter, "order_by": order_by})

    async def list_session_history(self, session_id: int, *, page_size: int | None = None, page_token: str | None = None) -> types.ListSessionHistoryResponse:
        """Every accepted transition of a session, oldest first."""
        return await self._call("GET", f"/v1/sessions/{session_id}/history", types.ListSessionHistoryResponse, query={"page_size": page_size, "page_token": page_token})

    async def get_installation(self) -> types.Installation:
        """Version, epoch, and how everything is at a glance."""
        return await self._call("GET", "/v1/installation", types.Installation)
