"""The grammar of filters: what is understood, and what is told about the rest."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manman.api import filters
from manman.api.refusals import InvalidRequest
from manman.store.lists import Sql, Term, condition
from manman.v1 import deployments_pb2, sessions_pb2

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
SESSION = sessions_pb2.Session.DESCRIPTOR
DEPLOYMENT = deployments_pb2.Deployment.DESCRIPTOR


def term(text: str, noun: Any = SESSION) -> Term:
    [found] = filters.parse(text, noun, NOW)
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("status = running", Term(column="status", op="=", values=("running",))),
        ("status=(running,starting)", Term(column="status", op="=", values=("running", "starting"))),
        ("NOT exit_code != 7", Term(column="exit_code", op="!=", values=(7,), negated=True)),
        ("created_at > -24h", Term(column="created_at", op=">", values=(NOW - timedelta(hours=24),))),
        (
            "created_at <= 2026-11-03T03:07:20Z",
            Term(column="created_at", op="<=", values=(datetime(2026, 11, 3, 3, 7, 20, tzinfo=UTC),)),
        ),
        ("reason : kill", Term(column="reason", op=":", values=("kill",))),
        ('reason = "a \\"b\\" AND c"', Term(column="reason", op="=", values=('a "b" AND c',))),
        ("live = true", Term(column="live", op="=", values=(True,))),
    ],
)
def test_a_term_is_understood(text: str, wanted: Term) -> None:
    assert term(text) == wanted


def test_labels_are_asked_by_key() -> None:
    assert term("labels.team = blue", DEPLOYMENT) == Term(column="labels", op="=", values=("blue",), key="team")
    assert term("labels.a.b/c : *", DEPLOYMENT) == Term(column="labels", op=":", values=(), key="a.b/c")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("colour = blue", "'colour' is no field"),
        ("status", "expected an operator at the end"),
        ("status =", "expected a value at the end"),
        ("status = asleep", "must be one of pending, starting"),
        ("status = running OR status = starting", "expected AND at character 18"),
        ("status > (running, starting)", "a list goes with = and != only"),
        ("status = (running", "expected a comma or )"),
        ("exit_code = x", "must be a whole number"),
        ("exit_code : 1", "is no text"),
        ("created_at > yesterday", "must be a time"),
        ("live = 1", "must be true or false"),
        ("= 1", "expected a field"),
        ('reason = "open', "cannot read"),
        ("deployment.name = x", "is no field"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match="filter") as wrong:
        filters.parse(text, SESSION, NOW)
    assert told in str(wrong.value) and wrong.value.refused_code == "filter_invalid"


@given(st.text(max_size=200))
def test_no_text_makes_it_stumble(text: str) -> None:
    try:
        filters.parse(text, SESSION, NOW)
    except InvalidRequest as error:
        assert error.refused_code == "filter_invalid"


@given(st.text(min_size=1, max_size=50).filter(lambda t: "\0" not in t))
def test_values_become_parameters_never_text(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    [found] = filters.parse(f'reason = "{quoted}"', SESSION, NOW)
    sql = Sql()
    assert condition(sql, found) == "rows.reason = $1" and sql.arguments == [value]
