"""The filter of lists: `status = (running, starting) AND labels.team = blue AND created_at > -24h`.

    filter = term *(" AND " term)        term = ["NOT "] field op value
    op     = "=" "!=" "<" "<=" ">" ">=" ":"      (":" contains, ignoring case; labels.k : * has the key)
    value  = word / "quoted" / number / time / -duration / "(" value *("," value) ")"       (lists with = and != only)

Which fields there are the proto says (`filter: true`); a value must fit its field. Values become parameters, never text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as F

from manman.api.json.text import CodecFault, Descriptor, FieldDescriptor, enum_words, time_of
from manman.api.json.write import is_map
from manman.api.refusals import Fault, InvalidRequest
from manman.store.lists import Term
from manman.v1 import options_pb2

MOST_CHARACTERS = 4000
MOST_TERMS = 50
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<op><=|>=|!=|=|<|>|:)|(?P<mark>[(),])|(?P<word>[^\s()<>=!:,"]+(?::[^\s()<>=!,"]+)*))"""
)
_SPAN = re.compile(r"-(\d{1,9}(?:\.\d{1,6})?)(s|m|h|d|w)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a filter: its kind ("quoted", "op", "mark", "word"), its text, where it begins."""

    kind: str
    text: str
    at: int


@cache
def filterable(noun: Descriptor) -> Mapping[str, FieldDescriptor]:
    """The fields that may stand in a filter."""
    return {f.name: f for f in noun.fields if f.GetOptions().Extensions[options_pb2.field].filter}


@cache
def orderable(noun: Descriptor) -> Mapping[str, FieldDescriptor]:
    """The fields that may stand in `order_by`."""
    return {f.name: f for f in noun.fields if f.GetOptions().Extensions[options_pb2.field].order}


def refused(detail: str, noun: Descriptor) -> InvalidRequest:
    known = ", ".join(sorted(filterable(noun)))
    return InvalidRequest(
        [Fault(pointer="/filter", detail=detail, code="filter_invalid")],
        code="filter_invalid",
        hint=f"fields here: {known}",
    )


def parse(text: str, noun: Descriptor, now: datetime) -> tuple[Term, ...]:
    """The terms of a filter over the fields of a noun; `now` is what `-24h` is counted from. Raises `filter_invalid`."""
    if not text.strip():
        return ()
    if len(text) > MOST_CHARACTERS:
        raise refused(f"is longer than {MOST_CHARACTERS} characters", noun)
    reader = _Reader(_tokens(text, noun), noun, now)
    terms = [reader.term()]
    while reader.more():
        if not reader.takes_word("AND"):
            raise refused(f"expected AND {reader.where()}", noun)
        terms.append(reader.term())
        if len(terms) > MOST_TERMS:
            raise refused(f"has more than {MOST_TERMS} terms", noun)
    return tuple(terms)


def _tokens(text: str, noun: Descriptor) -> list[Token]:
    tokens: list[Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise refused(f"cannot read {text[at : at + 20]!r} at character {at + 1}", noun)
        kind = str(found.lastgroup)
        tokens.append(Token(kind, found.group(kind), found.start(kind)))
        at = found.end()
    return tokens


class _Reader:
    def __init__(self, tokens: list[Token], noun: Descriptor, now: datetime) -> None:
        self.tokens = tokens
        self.noun = noun
        self.now = now
        self.next = 0

    def more(self) -> bool:
        return self.next < len(self.tokens)

    def where(self) -> str:
        return (
            f"at character {self.tokens[self.next].at + 1}, not {self.tokens[self.next].text!r}"
            if self.more()
            else "at the end"
        )

    def takes_word(self, word: str) -> bool:
        if self.more() and self.tokens[self.next].kind == "word" and self.tokens[self.next].text == word:
            self.next += 1
            return True
        return False

    def take(self, kind: str, what: str) -> str:
        if not self.more() or self.tokens[self.next].kind != kind:
            raise refused(f"expected {what} {self.where()}", self.noun)
        self.next += 1
        return self.tokens[self.next - 1].text

    def term(self) -> Term:
        negated = self.takes_word("NOT")
        name = self.take("word", "a field")
        column, _, key = name.partition(".")
        field = filterable(self.noun).get(column)
        if field is None or bool(key) != is_map(field):
            raise refused(f"{name!r} is no field to filter by", self.noun)
        op = self.take("op", "an operator")
        values = self.values(op, field, name)
        if values == ("*",) and op == ":" and key:
            values = ()
        return Term(column=column, op=op, values=values, key=key or None, negated=negated)

    def values(self, op: str, field: FieldDescriptor, name: str) -> tuple[Any, ...]:
        if self.more() and self.tokens[self.next].text == "(" and self.tokens[self.next].kind == "mark":
            if op not in ("=", "!="):
                raise refused(f"a list goes with = and != only, not with {op}", self.noun)
            return self.list_of(field, name)
        return (self.value(op, field, name),)

    def list_of(self, field: FieldDescriptor, name: str) -> tuple[Any, ...]:
        self.next += 1
        values = [self.value("=", field, name)]
        while self.take("mark", "a comma or )") == ",":
            values.append(self.value("=", field, name))
        if self.tokens[self.next - 1].text != ")":
            raise refused(f"expected ) {self.where()}", self.noun)
        return tuple(values)

    def value(self, op: str, field: FieldDescriptor, name: str) -> Any:
        if self.more() and self.tokens[self.next].kind == "quoted":
            text = re.sub(r"\\(.)", r"\1", self.take("quoted", "a value")[1:-1])
        else:
            text = self.take("word", "a value")
        if op == ":":
            if not is_map(field) and field.type != F.TYPE_STRING:
                raise refused(f"{name} is no text: it cannot contain one", self.noun)
            return text
        try:
            return value_of(field, text, self.now)
        except CodecFault as fault:
            raise refused(f"{name} {fault}, not {text!r}", self.noun) from None


def value_of(field: FieldDescriptor, text: str, now: datetime) -> Any:
    """A value of a field from its text; raises `CodecFault` with what it must be."""
    if is_map(field) or field.type == F.TYPE_STRING:
        if "\0" in text:
            raise CodecFault("must not contain NUL")
        return text
    if field.type == F.TYPE_ENUM:
        words = enum_words(field.enum_type).values()
        if text not in words:
            raise CodecFault("must be one of " + ", ".join(words))
        return text
    if field.type == F.TYPE_MESSAGE:
        return moment_of(text, now)
    return _plain_value(field, text)


def _plain_value(field: FieldDescriptor, text: str) -> Any:
    if field.type == F.TYPE_BOOL:
        if text not in ("true", "false"):
            raise CodecFault("must be true or false")
        return text == "true"
    if field.type in (F.TYPE_DOUBLE, F.TYPE_FLOAT):
        if not re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", text, re.ASCII):
            raise CodecFault("must be a number")
        return float(text)
    most = 2**63 if field.type == F.TYPE_INT64 else 2**31
    if not re.fullmatch(r"-?\d{1,19}", text, re.ASCII) or not -most <= int(text) < most:
        raise CodecFault("must be a whole number")
    return int(text)


def moment_of(text: str, now: datetime) -> datetime:
    """A time, or a span before `now` ("-24h", "-90s", "-7d"); raises `CodecFault`."""
    span = _SPAN.fullmatch(text)
    if span is None:
        return time_of(text)
    try:
        return now - timedelta(seconds=float(span[1]) * _UNITS[span[2]])
    except OverflowError:
        raise CodecFault("is too long ago") from None
