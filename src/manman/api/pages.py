"""Pages of lists: what is asked for, and the token of the next one.

A token holds the key of the last row and is bound to method, filter and order; it is opaque, not secret, and checked.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import msgspec
from google.protobuf.descriptor import FieldDescriptor as F

from manman.api import filters
from manman.api.json.text import CodecFault, Descriptor, time_of, time_text
from manman.api.refusals import Fault, InvalidRequest, invalid
from manman.store import listed, lists
from manman.store.lists import Page, Rows

USUAL = 50
MOST = 1000


class Asked(Protocol):
    """The fields of every List request."""

    page_size: int
    page_token: str
    filter: str
    order_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class List:
    """A list as it is declared once: its noun, the column that is its id, and the order when none is asked for.

    Both are fields of the noun, or columns of numbers that people do not see.
    """

    noun: Descriptor
    id: str
    order: str
    descending: bool = False
    # SQL that gives a column for each field that filters or sorts.
    query: str

    async def page(
        self, conn: Any, request: Any, now: datetime, *arguments: Any, begin: tuple[int, int] | None = None
    ) -> tuple[Rows, str]:
        """(rows, next page token); the first page follows the key `begin`.

        Raises `filter_invalid`, `page_token_invalid` or `invalid_argument`.
        """
        asked = self.asked(request, now)
        if asked.after is None:
            asked = replace(asked, after=begin)
        rows = await lists.page(conn, self.query, asked, *arguments)
        return rows, (self.token(request, asked, rows.rows[-1]) if rows.more else "")

    def asked(self, request: Any, now: datetime) -> Page:
        """What a request asks for."""
        order, descending = self._order(getattr(request, "order_by", ""))
        text = getattr(request, "filter", "")
        return Page(
            terms=filters.parse(text, self.noun, now),
            order=order,
            id=self.id,
            descending=descending,
            has_nulls=self._type_of(order) == F.TYPE_MESSAGE,
            after=self._after(request, order),
            size=size_of(request.page_size),
        )

    def _order(self, text: str) -> tuple[str, bool]:
        if not text:
            return self.order, self.descending
        name, _, way = text.strip().partition(" ")
        if name not in filters.orderable(self.noun) or way not in ("", "asc", "desc"):
            known = ", ".join(sorted(filters.orderable(self.noun)))
            raise invalid("/order_by", f"must be one of {known}, then nothing, asc or desc, not {text!r}")
        return name, way == "desc"

    def _binding(self, request: Any) -> str:
        asked = (getattr(request, name, "") for name in ("filter", "order_by", "after"))
        bound = "\n".join((type(request).__name__, *asked))
        return hashlib.sha256(bound.encode()).hexdigest()[:12]

    def token(self, request: Any, asked: Page, last: Any) -> str:
        """Where the page after this last row begins."""
        value = last[asked.order]
        value = time_text(value) if isinstance(value, datetime) else value
        packed = msgspec.json.encode([self._binding(request), value, last[self.id]])
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    def _after(self, request: Any, order: str) -> tuple[Any, int] | None:
        if not request.page_token:
            return None
        try:
            binding, value, key = unpack(request.page_token)
            if binding != self._binding(request):
                raise token_invalid("belongs to another filter or order")
            return self._key_value(order, value), int(key)
        except (ValueError, TypeError, CodecFault):
            raise token_invalid("is not one that this list gave") from None

    def _key_value(self, order: str, value: Any) -> Any:
        match self._type_of(order):
            case F.TYPE_MESSAGE:
                return time_of(value)
            case F.TYPE_STRING:
                return str(value)
            case _:
                return int(value)

    def _type_of(self, order: str) -> int:
        field = self.noun.fields_by_name.get(order)
        return F.TYPE_INT64 if field is None else int(field.type)


def unpack(token: str) -> list[Any]:
    """The three parts of a token; raises `ValueError` for anything else."""
    if len(token) > 2000:
        raise ValueError("too long")
    try:
        parts = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    if not isinstance(parts, list) or len(parts) != 3:
        raise ValueError("not three parts")
    return parts


def token_invalid(detail: str) -> InvalidRequest:
    return InvalidRequest(
        [Fault(pointer="/page_token", detail=detail, code="page_token_invalid")],
        code="page_token_invalid",
        hint="begin again without a page token",
    )


def size_of(asked: int) -> int:
    """50 unless asked for; more than 1,000 is lowered; raises `invalid_argument` below 0."""
    if asked < 0:
        raise invalid("/page_size", "must not be negative")
    return min(asked, MOST) or USUAL


async def numbered(
    conn: Any, request: Any, statement: str, *arguments: Any, number: str = "number"
) -> tuple[list[Any], str]:
    """(rows, next page token) of what is read by its own numbers, as a history: a statement of `listed` that takes `arguments`, the
    number of the last row seen (0: none) and how many rows are wanted. Raises `page_token_invalid` or `invalid_argument`.
    """
    size = size_of(request.page_size)
    rows = await listed.rows(conn, statement, *arguments, numbered_after(request), size + 1)
    return rows[:size], str(rows[size - 1][number]) if len(rows) > size else ""


def numbered_after(request: Any) -> int:
    """The number after which a page begins; raises `page_token_invalid`."""
    if not request.page_token:
        return 0
    if not request.page_token.isascii() or not request.page_token.isdigit() or len(request.page_token) > 18:
        raise token_invalid("is not one that this list gave")
    return int(request.page_token)
