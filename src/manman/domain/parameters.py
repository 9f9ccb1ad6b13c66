"""Parameters: typed variables of a config. Values merge config → deployment → session, the later wins, and each effective
value says where it comes from."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manman.v1.types import EffectiveValue, Parameter, ParameterRule

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
TEXT_LIMIT = 4096  # characters of a value


@dataclass(frozen=True, slots=True)
class Fault:
    """One value that does not fit: which parameter, and what it must be."""

    name: str
    detail: str


def fault_of(parameter: Parameter, value: Any) -> str | None:
    """Why `value` does not fit a parameter's type and rule, as a sentence; None when it fits. Texts of numbers and booleans fit."""
    try:
        typed = typed_value(parameter, value)
    except ValueError as error:
        return str(error)
    rule = parameter.rule
    if isinstance(typed, str) and len(typed) > TEXT_LIMIT:
        return f"it is longer than {TEXT_LIMIT} characters"
    if isinstance(typed, str) and any(c in typed for c in "\x00\r\n"):
        return "it must be one line without control characters"
    return None if rule is None else _against(rule, parameter.type or "string", typed)


def typed_value(parameter: Parameter, value: Any) -> str | int | float | bool:
    """The value as its type says; raises `ValueError` with a sentence that says what it must be."""
    kind = parameter.type or "string"
    text = str(value).strip().lower() if not isinstance(value, bool) else ("true" if value else "false")
    if kind == "bool":
        if text in ("true", "1", "yes", "on"):
            return True
        if text in ("false", "0", "no", "off"):
            return False
        raise ValueError(f"{value!r} is not true or false")
    if kind == "int":
        return _whole(value, text)
    if kind == "float":
        return _number(value, text)
    if isinstance(value, bool | int | float):
        return text if isinstance(value, bool) else str(value)
    if not isinstance(value, str):
        raise ValueError("it must be a text")
    return value


def _whole(value: Any, text: str) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{value!r} is not a whole number") from None


def _number(value: Any, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{value!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _against(rule: ParameterRule, kind: str, value: str | int | float | bool) -> str | None:
    if rule.choices and str(value) not in rule.choices:
        return f"{value!r} is not one of {', '.join(rule.choices)}"
    # Of a text the bounds are those of its length.
    amount = value if isinstance(value, int | float) and kind in ("int", "float") else len(str(value))
    unit = "" if kind in ("int", "float") else " characters"
    if rule.min is not None and amount < rule.min:
        return f"{amount}{unit} is below {rule.min:g}"
    if rule.max is not None and amount > rule.max:
        return f"{amount}{unit} is above {rule.max:g}"
    if rule.pattern and re.fullmatch(rule.pattern, str(value)) is None:
        return f"it does not match {rule.pattern}"
    return None


def rendered(value: str | int | float | bool) -> str:
    """A value as it stands in a file or argument: booleans are 1 and 0, whole floats have no point."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def effective(
    declared: Sequence[Parameter], deployment: Mapping[str, Any], session: Mapping[str, Any] | None = None
) -> list[EffectiveValue]:
    """Every declared parameter with its value and origin; a parameter without default and value has value None."""
    values = []
    for parameter in declared:
        value, origin = parameter.default, "config"
        if deployment.get(parameter.name) is not None:
            value, origin = deployment[parameter.name], "deployment"
        if session and session.get(parameter.name) is not None:
            value, origin = session[parameter.name], "session"
        values.append(
            EffectiveValue(name=parameter.name, value=value, origin=origin, secret=parameter.type == "secret")
        )
    return values


def faults(declared: Sequence[Parameter], given: Mapping[str, Any], *, whole: bool = False) -> list[Fault]:
    """Everything that is wrong with values given at one level: unknown names, types, rules; `whole`: and what is still missing."""
    by_name = {p.name: p for p in declared}
    found = [
        Fault(n, f"{n} is no parameter; there is {', '.join(by_name) or 'none'}") for n in given if n not in by_name
    ]
    for name, parameter in by_name.items():
        value = given.get(name)
        if value is not None and (detail := fault_of(parameter, value)) is not None:
            found.append(Fault(name, f"{name}: {detail}"))
        if whole and value is None and parameter.default is None and parameter.required:
            found.append(Fault(name, f"{name} needs a value"))
    return found
