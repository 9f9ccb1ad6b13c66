"""Terms of a filter against a row in memory: what a stream does with the filter that a list gives to the database."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from manman.store.lists import Term

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matches(terms: Sequence[Term], row: Mapping[str, Any]) -> bool:
    """Whether a row satisfies every term, as the database would judge."""
    return all(_holds(term, row) != term.negated for term in terms)


def _holds(term: Term, row: Mapping[str, Any]) -> bool:
    value = row[term.column]
    if term.key is not None:
        if not term.values:
            return term.key in value
        value = value.get(term.key)
    match term.op:
        case "=":
            return value is not None and value in term.values
        case "!=":
            return value not in term.values
        case ":":
            return value is not None and str(term.values[0]).lower() in str(value).lower()
        case op:
            return value is not None and ORDER[op](value, term.values[0])
