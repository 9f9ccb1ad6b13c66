"""Structured logs on stderr: JSON lines for machines, short coloured ones when stderr is a terminal or `LOG_FORMAT=text`."""

import logging
import sys
from collections.abc import Callable
from typing import Any, TextIO, cast

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def get_logger(name: str) -> Any:
    """The logger of a module: `log.info("event_name", host_id=3)`; values must be JSON-able or have a `str`."""
    return structlog.get_logger(module=name)


def set_up_logs(
    level: str = "info", *, service: str, json: bool | None = None, stream: Callable[[], TextIO] = lambda: sys.stderr
) -> None:
    """Configure logging of this process once, at its start.

    `level` is one of debug, info, warning, error; `service` is a field of every line; `json` None means: JSON unless the
    stream is a terminal.
    """
    out = _Unfailing(stream())
    as_json = not out.isatty() if json is None else json
    renderer: Any = _renderer(as_json)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _with(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS.get(level, logging.INFO)),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, out)),
        cache_logger_on_first_use=False,
    )
    _route_library_logs(level, shared, renderer, out)


class _Unfailing:
    """A stream whose disk may be full or whose reader may be gone: a lost line must not become the failure of what it tells."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        try:
            return self._out.write(text)
        except (OSError, ValueError):
            return 0

    def flush(self) -> None:
        try:
            self._out.flush()
        except (OSError, ValueError):
            pass

    def isatty(self) -> bool:
        return self._out.isatty()


def _renderer(as_json: bool) -> Any:
    if as_json:
        return structlog.processors.JSONRenderer(default=str)
    # The default one prints local variables with a traceback, and a token may be among them.
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _with(service: str) -> Callable[[Any, str, Any], Any]:
    def add(_logger: Any, _method: str, fields: Any) -> Any:
        fields.setdefault("service", service)
        return fields

    return add


def _route_library_logs(level: str, shared: list[Any], renderer: Any, out: Any) -> None:
    """Lines of libraries take the same shape, from `warning` up (their `info` tells what we tell better)."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    to_stream = logging.StreamHandler(out)
    to_stream.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [to_stream]
    root.setLevel(max(LEVELS.get(level, logging.INFO), logging.WARNING))
    for chatty in ("asyncio", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    logging.getLogger("asyncio").addFilter(_is_worth_telling)
    # It tells each failed connection seven times; the bus tells it once, with the setting's name.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """The PostgreSQL driver leaves an answer behind where a connection is given up while it is made and lost at once: who wanted the
    connection tells that."""
    error = record.exc_info[1] if record.exc_info else None
    return not (record.getMessage().startswith("Future exception was never") and isinstance(error, ConnectionError))
