"""What a rule answers when it says no. Expected outcomes are values; they are returned, never raised."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Refused:
    """A no with a stable code, a sentence that names the thing, the value and the way out, and the facts behind it."""

    code: str
    detail: str
    hint: str | None = None
    facts: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
