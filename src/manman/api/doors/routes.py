"""Which method a verb and a path mean, from the definition."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from manman.api.definition import Method, methods


@dataclass(frozen=True, slots=True)
class Found:
    """A method, and the variables of its path as text."""

    method: Method
    variables: Mapping[str, str]


class Routes:
    """Every route of the definition. Raises `ValueError` at once when two methods have one route."""

    def __init__(self) -> None:
        self._by_path: dict[str, tuple[re.Pattern[str], dict[str, Method]]] = {}
        for method in methods().values():
            pattern = re.sub(
                r"{(\w+)}", r"(?P<\1>[^/:]+)", re.escape(method.path).replace(r"\{", "{").replace(r"\}", "}")
            )
            verbs = self._by_path.setdefault(pattern, (re.compile(pattern), {}))[1]
            if verbs.setdefault(method.verb.upper(), method) is not method:
                raise ValueError(f"{method.name} shares its route with {verbs[method.verb.upper()].name}")

    def find(self, verb: str, path: str) -> Found | frozenset[str]:
        """The method; or the verbs that the path knows (none: there is no such path)."""
        known: set[str] = set()
        for pattern, verbs in self._by_path.values():
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if verb in verbs:
                return Found(verbs[verb], match.groupdict())
            known |= verbs.keys()
        return frozenset(known)
