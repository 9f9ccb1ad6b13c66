"""Reads the environment into settings classes."""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from manman.errors import BadSetting

S = TypeVar("S", bound=msgspec.Struct)

# Variables of the machine that resemble ours by chance.
NOT_OURS = frozenset({"DB_DRIVER", "HOSTNAME", "LOGNAME"})


def load(settings: type[S], environment: Mapping[str, str] | None = None) -> S:
    """Fill `settings` from the environment (or the mapping given).

    Raises `BadSetting`, one sentence, for a required variable that is missing, a value that does not fit, both `NAME` and
    `NAME_FILE`, or a file that cannot be read.
    """
    env = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for field in msgspec.structs.fields(settings):
        name = field.name.upper()
        found = _read(name, env)
        if found is None:
            if field.required:
                raise BadSetting(
                    f"{name} is not set; it must be {_kind(field.type)} ({_meaning(settings, field.name)})"
                )
            continue
        values[field.name], sources[field.name] = found
    return _convert(settings, values, sources)


def _read(name: str, env: Mapping[str, str]) -> tuple[str, str] | None:
    plain, path = env.get(name), env.get(f"{name}_FILE")
    if plain is not None and path is not None:
        raise BadSetting(f"both {name} and {name}_FILE are set; keep one of them")
    if path is not None:
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\n"), f"file {path} named by {name}_FILE"
        except OSError as error:
            raise BadSetting(f"{name}_FILE names {path}, which cannot be read: {error.strerror}") from error
    if plain is None or plain == "":
        return None
    return plain, "the environment"


def _convert(settings: type[S], values: dict[str, Any], sources: dict[str, str]) -> S:
    hints = get_type_hints(settings, include_extras=True)
    converted: dict[str, Any] = {}
    for name, text in values.items():
        try:
            converted[name] = msgspec.convert(_plain(hints[name], text), hints[name], strict=False)
        except (msgspec.ValidationError, ValueError):
            shown = "(hidden)" if _is_secret(name) else repr(text)
            raise BadSetting(
                f"{name.upper()} must be {_kind(hints[name])}, not {shown} (from {sources[name]})"
            ) from None
    return settings(**converted)


def _plain(hint: Any, text: str) -> Any:
    """Lists are written with commas; booleans in the usual words."""
    bare = {t for t in _flat(hint) if t is not type(None)}
    if bool in bare and text.lower() in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        return text.lower() in ("1", "true", "yes", "on")
    if any(get_origin(t) in (tuple, list) for t in bare):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _flat(hint: Any) -> list[Any]:
    if hasattr(hint, "__metadata__"):
        return _flat(get_args(hint)[0])
    if get_origin(hint) in (tuple, list) or not get_args(hint) or str(get_origin(hint)).endswith("Literal"):
        return [hint]
    return [t for a in get_args(hint) for t in _flat(a)]


def _kind(hint: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    names = []
    for t in _flat(hint):
        if t is type(None):
            continue
        if get_args(t) and get_origin(t) not in (tuple, list):
            names.append("one of " + ", ".join(str(a) for a in get_args(t)))
        else:
            names.append(words.get(t, "a list separated by commas" if get_origin(t) in (tuple, list) else str(t)))
    return " or ".join(names)


def _is_secret(name: str) -> bool:
    return any(word in name for word in ("password", "token", "secret", "key", "url"))


def _meaning(settings: type[msgspec.Struct], name: str) -> str:
    hint = get_type_hints(settings, include_extras=True)[name]
    for meta in getattr(hint, "__metadata__", ()):
        if getattr(meta, "description", None):
            return str(meta.description).rstrip(".")
    return "see the reference of settings"


def problems_with_names(
    known: Iterable[type[msgspec.Struct]], environment: Mapping[str, str] | None = None
) -> list[str]:
    """Sentences about variables that are not settings but look like one: misspelt names must not be ignored silently."""
    env = os.environ if environment is None else environment
    names = {f.name.upper() for s in known for f in msgspec.structs.fields(s)}
    everything = names | {f"{n}_FILE" for n in names}
    said = []
    for variable in sorted(env):
        if variable in everything or variable in NOT_OURS or len(variable) < 6:
            continue
        near = difflib.get_close_matches(variable, everything, n=1, cutoff=0.88)
        if near:
            said.append(f"{variable} is not a setting; did you mean {near[0]}?")
    return said


def settings_reference(rooms: Mapping[str, type[msgspec.Struct]]) -> str:
    """A Markdown table of every setting of the rooms given: variable, meaning, default, what it must be."""
    lines = ["| variable | room | default | must be | meaning |", "|---|---|---|---|---|"]
    for room, settings in rooms.items():
        hints = get_type_hints(settings, include_extras=True)
        for field in msgspec.structs.fields(settings):
            default = (
                "required"
                if field.required
                else ("" if field.default in (None, msgspec.NODEFAULT) else f"`{field.default}`")
            )
            lines.append(
                f"| `{field.name.upper()}` | {room} | {default} | {_kind(hints[field.name])} | {_meaning(settings, field.name)} |"
            )
    return "\n".join(lines) + "\n"
