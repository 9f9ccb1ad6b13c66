"""Forms: the token that proves whose page sent them, read before anything is done."""

import hmac
from urllib.parse import parse_qsl

from starlette.requests import Request

from manman.client import ApiError
from manman.client.errors import Problem
from manman.ui.frame import Frame

LARGEST = 64 * 1024


async def read(request: Request) -> dict[str, str]:
    """The fields of a form; only `application/x-www-form-urlencoded`, at most 64 KiB, the last of a repeated name."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise refused(415, "unsupported_media", f"a form is application/x-www-form-urlencoded, not {kind or 'nothing'}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise refused(413, "too_large", "a form of these pages is never larger than 64 KiB")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))


async def checked(request: Request, around: Frame) -> dict[str, str]:
    """The fields of a form that a page of this very login sent. Raises `origin_refused` for any other."""
    fields = await read(request)
    if not hmac.compare_digest(fields.get("form_token", "").encode(), around.visitor.form_token.encode()):
        raise refused(403, "origin_refused", "the form is not from a page of this login; open the page again")
    return fields


def refused(status: int, code: str, detail: str) -> ApiError:
    """A refusal of the pages' own, shaped like the API's."""
    return ApiError(Problem(status=status, code=code, title=code, detail=detail))


def local_path(wanted: str) -> str:
    """A path of ours to go to next, or '/': never another site, whatever a link says."""
    if (
        not wanted.startswith("/")
        or wanted.startswith(("//", "/\\"))
        or any(ord(c) < 0x20 or c == "\\" for c in wanted)
    ):
        return "/"
    return wanted
