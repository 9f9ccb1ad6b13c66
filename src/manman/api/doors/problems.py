"""RFC 9457 problems."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from manman.api.refusals import Problem

MEDIA = "application/problem+json"


def reply(problem: Problem, *, trace_id: str = "", status: int | None = None) -> Response:
    """The answer for a problem; 401 says how to come in, 503 and 429 when to try again."""
    row = problem.row
    body = {
        "type": f"/problems/{problem.code}",
        "title": row.title,
        "status": status or row.http,
        "code": problem.code,
        "detail": problem.detail,
        "errors": [{"pointer": f.pointer, "code": f.code, "detail": f.detail} for f in problem.faults],
        "facts": problem.facts,
        "hint": problem.hint,
        "trace_id": trace_id or None,
    }
    headers = {}
    if row.http == 401:
        headers["www-authenticate"] = 'Bearer realm="manman"'
    if row.http in (429, 503):
        headers["retry-after"] = "1"
    return Response(
        msgspec.json.encode(body, enc_hook=str), status_code=status or row.http, media_type=MEDIA, headers=headers
    )
