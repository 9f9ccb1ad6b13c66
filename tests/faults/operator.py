"""Somebody with the real API: starts, stops and restarts over HTTP, and repeats what nobody answered under the same key."""

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any

import httpx2
from harness.apis import Running
from harness.checker import Accepted
from harness.real_time import RealTime

REPEATED = 0.3  # of what was answered is asked again


@dataclass(eq=False)
class Operator:
    """`accepted` is what was answered with 2xx; `refused` counts what was not; `broken` are promises about repeating."""

    api: Running
    time: RealTime
    accepted: list[Accepted] = field(default_factory=list)
    refused: int = 0
    broken: list[str] = field(default_factory=list)

    async def ask(self, deployment: int, verb: str) -> None:
        """One request, again under its key while nobody answers; what was answered may be asked again, and is the same."""
        client = await self._client()
        path, body = await self._path(client, deployment, verb)
        if path is None:
            return
        headers = {"idempotency-key": os.urandom(8).hex()}
        answer = await self._answer(client, path, body, headers)
        if answer is None or not answer.is_success:
            self.refused += 1
            return
        at = self.time.at
        if self.time.chance.random() < REPEATED:
            again = await self._answer(client, path, body, headers)
            if again is not None and again.status_code < 500 and again.content != answer.content:
                self.broken.append(
                    f"8: {verb} of deployment {deployment}, repeated: {again.text[:200]}, not {answer.text[:200]}"
                )
        self.accepted.append(await self._accepted(client, at, deployment, verb, answer.json()))

    async def hasty(self, deployment: int) -> None:
        """Start it, again and again, while its host restarts it."""
        for _ in range(6):
            await self.ask(deployment, "start")
            await asyncio.sleep(self.time.chance.uniform(0.1, 1.0))

    async def let_go(self, deployment: int) -> bool:
        """Stop it, and have it removed as soon as the API lets go of it; whether it did within half a minute."""
        await self.ask(deployment, "stop")
        client = await self.api.http("admin")
        for _ in range(60):
            try:
                answer = await client.delete(f"/v1/deployments/{deployment}")
            except httpx2.HTTPError:
                answer = None
            if answer is not None and answer.is_success:
                return True
            await asyncio.sleep(0.5)
        return False

    async def _client(self) -> httpx2.AsyncClient:
        if not hasattr(self, "_http"):
            self._http = await self.api.http("operator")
        return self._http

    async def _path(self, client: httpx2.AsyncClient, deployment: int, verb: str) -> tuple[str | None, Any]:
        if verb == "start":
            return "/v1/sessions", {"deployment_id": deployment}
        if verb == "stop":
            return f"/v1/deployments/{deployment}:stop", {}
        found = await self._read(client, deployment)
        session = found.get("session_id")
        return (None, {}) if session is None else (f"/v1/sessions/{session}:restart", {})

    async def _answer(self, client: httpx2.AsyncClient, path: str, body: Any, headers: Any) -> httpx2.Response | None:
        """The answer of a request; 503 and silence are asked again."""
        answer = None
        for _ in range(20):
            try:
                answer = await client.post(path, json=body, headers=headers)
            except httpx2.HTTPError:
                answer = None
            if answer is not None and answer.status_code not in (503, 504, 409):
                return answer
            await asyncio.sleep(0.5)
            if answer is not None and answer.status_code == 409:
                return answer
        return answer

    async def _read(self, client: httpx2.AsyncClient, deployment: int) -> dict[str, Any]:
        try:
            answer = await client.get(f"/v1/deployments/{deployment}")
        except httpx2.HTTPError:
            return {}
        found: dict[str, Any] = answer.json() if answer.is_success else {}
        return found

    async def _accepted(
        self, client: httpx2.AsyncClient, at: Any, deployment: int, verb: str, said: dict[str, Any]
    ) -> Accepted:
        shown = said if verb == "stop" else await self._read(client, deployment)
        session = said.get("session_id")
        return Accepted(
            at=at,
            verb=verb,
            deployment=deployment,
            version=int(shown.get("desired_version") or 0),
            session=None if session is None else int(session),
        )
