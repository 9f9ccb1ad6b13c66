"""The ten-line script of docs/messages.md is understood, as it stands there: bodies without headers, over the real broker."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from contract.places import Place
from integration.processor_house import house

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "messages.md"


def script(url: str, host: int, session: int) -> str:
    """The document's script, with this run's broker and ids."""
    [code] = re.findall(r"```python\n(import json, pika\n.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert code.count("host_id=1") == 2 and code.count("session_id=7") == 3
    code = re.sub(r'"amqp://[^"]*"', repr(url), code)
    return code.replace("host_id=1", f"host_id={host}").replace("session_id=7", f"session_id={session}")


async def test_the_documented_script_moves_a_session(rabbitmq_url: str, database_url: str) -> None:
    async with house(Place("rabbitmq", rabbitmq_url), database_url) as home:
        agent = await home.host()
        session = await home.session(await home.deployment(agent))
        code = script(rabbitmq_url, agent.id, session)
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=True, timeout=60)
        await home.until_status(session, "crashed")
        assert await home.history(session) == ["pending", "starting", "running", "crashed"]
        event = await home.until_event("manman.session.crashed", session_id=session)
        assert event["exit_code"] == 3 and event["reason"] == "exited"
        assert await home.value("SELECT count(*) FROM dead_letters") == 0
