"""What a browser prefers: theme and single-key shortcuts, kept in its own cookies; nothing of it reaches the API."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from manman.ui import forms
from manman.ui.settings import Settings
from manman.ui.visitor import KEYS_COOKIE, THEME_COOKIE, THEMES, YEAR


async def preferences(request: Request) -> Response:
    """`POST /preferences`: sets what the form names and goes back to its page."""
    fields = await forms.read(request)
    settings: Settings = request.app.state.settings
    response = RedirectResponse(forms.local_path(fields.get("next", "/")), status_code=303)
    chosen = {}
    if fields.get("theme") in THEMES:
        chosen[THEME_COOKIE] = fields["theme"]
    if fields.get("keys") in ("on", "off"):
        chosen[KEYS_COOKIE] = fields["keys"]
    for name, value in chosen.items():
        response.set_cookie(name, value, max_age=YEAR, path="/", secure=settings.secure, httponly=True, samesite="lax")
    return response
