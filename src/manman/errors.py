"""Exceptions that mean something to whoever catches them, one tree.

Expected outcomes are returned values (`Refused`); what is raised is one of these or a bug. Each carries a stable `code`
(the words of the API's table), a sentence that names the thing, the value and the way out, and optionally a `hint`.
"""

from typing import ClassVar


class ManManError(Exception):
    """Base of all. `code` is stable and public; `str(error)` is one line for a person."""

    code: ClassVar[str] = "internal"

    def __init__(self, detail: str, *, hint: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


class Permanent(ManManError):
    """Trying the same again gives the same answer."""


class Transient(ManManError):
    """The same may succeed later; whoever catches it waits with backoff and repeats."""


class Unavailable(Transient):
    """Database, broker or API is out of reach right now."""

    code = "unavailable"


class TimedOut(Transient):
    """It took longer than it was given; whether it happened is unknown."""

    code = "timeout"


class Malformed(Permanent):
    """Bytes or a value from outside that cannot be understood. `field` names the part ('body', 'status', 'headers.id')."""

    code = "invalid_argument"

    def __init__(self, field: str, detail: str, *, hint: str | None = None) -> None:
        super().__init__(f"{field}: {detail}", hint=hint)
        self.field = field


class BadSetting(Permanent):
    """A missing or impossible setting; a program ends with exit code 2 and this one line."""

    code = "bad_setting"


class OutOfReach(Permanent):
    """A service that the program needs refused the credentials or could not be reached at start; exit code 6."""

    code = "unavailable"


class RefusedError(Permanent):
    """A `Refused` decision that has to travel as an exception (through a transaction that must roll back)."""

    def __init__(self, code: str, detail: str, *, hint: str | None = None, **facts: object) -> None:
        super().__init__(detail, hint=hint)
        self.refused_code = code
        self.facts = facts


def is_transient(error: BaseException) -> bool:
    """Whether repeating can help: the first of our errors in the chain of causes decides, unknown ones are permanent.

    Looks through `raise … from …` and implicit contexts, so that an adapter may wrap a library's error.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, Transient):
            return True
        if isinstance(current, Permanent):
            return False
        if isinstance(current, (ConnectionError, TimeoutError)):
            return True
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return False
