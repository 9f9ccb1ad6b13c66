"""Who visits: the cookie with the login, the form token, and the API client that acts with it.

The pages hold no credential: each call to the API carries the visitor's own login. The form token is derived from it, so a
form of another login, or of none, is refused.
"""

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from manman.client import Client
from manman.ui.settings import Settings

THEMES = ("system", "light", "dark", "oled")
THEME_COOKIE = "manman-theme"
KEYS_COOKIE = "manman-keys"
YEAR = 365 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody with a login. `client` speaks to the API as them."""

    token: str
    client: Client

    @property
    def form_token(self) -> str:
        """What every form of this login must send back."""
        return form_token(self.token)


@dataclass(slots=True)
class Visitors:
    """The clients of recent logins, so that their connections are kept; at most `most`, the least used goes first."""

    settings: Settings
    most: int = 100
    _clients: "OrderedDict[str, Client]" = field(default_factory=OrderedDict)

    def of(self, request: Request) -> Visitor | None:
        """The visitor of a request, or None for a stranger. Whether the login is still good, only the API says."""
        token = request.cookies.get(cookie_name(self.settings), "")
        if not token.startswith("mml_") or len(token) > 200:
            return None
        return Visitor(token=token, client=self.client(token))

    def client(self, token: str) -> Client:
        """The client of a login."""
        if token in self._clients:
            self._clients.move_to_end(token)
        else:
            self._clients[token] = Client(self.settings.api_url, token, timeout=15.0, user_agent="manman-ui")
        return self._clients[token]

    async def trim(self) -> None:
        """Closes clients beyond the most that are kept."""
        while len(self._clients) > self.most:
            _, client = self._clients.popitem(last=False)
            await client.aclose()

    async def close(self) -> None:
        """Closes all connections."""
        while self._clients:
            await self._clients.popitem()[1].aclose()


def cookie_name(settings: Settings) -> str:
    """`__Host-manman` on https; plain http browsers would drop that one, and login would loop."""
    return "__Host-manman" if settings.secure else "manman"


def keep_login(response: Response, settings: Settings, token: str) -> None:
    """Lets the browser keep the login; how long it is good is the API's affair."""
    response.set_cookie(
        cookie_name(settings),
        token,
        max_age=30 * 86400,
        path="/",
        secure=settings.secure,
        httponly=True,
        samesite="lax",
    )


def forget_login(response: Response, settings: Settings) -> None:
    """Takes the login out of the browser."""
    response.delete_cookie(cookie_name(settings), path="/", secure=settings.secure, httponly=True, samesite="lax")


def form_token(token: str) -> str:
    """Derived from the login, 32 hexadecimal digits; it proves that the form came from a page of this login."""
    return hmac.new(token.encode(), b"form", hashlib.sha256).hexdigest()[:32]


def theme_of(request: Request) -> str:
    """The theme that this browser chose; 'system' follows it."""
    theme = request.cookies.get(THEME_COOKIE, "system")
    return theme if theme in THEMES else "system"


def single_keys(request: Request) -> bool:
    """Whether single-key shortcuts are on in this browser; they can be switched off."""
    return request.cookies.get(KEYS_COOKIE, "on") != "off"
