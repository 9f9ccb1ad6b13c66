"""Scalars as text: enum words, times, durations, numbers."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor as F

# Descriptors of whichever implementation of protobuf runs; its classes differ in name only.
Descriptor: TypeAlias = Any
FieldDescriptor: TypeAlias = Any
EnumDescriptor: TypeAlias = Any
MOST_SAFE = 2**53
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s")


class CodecFault(Exception):
    """A value that does not fit; the sentence says what it must be."""


@cache
def enum_words(enum: EnumDescriptor) -> Mapping[int, str]:
    """Number → lower-case word without the enum's prefix; 0 (unspecified) is left out."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {v.number: v.name.removeprefix(prefix).lower() for v in enum.values if v.number != 0}


def time_text(moment: datetime) -> str:
    """RFC 3339, `Z`, microseconds. A naive time is UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def time_of(value: object) -> datetime:
    """An aware time from RFC 3339 text; a `datetime` of our own passes. Raises `CodecFault`."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or len(value) < 20 or value[10] not in "Tt":
        raise CodecFault("must be a time such as 2026-11-03T03:07:20Z")
    try:
        moment = datetime.fromisoformat(value.upper().replace("Z", "+00:00"))
    except ValueError:
        raise CodecFault("must be a time such as 2026-11-03T03:07:20Z") from None
    if moment.tzinfo is None:
        raise CodecFault("must be a time with its zone, such as 2026-11-03T03:07:20Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise CodecFault("must be a time of the calendar") from None


def duration_text(span: timedelta) -> str:
    """ "90s", "1.5s"."""
    whole = span // timedelta(microseconds=1)
    sign, whole = ("-" if whole < 0 else ""), abs(whole)
    seconds, rest = divmod(whole, 1_000_000)
    return f"{sign}{seconds}" + (f".{rest:06d}".rstrip("0") if rest else "") + "s"


def duration_of(value: object) -> timedelta:
    """A span from "90s"; a `timedelta` of our own passes. Raises `CodecFault`."""
    if isinstance(value, timedelta):
        return value
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise CodecFault('must be a duration such as "90s" or "1.5s"')
    sign, seconds, part = found.groups()
    micros = int(((part or "") + "000000")[:6])
    try:
        span = timedelta(seconds=int(seconds), microseconds=micros)
    except OverflowError:
        raise CodecFault("is too long a duration") from None
    return -span if sign else span


def whole(bits: int) -> Callable[[object], int]:
    """A reader of whole numbers of so many bits; digits in a text are accepted for 64."""

    def of(value: object) -> int:
        if isinstance(value, str) and bits == 64 and re.fullmatch(r"-?\d{1,19}", value):
            value = int(value)
        if isinstance(value, float) and value.is_integer() and abs(value) < MOST_SAFE:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise CodecFault("must be a whole number")
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise CodecFault(f"must be a whole number that fits {bits} bits")
        return value

    return of


def number_of(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CodecFault("must be a number")
    return float(value)


def truth_of(value: object) -> bool:
    if not isinstance(value, bool):
        raise CodecFault("must be true or false")
    return value


def text_of(value: object) -> str:
    if not isinstance(value, str):
        raise CodecFault("must be a text")
    if "\0" in value:
        raise CodecFault("must not contain NUL")
    return value


def bytes_of(value: object) -> bytes:
    try:
        return base64.b64decode(text_of(value), validate=True)
    except ValueError:
        raise CodecFault("must be base64") from None


def word_of(enum: EnumDescriptor) -> Callable[[object], int]:
    """A reader of an enum's words."""
    numbers = {word: number for number, word in enum_words(enum).items()}

    def of(value: object) -> int:
        if not isinstance(value, str) or value not in numbers:
            raise CodecFault("must be one of " + ", ".join(numbers))
        return numbers[value]

    return of


def scalar_of(field: FieldDescriptor) -> Callable[[object], Any]:
    """The reader of one value of a scalar field."""
    match field.type:
        case F.TYPE_INT64 | F.TYPE_UINT64:
            return whole(64)
        case F.TYPE_INT32 | F.TYPE_UINT32:
            return whole(32)
        case F.TYPE_DOUBLE | F.TYPE_FLOAT:
            return number_of
        case F.TYPE_BOOL:
            return truth_of
        case F.TYPE_BYTES:
            return bytes_of
        case F.TYPE_ENUM:
            return word_of(field.enum_type)
        case _:
            return text_of


def scalar_from_text(field: FieldDescriptor, text: str) -> Any:
    """A value from a URL: numbers and truths are written as text there. Raises `CodecFault`."""
    match field.type:
        case F.TYPE_INT64 | F.TYPE_INT32 | F.TYPE_UINT64 | F.TYPE_UINT32:
            if not re.fullmatch(r"-?\d{1,19}", text, re.ASCII):
                raise CodecFault("must be a whole number")
            return scalar_of(field)(int(text))
        case F.TYPE_DOUBLE | F.TYPE_FLOAT:
            try:
                return float(text)
            except ValueError:
                raise CodecFault("must be a number") from None
        case F.TYPE_BOOL:
            if text not in ("true", "false"):
                raise CodecFault("must be true or false")
            return text == "true"
        case _:
            return scalar_of(field)(text)
