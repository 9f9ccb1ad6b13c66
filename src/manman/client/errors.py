"""What the API says when it says no."""

from __future__ import annotations

from typing import Any

import msgspec

from manman.errors import ManManError, Permanent, TimedOut, Unavailable


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An RFC 9457 problem as the API writes it. `facts` are the numbers and names that belong to the code."""

    title: str = ""
    status: int = 0
    code: str = "internal"
    detail: str = ""
    hint: str | None = None
    errors: list[dict[str, str]] = []
    facts: dict[str, Any] = {}
    trace_id: str | None = None


class ApiError(Permanent):
    """The API refused. `refused_code` is the stable code of its table, `facts` what belongs to it (`session_id` of the
    session that is live, `deployment_id` of the port's holder), `errors` the faults by JSON pointer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title, hint=problem.hint)
        self.problem = problem
        self.refused_code = problem.code
        self.status = problem.status
        self.facts = problem.facts
        self.errors = problem.errors
        self.trace_id = problem.trace_id


def error_of(status: int, body: bytes) -> ManManError:
    """The exception for a reply that is no success; a body that is no problem is told by its status alone."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        problem = Problem(status=status, title=f"the API answered {status} without a word that it knows")
    if problem.code == "unavailable" or status in (502, 503):
        return Unavailable(problem.detail or problem.title, hint=problem.hint)
    if problem.code == "timeout":
        return TimedOut(problem.detail or problem.title, hint=problem.hint)
    return ApiError(problem)
