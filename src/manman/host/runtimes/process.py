"""The process runtime: a wrapper by double fork, a folder for each session, no container.

`<state>/sessions/<id>/` is the wrapper's folder; `label.json` in it names host, session and deployment. A folder without
a label of this host is nobody's here and never touched.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.host import files
from manman.host.runtimes import Found, NotLaunched, Work
from manman.wrapper import launch as wrapper
from manman.wrapper import pipe, spool_reader

LABEL = "label.json"
START_DEADLINE = 30.0
LIMITS = {"core": 0}


class Label(msgspec.Struct, frozen=True):
    """Whose folder it is."""

    host: HostId
    session: SessionId
    deployment: DeploymentId


class ProcessRuntime:
    """Games as processes of this machine, under numbers of their own where the agent is root."""

    def __init__(self, state: Path, host_id: HostId) -> None:
        self._sessions, self._host_id = state / "sessions", host_id

    async def launch(self, work: Work) -> Found:
        """See `Runtime.launch`."""
        known = await self.inspect(work.session_id)
        if known is not None and (known.is_alive or known.machine is not None):
            return known
        folder = self._folder(work.session_id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        label = Label(host=self._host_id, session=work.session_id, deployment=work.deployment_id)
        files.private(folder / LABEL, msgspec.json.encode(label))
        files.private(folder / pipe.LAUNCH, msgspec.json.encode(_launch_file(work)))
        await self._start(folder)
        found = await self.inspect(work.session_id)
        if found is None:
            raise NotLaunched("unknown", f"the folder of session {work.session_id} went away while it was started")
        return found

    async def _start(self, folder: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            *wrapper.command(folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, err = await asyncio.wait_for(process.communicate(), START_DEADLINE)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise NotLaunched("unknown", "the wrapper did not come up within 30 s") from None
        if process.returncode not in (0, 3, 4):  # 3: it lives already, 4: it ran and ended
            lines = err.decode(errors="replace").strip().splitlines()
            raise NotLaunched("config_invalid", lines[-1] if lines else f"the wrapper ended with {process.returncode}")

    async def list(self) -> list[Found]:
        """See `Runtime.list`."""
        try:
            names = sorted((name for name in os.listdir(self._sessions) if name.isdigit()), key=int)
        except FileNotFoundError:
            return []
        found = [await self.inspect(SessionId(int(name))) for name in names]
        return [one for one in found if one is not None]

    async def inspect(self, session_id: SessionId) -> Found | None:
        """See `Runtime.inspect`."""
        folder = self._folder(session_id)
        try:
            label = msgspec.json.decode((folder / LABEL).read_bytes(), type=Label)
        except (OSError, msgspec.DecodeError):
            return None
        if label.host != self._host_id or label.session != session_id:
            return None
        head = spool_reader.head_of(folder) or {}
        return Found(
            session_id=session_id,
            deployment_id=label.deployment,
            folder=folder,
            is_alive=wrapper.is_alive(folder),
            wrapper=head.get("wrapper"),
            machine=head.get("boot"),
        )

    async def kill(self, session_id: SessionId) -> None:
        """See `Runtime.kill`. The game dies with its wrapper."""
        found = await self.inspect(session_id)
        if found is None or not found.is_alive:
            return
        try:
            with pipe.connect(found.folder, 2.0) as connection:
                os.kill(pipe.peer(connection).pid, signal.SIGKILL)
        except (OSError, ProcessLookupError):
            if found.wrapper is not None and wrapper.is_alive(found.folder):
                os.kill(found.wrapper, signal.SIGKILL)

    async def remove(self, session_id: SessionId) -> None:
        """See `Runtime.remove`."""
        found = await self.inspect(session_id)
        if found is None:
            return
        if found.is_alive:
            raise NotLaunched("unknown", f"session {session_id} is alive; stop it before its folder is removed")
        await asyncio.to_thread(files.remove_tree, found.folder)

    def _folder(self, session_id: SessionId) -> Path:
        return self._sessions / str(session_id)


def _launch_file(work: Work) -> dict[str, Any]:
    uid, gid = work.owner or (None, None)
    return {
        "version": 1,
        "session": str(work.session_id),
        "argv": list(work.argv),
        "cwd": str(work.cwd),
        "env": dict(work.env),
        "uid": uid,
        "gid": gid,
        "terminal": work.terminal,
        "readiness": dict(work.readiness),
        "stop": dict(work.stop),
        "rlimits": LIMITS,
        "expected_exit_codes": _codes(work.expected_exit_codes),
    }


def _codes(codes: Sequence[int]) -> list[int]:
    return list(codes) or [0]
