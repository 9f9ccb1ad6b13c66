"""Our own files: styles, scripts, the vendored code; kept by browsers for ever, since their URL changes with their content."""

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from manman.ui.render import STATIC


class Kept(StaticFiles):
    """Static files with a long life where the URL carries a version."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file; immutable for a year when asked for by version."""
        response = await super().get_response(path, scope)
        versioned = b"v=" in scope.get("query_string", b"")
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return response


def files() -> Mount:
    """The route of all files."""
    return Mount("/static", app=Kept(directory=STATIC), name="static")


async def worker(request: Request) -> Response:
    """`GET /live-worker.js`: the shared worker that holds the browser's one stream."""
    return FileResponse(STATIC / "live-worker.js", media_type="text/javascript", headers={"cache-control": "no-cache"})
