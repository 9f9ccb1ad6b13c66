"""The lists: deployments, sessions, hosts, events. Each has a filter in the API's grammar and pages by the API's tokens."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request

from manman.client import ApiError

T = TypeVar("T")
PAGE_SIZE = 50
LONGEST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a list was asked for, and why the API would not read the filter, if so."""

    filter: str
    page: str
    fault: str = ""
    hint: str = ""


async def asked(request: Request, method: Callable[..., Awaitable[T]], empty: T, **more: Any) -> tuple[T, Asked]:
    """The reply of a List method for the request's `filter` and `page`; a bad filter gives the empty reply and the fault."""
    wanted = Asked(filter=request.query_params.get("filter", "")[:LONGEST], page=request.query_params.get("page", ""))
    try:
        reply = await method(
            page_size=PAGE_SIZE, page_token=wanted.page or None, filter=wanted.filter.strip() or None, **more
        )
    except ApiError as error:
        if error.refused_code not in ("filter_invalid", "page_token_invalid", "invalid_argument"):
            raise
        return empty, Asked(filter=wanted.filter, page="", fault=error.detail, hint=error.hint or "")
    return reply, wanted
