"""Start, stop, restart, kill: told to the API, and answered with what was told or why not, where the button is."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from manman.client import ApiError, Client, types
from manman.errors import ManManError
from manman.ui import forms
from manman.ui.frame import Frame, frame
from manman.ui.render import Pages

ACTS = ("start", "stop", "restart", "kill")


async def power(request: Request) -> Response:
    """`POST /deployments/{id}/{act}`. A script gets a fragment with the outcome, a plain form the page again."""
    around = await frame(request)
    fields = await forms.checked(request, around)
    one = await around.client.get_deployment(request.path_params["id"])
    act = request.path_params["act"]
    if act == "kill" and fields.get("name", "").strip() != one.name:
        raise forms.refused(
            400,
            "invalid_argument",
            f"to kill {one.name}, its name must be typed; '{fields.get('name', '')}' is another",
        )
    by_script = request.headers.get("hx-request") == "true"
    try:
        await _tell(around.client, one, act)
    except ManManError as error:
        if not by_script:
            raise
        return _fragment(around, one, act, error)
    if by_script:
        return _fragment(around, one, act, None)
    return RedirectResponse(f"/deployments/{one.deployment_id}", status_code=303)


async def _tell(client: Client, one: types.Deployment, act: str) -> None:
    match act:
        case "start":
            await client.start_session(deployment_id=one.deployment_id)
        case "restart" if one.session_id is not None:
            await client.restart_session(one.session_id)
        case "kill" if one.session_id is not None:
            await client.kill_session(one.session_id)
        case "stop" if one.session_id is not None:
            await client.stop_session(one.session_id)
        case "stop":
            await client.stop_deployment(one.deployment_id)
        case _:
            raise forms.refused(409, "session_not_running", f"{one.name} has never run; start it first")


def _fragment(around: Frame, one: types.Deployment, act: str, error: ManManError | None) -> Response:
    pages: Pages = around.request.app.state.pages
    code = error.refused_code if isinstance(error, ApiError) else (error.code if error else "")
    text = pages.render("told.html", one=one, act=act, error=error, code=code)
    return HTMLResponse(text, headers={"cache-control": "no-store"})
