"""The one table that maps codes to gRPC and HTTP, and the faults of a request, told all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from manman.errors import ManManError, RefusedError, TimedOut, Transient


@dataclass(frozen=True, slots=True)
class Code:
    """How a code travels: the name of a gRPC status, an HTTP status, and its title."""

    grpc: str
    http: int
    title: str


CODES: dict[str, Code] = {
    "invalid_argument": Code("INVALID_ARGUMENT", 400, "The request is not valid"),
    "filter_invalid": Code("INVALID_ARGUMENT", 400, "The filter is not valid"),
    "page_token_invalid": Code("INVALID_ARGUMENT", 400, "The page token is not valid here"),
    "key_reused": Code("INVALID_ARGUMENT", 422, "The idempotency key belongs to another request"),
    "unsupported_media": Code("INVALID_ARGUMENT", 415, "The body must be application/json"),
    "too_large": Code("INVALID_ARGUMENT", 413, "The body is too large"),
    "method_not_allowed": Code("UNIMPLEMENTED", 405, "This address knows other methods"),
    "unauthenticated": Code("UNAUTHENTICATED", 401, "Who is calling is not known"),
    "permission_denied": Code("PERMISSION_DENIED", 403, "The caller may not do this"),
    "reauthenticate": Code("PERMISSION_DENIED", 403, "This asks for the password or login again"),
    "origin_refused": Code("PERMISSION_DENIED", 403, "The request comes from another site"),
    "not_found": Code("NOT_FOUND", 404, "There is no such thing"),
    "already_exists": Code("ALREADY_EXISTS", 409, "It exists already"),
    "session_live": Code("ALREADY_EXISTS", 409, "A session is live"),
    "port_taken": Code("ALREADY_EXISTS", 409, "A port is taken"),
    "host_offline": Code("FAILED_PRECONDITION", 409, "The host is offline"),
    "host_draining": Code("FAILED_PRECONDITION", 409, "The host takes no new session"),
    "agent_too_old": Code("FAILED_PRECONDITION", 409, "The host's agent is too old"),
    "deployment_not_ready": Code("FAILED_PRECONDITION", 409, "The deployment is not ready"),
    "config_invalid": Code("FAILED_PRECONDITION", 409, "The config cannot be run"),
    "session_over": Code("FAILED_PRECONDITION", 409, "The session is over"),
    "session_not_running": Code("FAILED_PRECONDITION", 409, "The session is not running"),
    "in_use": Code("FAILED_PRECONDITION", 409, "It is in use"),
    "broker_admin_missing": Code("FAILED_PRECONDITION", 409, "No host can join yet"),
    "limit_reached": Code("RESOURCE_EXHAUSTED", 409, "A limit is reached"),
    "ports_exhausted": Code("RESOURCE_EXHAUSTED", 409, "No port is free"),
    "input_full": Code("RESOURCE_EXHAUSTED", 409, "Too much input waits"),
    "rate_limited": Code("RESOURCE_EXHAUSTED", 429, "Too many requests"),
    "changed_meanwhile": Code("ABORTED", 412, "It was changed meanwhile"),
    "busy": Code("ABORTED", 409, "It is busy"),
    "unavailable": Code("UNAVAILABLE", 503, "A part of the installation is out of reach"),
    "timeout": Code("DEADLINE_EXCEEDED", 504, "It took too long"),
    "internal": Code("INTERNAL", 500, "Something went wrong inside"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a request. `pointer` is a JSON pointer into it ("/ports/0/name")."""

    pointer: str
    detail: str
    code: str = "invalid_argument"


class InvalidRequest(RefusedError):
    """A request with faults; all of them."""

    def __init__(self, faults: Sequence[Fault], *, code: str = "invalid_argument", hint: str | None = None) -> None:
        told = "; ".join(f"{fault.pointer or '/'}: {fault.detail}" for fault in faults[:5])
        more = f" (and {len(faults) - 5} more)" if len(faults) > 5 else ""
        super().__init__(code, told + more, hint=hint)
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What a door says when something is not done."""

    code: str
    detail: str
    hint: str | None = None
    faults: tuple[Fault, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> Code:
        return CODES[self.code]


def problem_of(error: BaseException) -> Problem:
    """How an exception is told. What is not one of ours is `internal`, and says nothing about the inside."""
    match error:
        case RefusedError():
            faults = error.faults if isinstance(error, InvalidRequest) else ()
            code = error.refused_code if error.refused_code in CODES else "invalid_argument"
            return Problem(code=code, detail=error.detail, hint=error.hint, faults=faults, facts=dict(error.facts))
        case TimedOut() | TimeoutError():
            return Problem(code="timeout", detail=str(error) or "it took longer than it was given")
        case Transient():
            code = error.code if error.code in CODES else "unavailable"
            return Problem(code=code, detail=error.detail, hint=error.hint)
        case ManManError():
            code = error.code if error.code in CODES else "internal"
            return Problem(code=code, detail=error.detail, hint=error.hint)
        case _:
            return Problem(code="internal", detail="an error inside; the log has it under the trace id")


def not_found(what: str, key: object) -> RefusedError:
    """`not_found`, naming the thing."""
    return RefusedError("not_found", f"there is no {what} {key}")


def invalid(pointer: str, detail: str, *, hint: str | None = None) -> InvalidRequest:
    """`invalid_argument` with one fault."""
    return InvalidRequest([Fault(pointer=pointer, detail=detail)], hint=hint)
