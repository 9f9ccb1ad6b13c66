"""Commands against a running panel: lists for people and for programs, and errors with their exit codes."""

import asyncio
import json
import os
import sys

import pytest
from harness.apis import Running


async def manman(api: Running, *words: str, who: str = "admin") -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command."""
    given = {"MANMAN_URL": api.url, "MANMAN_TOKEN": api.keys[who], "PATH": os.environ["PATH"]}
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "manman", *words, env=given, stdout=pipe, stderr=pipe
    )
    out, err = await child.communicate()
    return child.returncode or 0, out.decode(), err.decode()


async def a_session(api: Running) -> int:
    deployment = await api.deployment(await api.host())
    return (await (await api.client()).start_session(deployment_id=deployment.deployment_id)).session_id


LISTS = {
    "hosts list": ("ID", "box-1"),
    "hosts history box-1": ("N", None),
    "hosts ports box-1": ("PORT", "survival"),
    "hosts tokens list": ("ID", "admin-person"),
    "games list": ("ID", "demo"),
    "games catalogue": ("NAME", "teeworlds"),
    "games configs demo": ("ID", "demo/"),
    "deployments list": ("ID", "survival"),
    "deployments history survival": ("N", "installing"),
    "sessions list": ("ID", "survival"),
    "sessions history survival": ("N", "pending"),
    "events list": (None, None),
    "events dead list": ("N", None),
}


async def test_every_list_is_a_table_for_people_and_an_array_for_programs(api: Running) -> None:
    await a_session(api)
    for command, (first, holds) in LISTS.items():
        code, table, err = await manman(api, *command.split())
        assert (code, err) == (0, ""), command
        if holds is not None:
            assert table.startswith(first) and holds in table, table
        code, text, _ = await manman(api, *command.split(), "--json")
        found = json.loads(text)
        assert code == 0 and isinstance(found, list) and bool(found) == (holds is not None), command


async def test_what_a_command_answers_has_the_keys_of_the_api(api: Running) -> None:
    session = await a_session(api)
    [listed] = json.loads((await manman(api, "sessions", "list", "--json"))[1])
    assert listed["session_id"] == session and listed["status"] == "pending"
    assert {"host_id", "deployment_id", "endpoints", "created_at"} <= listed.keys()
    alone = json.loads((await manman(api, "sessions", "get", "survival", "--json"))[1])
    assert alone.keys() == listed.keys()


@pytest.mark.parametrize(
    ("words", "who", "code", "says"),
    [
        ("hosts get nowhere", "admin", 3, "no host is called nowhere; there is box-1"),
        ("sessions start survival", "admin", 4, "is live"),
        ("hosts drain box-1", "viewer", 5, "hosts.edit"),
        ("deployments update survival --set X", "admin", 2, "is not NAME=VALUE"),
        ("sessions list --filter colour=blue", "admin", 2, "colour"),
    ],
)
async def test_an_error_is_a_line_and_an_exit_code(api: Running, words: str, who: str, code: int, says: str) -> None:
    await a_session(api)
    got, _, err = await manman(api, *words.split(), who=who)
    assert (got, says in err, "Traceback" in err) == (code, True, False), err
