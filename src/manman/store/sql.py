"""SQL lies beside its module: `-- name: lock_many` begins a statement, the next name or the end of the file ends it.

A `Part` is a statement that may travel with others (`together`): one message to the database and one answer, whatever is in it. One
of them may be of several steps and answer something: `WITH … SELECT …`, the answer on a line of its own. Rows travel as one JSON
text: it costs a fraction of what an array for each column does.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)[ \t]*$", re.MULTILINE)
_PARAMETER = re.compile(r"\$([1-9][0-9]*)")
_STEPS = re.compile(r"(?:--[^\n]*\n)*WITH (?P<steps>.*\n\))\nSELECT (?P<answer>.*)", re.DOTALL)
_ENCODE = msgspec.json.Encoder().encode


@cache
def load(module: str) -> dict[str, str]:
    """The statements of `<module>.sql` by name (`load(__name__)`).

    Raises `FileNotFoundError` when there is no such file and `ValueError` for a name that is there twice, both bugs of ours.
    """
    package, _, name = module.rpartition(".")
    return parse(files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, str]:
    """The named statements of a text; what stands before the first name belongs to nobody."""
    parts = _NAME.split(text)
    names = parts[1::2]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"named twice: {', '.join(sorted(twice))}")
    return {name: body.strip() for name, body in zip(names, parts[2::2], strict=True)}


@dataclass(frozen=True, slots=True)
class Part:
    """A statement that changes rows, with its parameters."""

    text: str
    arguments: tuple[Any, ...]


async def together(conn: Any, parts: Sequence[Part]) -> Any:
    """Run statements as one; the row that the one which answers does (None for no statement at all). They see the rows as these were
    before all of them, and none may touch a row of another's; what a constraint between them needs is looked at when all are done."""
    if not parts:
        return None
    text = _joined(tuple(part.text for part in parts))
    return await conn.fetchrow(text, *(argument for part in parts for argument in part.arguments))


async def alone(conn: Any, part: Part) -> list[Any]:
    """Run one statement; the rows that it returns."""
    found: list[Any] = await conn.fetch(part.text, *part.arguments)
    return found


@cache
def _joined(texts: tuple[str, ...]) -> str:
    if len(texts) == 1:
        return texts[0]
    steps, used, answer = [], 0, ""
    for place, text in enumerate(texts):
        own = _renumbered(text, used)
        if found := _STEPS.fullmatch(own):
            steps.append(found["steps"])
            answer = found["answer"]
        else:
            steps.append(f"part_{place} AS (\n{own}\n)")
        used += max(map(int, _PARAMETER.findall(text)), default=0)
    return f"WITH {', '.join(steps)} SELECT {answer}"


def _renumbered(text: str, used: int) -> str:
    """The statement with its parameters after those that are used."""
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + used}", text)


def rows(values: Sequence[Any]) -> str:
    """Values (mappings or structs) as the one parameter of `json_to_recordset`."""
    return _ENCODE(values).decode()


def storable(text: str) -> str:
    """The text as PostgreSQL can store it: any but NUL and lone surrogates."""
    return text.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")
