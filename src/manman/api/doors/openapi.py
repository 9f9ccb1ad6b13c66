"""`/openapi.json`, and `/docs`: the same as a page that needs no script and no other site."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import Any

import msgspec

from manman.api.openapi import described

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "code{font-family:ui-monospace,monospace}h3{margin:1.5rem 0 .25rem}p{margin:.25rem 0}"
)


@cache
def document() -> bytes:
    """The OpenAPI document as JSON."""
    return msgspec.json.encode(described())


@cache
def page() -> bytes:
    """Every method with its route, what it says and what it needs."""
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>ManMan API</title><style>{_STYLE}</style>"]
    parts.append("<h1>ManMan API</h1><p>The same for programs: <a href=/openapi.json>openapi.json</a></p>")
    by_service: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, verbs in described()["paths"].items():
        for verb, operation in verbs.items():
            by_service.setdefault(operation["tags"][0], []).append((verb, path, operation))
    for service, operations in sorted(by_service.items()):
        parts.append(f"<h2>{escape(service)}</h2>")
        for verb, path, operation in operations:
            parts.append(f"<h3>{escape(operation['operationId'])} <code>{verb.upper()} {escape(path)}</code></h3>")
            parts.append(f"<p>{escape(operation['summary'])}</p><p>{escape(operation['description'])}</p>")
    return "".join(parts).encode()
