"""What every request passes first, and what every answer carries.

A foreign `Host` is refused (a rebound name would reach the pages with the visitor's address), and so is a change that another
site asked for: `Origin` and `Sec-Fetch-Site` are the browser's own word and cannot be forged by a page. Answers carry a content
security policy without inline script or style, so that text from a game can never become code.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from manman.errors import BadSetting
from manman.ui.settings import Settings

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware: refuses foreign names and foreign changes, adds the security headers."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.names = allowed_names(settings)
        self.without_login = settings.auth_mode == "none"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is ours; answers 421 or 403 by itself otherwise."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = refusal(
            scope["method"], scope["path"], Headers(scope=scope), self.names, without_login=self.without_login
        )

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if refused is None:
            await self.app(scope, receive, sent)
        else:
            status, text = refused
            await PlainTextResponse(text + "\n", status_code=status)(scope, receive, sent)


def allowed_names(settings: Settings) -> frozenset[str]:
    """The host names, lower case and without port, under which the pages answer, beside address literals."""
    names = {"localhost", *(name.lower() for name in settings.allowed_hosts)}
    if settings.public_url:
        names.add((urlsplit(settings.public_url).hostname or "").lower())
    return frozenset(names - {""})


def must_be_safe(settings: Settings) -> None:
    """Raises `BadSetting` where pages without login would be open to other machines."""
    public = urlsplit(settings.public_url).hostname if settings.public_url else None
    if settings.auth_mode == "none" and not {settings.ui_host, public or "localhost"} <= LOOPBACK:
        raise BadSetting(
            "AUTH_MODE=none makes every visitor admin; it is for a UI_HOST and PUBLIC_URL on loopback only"
        )


def is_forwarded(headers: Headers) -> bool:
    """Whether a proxy says that it passed this on."""
    return any(name == "forwarded" or name.startswith("x-forwarded-") for name in headers)


def refusal(
    method: str, path: str, headers: Headers, names: frozenset[str], *, without_login: bool = False
) -> tuple[int, str] | None:
    """(HTTP status, sentence) for a request that must not be served, else None."""
    host = headers.get("host", "")
    if path not in PROBES and not is_ours(host, names):
        return 421, f"origin_refused: {host!r} is no name of this installation; add it to ALLOWED_HOSTS or PUBLIC_URL"
    if without_login and path not in PROBES and is_forwarded(headers):
        return 403, "origin_refused: with AUTH_MODE=none no proxy may stand in front"
    if method in SAFE:
        return None
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return 403, "origin_refused: the change was asked for by another site"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return 403, f"origin_refused: the change was asked for by {origin}"
    return None


def is_ours(host: str, names: frozenset[str]) -> bool:
    """Whether a `Host` header names us: an address literal, or one of `names`."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names
    return True
