"""Coming in and going: the one-time link, the cookie, logging out."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from manman.client import ApiError
from manman.errors import ManManError
from manman.ui import forms
from manman.ui.frame import frame
from manman.ui.render import Pages
from manman.ui.settings import Settings
from manman.ui.visitor import Visitors, cookie_name, forget_login, keep_login, theme_of


async def login_page(request: Request) -> Response:
    """`GET /login`: for strangers. The link's secret comes behind `#`, which browsers keep to themselves."""
    had_one = bool(request.cookies.get(cookie_name(request.app.state.settings)))
    return _shown(request, why="ended" if had_one else "", link=request.query_params.get("link", "")[:200])


async def login(request: Request) -> Response:
    """`POST /login`: the link for a login. It is good once, so it is only taken from a form, never from a mere visit."""
    state, fields = request.app.state, await forms.read(request)
    visitors: Visitors = state.visitors
    next_page = forms.local_path(fields.get("next", "/"))
    link = fields.get("link", "").strip()
    # Somebody may paste the whole address.
    link = link[link.find("mma_") :] if "mma_" in link else link
    try:
        reply = await visitors.client("").login(link=link)
    except ApiError as error:
        fault = (
            error.detail
            if error.refused_code == "rate_limited"
            else "This link does not open anything: it was used, is too old, or is another's."
        )
        return _shown(request, fault=fault, status=429 if error.status == 429 else 401, next_page=next_page)
    response = RedirectResponse(next_page, status_code=303)
    keep_login(response, state.settings, reply.token)
    return response


async def logout(request: Request) -> Response:
    """`POST /logout`: ends the login everywhere, and takes it out of the browser."""
    settings: Settings = request.app.state.settings
    response = RedirectResponse("/login", status_code=303)
    try:
        around = await frame(request)
        await forms.checked(request, around)
        await around.client.logout()
    except ApiError as error:
        if error.refused_code != "unauthenticated":
            raise
    forget_login(response, settings)
    return response


def to_login(request: Request) -> Response:
    """Where a stranger is sent; they come back afterwards."""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={"hx-redirect": "/login"})
    where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    there = "/login" if request.method != "GET" or where == "/" else f"/login?next={quote(where, safe='/')}"
    return RedirectResponse(there, status_code=303)


def _shown(
    request: Request, *, why: str = "", fault: str = "", status: int = 200, next_page: str | None = None, link: str = ""
) -> Response:
    state = request.app.state
    pages: Pages = state.pages
    text = pages.render(
        "login.html",
        settings=state.settings,
        where=request.url.netloc,
        theme=theme_of(request),
        why=why,
        fault=fault,
        link=link,
        next_page=next_page or forms.local_path(request.query_params.get("next", "/")),
    )
    return HTMLResponse(text, status_code=status, headers={"cache-control": "no-store"})


def told(error: ManManError) -> tuple[str, str]:
    """(code, sentence) of an error, for pages."""
    return (error.refused_code if isinstance(error, ApiError) else error.code), error.detail
