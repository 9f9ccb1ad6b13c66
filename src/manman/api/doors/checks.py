"""What a request must satisfy before anybody looks at it: the name it was sent to, where it comes from, what it carries.

The API takes no cookie; these checks hold for 127.0.0.1 too, where other users and any web page may knock.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from manman.api.refusals import Problem
from manman.api.settings import ApiSettings

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names under which this installation may be called."""

    hosts: frozenset[str]
    public_origin: str | None
    login: bool

    @classmethod
    def of(cls, settings: ApiSettings) -> Names:
        public = urlsplit(settings.public_url) if settings.public_url else None
        hosts = {"localhost", *(name.lower() for name in settings.allowed_hosts)}
        if public is not None and public.hostname:
            hosts.add(public.hostname.lower())
        origin = f"{public.scheme}://{public.netloc}".lower() if public is not None else None
        return cls(hosts=frozenset(hosts), public_origin=origin, login=settings.auth_mode != "none")

    def knows(self, authority: str) -> bool:
        """Whether a Host header names this installation: an IP literal, `localhost`, or a name of the settings."""
        host = (urlsplit(f"//{authority}").hostname or "").rstrip(".").lower()
        return host in self.hosts or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def refuses(names: Names, method: str, path: str, headers: Mapping[str, str]) -> tuple[Problem, int] | None:
    """The problem with a request and its HTTP status, or None."""
    if path in PROBES:
        return None
    authority = headers.get("host", "")
    if not _knows(names, authority):
        detail = f"this installation is not called {authority!r}"
        hint = "add the name to ALLOWED_HOSTS or set PUBLIC_URL"
        return Problem(code="origin_refused", detail=detail, hint=hint), 421
    if not names.login and any(_is_forwarded(name) for name in headers):
        return Problem(code="origin_refused", detail="with AUTH_MODE=none no proxy may stand in front"), 403
    if method in SAFE:
        return None
    return _foreign(names, authority, headers)


def _is_forwarded(name: str) -> bool:
    return name.lower() == "forwarded" or name.lower().startswith("x-forwarded-")


def _knows(names: Names, authority: str) -> bool:
    try:
        return names.knows(authority)
    except ValueError:
        return False


def _foreign(names: Names, authority: str, headers: Mapping[str, str]) -> tuple[Problem, int] | None:
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site not in (None, "same-origin", "none") or not _same(names, authority, origin):
        return Problem(code="origin_refused", detail="a change may not come from a page of another site"), 403
    return None


def _same(names: Names, authority: str, origin: str | None) -> bool:
    if origin is None:
        return True
    origin = origin.lower()
    return origin in (f"http://{authority.lower()}", f"https://{authority.lower()}", names.public_origin)


def is_json(content_type: str) -> bool:
    """Whether a body may be read: a form or a plain text of another site's page may not."""
    media, _, rest = content_type.partition(";")
    charset = rest.strip().lower().replace('"', "")
    return media.strip().lower() == "application/json" and charset in ("", "charset=utf-8")
