"""One page of any list: a query of named columns, narrowed by terms, in one order, after a key.

A list's own SQL says which columns there are; terms and order name them, values are always parameters. Order is by one column and
then by id, so a page begins exactly after the last row of the page before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from manman.store.pool import Connection

MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """`column op values`. `op` is one of = != < <= > >= : (contains, ignoring case). `key` is the key of a map column.

    More than one value: one of them (=) or none of them (!=). A key without values: the map has it.
    """

    column: str
    op: str
    values: tuple[Any, ...]
    key: str | None = None
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which rows are wanted. `after` is (value of the order column, id) of the last row seen."""

    terms: Sequence[Term] = ()
    order: str
    id: str
    descending: bool = False
    # An order column may be null: rows without a value are not of the list, and an index gives the others in order.
    has_nulls: bool = False
    after: tuple[Any, int] | None = None
    size: int = 50


@dataclass(slots=True)
class Sql:
    """Text with numbered parameters, as it grows."""

    arguments: list[Any] = field(default_factory=list)

    def put(self, value: Any) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A page: its rows, whether more follow, and how many there are in all (exact up to 10,000)."""

    rows: list[Any]
    more: bool
    total: int


async def page(conn: Connection, query: str, asked: Page, *arguments: Any) -> Rows:
    """The page of `query` (a SELECT without order; `arguments` are its own parameters) that is asked for."""
    sql = Sql(list(arguments))
    key = f"rows.{asked.order}"
    conditions = [condition(sql, term) for term in asked.terms]
    if asked.has_nulls:
        conditions.append(f"{key} IS NOT NULL")
    where = " AND ".join(conditions) or "true"
    counted = list(sql.arguments)
    after = "true"
    if asked.after is not None:
        sign = "<" if asked.descending else ">"
        after = f"({key}, rows.{asked.id}) {sign} ({sql.put(asked.after[0])}, {sql.put(asked.after[1])})"
    way = "DESC" if asked.descending else "ASC"
    limit = sql.put(asked.size + 1)
    rows = await conn.fetch(
        f"SELECT * FROM ({query}) AS rows WHERE {where} AND {after} ORDER BY {key} {way}, rows.{asked.id} {way} LIMIT {limit}",
        *sql.arguments,
    )
    total = await conn.fetchval(
        f"SELECT count(*) FROM (SELECT 1 FROM ({query}) AS rows WHERE {where} LIMIT {MOST_COUNTED}) AS counted",
        *counted,
    )
    return Rows(rows=list(rows[: asked.size]), more=len(rows) > asked.size, total=total)


def condition(sql: Sql, term: Term) -> str:
    """One term as a condition that is never null when it is negated."""
    text = _of_map(sql, term) if term.key is not None else _of_column(sql, term, f"rows.{term.column}")
    return f"NOT coalesce({text}, false)" if term.negated else text


def _of_map(sql: Sql, term: Term) -> str:
    key = f"{sql.put(term.key)}::text"
    if not term.values:
        return f"jsonb_exists(rows.{term.column}, {key})"
    return _of_column(sql, term, f"(rows.{term.column} ->> {key})")


def _of_column(sql: Sql, term: Term, column: str) -> str:
    many = len(term.values) > 1
    match term.op:
        case "=":
            return f"{column} = ANY({sql.put(list(term.values))})" if many else f"{column} = {sql.put(term.values[0])}"
        case "!=":
            if many:
                return f"NOT coalesce({column} = ANY({sql.put(list(term.values))}), false)"
            return f"{column} IS DISTINCT FROM {sql.put(term.values[0])}"
        case ":":
            return f"strpos(lower({column}::text), lower({sql.put(str(term.values[0]))})) > 0"
        case "<" | "<=" | ">" | ">=":
            return f"{column} {term.op} {sql.put(term.values[0])}"
        case _:
            raise ValueError(f"no operator {term.op!r}")
