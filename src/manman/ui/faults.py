"""Pages that say what is wrong: the code, what happened, the way out, and the trace id under which it can be found."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from manman.client import ApiError
from manman.errors import ManManError, TimedOut, Unavailable
from manman.observability import get_logger
from manman.ui.render import Pages
from manman.ui.visitor import theme_of

log = get_logger(__name__)
TITLES = {
    "not_found": "Nothing is here",
    "permission_denied": "Not yours to see",
    "unavailable": "The control plane does not answer",
    "timeout": "The control plane took too long",
    "origin_refused": "Asked for from elsewhere",
    "internal": "Something broke here",
}


async def page_of(request: Request, error: ManManError) -> Response:
    """The page for what the API said, or for its silence."""
    if isinstance(error, ApiError):
        return _shown(request, error.status or 500, error.refused_code, error.detail, error.hint, error.trace_id or "")
    status = 504 if isinstance(error, TimedOut) else 503 if isinstance(error, Unavailable) else 500
    return _shown(request, status, error.code, error.detail, error.hint, "")


async def plain(request: Request, status: int, detail: str, headers: dict[str, str]) -> Response:
    """The page for what never reached the API."""
    if status == 404:
        return _shown(request, 404, "not_found", f"There is no page at {request.url.path}.", None, "")
    response = _shown(request, status, "invalid_argument", f"{detail}: {request.method} {request.url.path}", None, "")
    response.headers.update(headers)
    return response


async def unforeseen(request: Request, error: Exception) -> Response:
    """The page for a fault of ours; the log has the whole of it."""
    log.error("page_failed", path=request.url.path, error=repr(error), exc_info=error)
    return _shown(
        request, 500, "internal", "The page could not be made. The log of the web pages has the reason.", None, ""
    )


def _shown(request: Request, status: int, code: str, detail: str, hint: str | None, trace_id: str) -> Response:
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"code": code, "detail": detail}, status_code=status)
    pages: Pages = request.app.state.pages
    again = request.url.path + (f"?{request.url.query}" if request.url.query else "") if request.method == "GET" else ""
    text = pages.render(
        "fault.html",
        title=TITLES.get(code, "The control plane said no"),
        code=code,
        detail=detail,
        hint=hint,
        trace_id=trace_id,
        again=again,
        bad=status >= 500,
        theme=theme_of(request),
        settings=request.app.state.settings,
    )
    return HTMLResponse(text, status_code=status, headers={"cache-control": "no-store"})
