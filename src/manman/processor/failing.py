"""How an unexpected exception is told: as plain text, so that telling it costs no more than the line."""

import traceback
from typing import Any


def told(error: BaseException) -> dict[str, Any]:
    """The fields of a log line: `error` in one line, `traceback` as text."""
    return {
        "error": f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
    }
