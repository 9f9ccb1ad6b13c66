"""What commands print: tables for people, JSON for programs, errors with a way out, and the exit codes.

0 reached, 1 ended otherwise, 2 usage, 3 not found, 4 conflict, 5 not allowed, 6 unavailable, 7 some items refused, 8 timeout.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

import msgspec

from manman.cli import words
from manman.client import ApiError
from manman.errors import BadSetting, Malformed, ManManError, OutOfReach, RefusedError, TimedOut, Transient
from manman.v1 import types

N = TypeVar("N")
ENDED, USAGE, NOT_FOUND, CONFLICT, NOT_ALLOWED, UNAVAILABLE, SOME_REFUSED, TIMEOUT = 1, 2, 3, 4, 5, 6, 7, 8

BY_CODE = {
    "not_found": NOT_FOUND,
    "unauthenticated": NOT_ALLOWED,
    "permission_denied": NOT_ALLOWED,
    "reauthenticate": NOT_ALLOWED,
    "origin_refused": NOT_ALLOWED,
    "unavailable": UNAVAILABLE,
    "internal": UNAVAILABLE,
    "rate_limited": UNAVAILABLE,
    "timeout": TIMEOUT,
    "invalid_argument": USAGE,
    "filter_invalid": USAGE,
    "page_token_invalid": USAGE,
    "key_reused": USAGE,
    "unsupported_media": USAGE,
    "too_large": USAGE,
}


def exit_code(error: BaseException) -> int:
    """The exit code of an error: its code's, a refusal is a conflict, an unknown error is 1."""
    if isinstance(error, RefusedError | ApiError):
        return BY_CODE.get(error.refused_code, CONFLICT)
    code = getattr(error, "code", None)
    if isinstance(error, (BadSetting, Malformed)):
        return USAGE
    if isinstance(error, TimedOut):
        return TIMEOUT
    if isinstance(error, (OutOfReach, Transient)):
        return UNAVAILABLE
    return BY_CODE.get(str(code), CONFLICT)


def fail(error: ManManError) -> NoReturn:
    """One line that says what and why, one with the way out when there is one, and the exit code."""
    print(f"manman: {error.detail if not isinstance(error, Malformed) else error}", file=sys.stderr)
    for fault in getattr(error, "errors", ()):
        print(f"  {fault.get('pointer', '')}: {fault.get('detail', '')}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)
    raise SystemExit(exit_code(error))


def run(work: Coroutine[Any, Any, Any], loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> Any:
    """Run a command's coroutine; our errors become one line and an exit code, Ctrl-C exits 130 without a traceback.

    `loop` makes another event loop than the standard library's.
    """
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(work)
    except* ManManError as group:
        fail(_first(group))
    except* KeyboardInterrupt:
        raise SystemExit(130) from None
    except* BrokenPipeError:
        raise SystemExit(0) from None


def _first(group: BaseExceptionGroup[Any]) -> ManManError:
    """The first of ours in a group of errors, however deep."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _first(error)
        if isinstance(error, ManManError):
            return error
    raise group


def show_json(value: Any) -> None:
    """JSON for programs, on stdout, keys as in the API."""
    print(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False))


def show_json_line(value: Any) -> None:
    """The same on one line: for what comes one by one."""
    print(json.dumps(msgspec.to_builtins(value), ensure_ascii=False))


def show_list(
    found: Sequence[N], as_json: bool, columns: Sequence[str], row: Callable[[N], Sequence[Any]], *, empty: str
) -> None:
    """What was found: JSON for programs, else a table of a row each; `empty` is the sentence when there is nothing."""
    if as_json:
        show_json(found)
    else:
        show_table(columns, map(row, found), empty=empty)


def show_history(transitions: Sequence[types.Transition], as_json: bool) -> None:
    """What became of a noun, oldest first."""
    columns = ("n", "from", "to", "at", "cause")
    show_list(
        transitions,
        as_json,
        columns,
        lambda t: (t.number, t.from_ or "–", t.to, words.clock(t.at), t.cause),
        empty="No transition yet.",
    )


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """A table for people; `empty` is the sentence when there are no rows. Not a terminal: no borders, full width."""
    listed = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not listed:
        print(empty)
        return
    widths = [max(len(c), *(len(r[i]) for r in listed)) for i, c in enumerate(columns)]
    print("  ".join(c.upper().ljust(w) for c, w in zip(columns, widths, strict=True)).rstrip())
    for row in listed:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
