"""Who is calling: a person, a service account or a host, with what it may do.

Every credential is a word of 32 random bytes with a prefix that says its kind; none is accepted for another. The database holds
SHA-256 hashes only.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from manman.domain.ids import Chance, HostId, UserId
from manman.errors import RefusedError

if TYPE_CHECKING:
    from manman.api.office import Office


class Kind(StrEnum):
    """What a credential is, by its prefix."""

    LOGIN = "mml_"
    API_KEY = "mmk_"
    HOST_KEY = "mmh_"
    JOIN_TOKEN = "mmj_"
    ADMIN_LINK = "mma_"


def make(kind: Kind, chance: Chance) -> str:
    """A new credential of a kind: its prefix and 43 characters."""
    return kind.value + base64.urlsafe_b64encode(chance(32)).decode().rstrip("=")


def hashed(credential: str) -> bytes:
    """What the database keeps of a credential."""
    return hashlib.sha256(credential.encode()).digest()


def kind_of(credential: str) -> Kind | None:
    """The kind of a credential by its prefix; None for anything that cannot be one."""
    if not 20 <= len(credential) <= 200 or not credential.isascii():
        return None
    return next((kind for kind in Kind if credential.startswith(kind.value)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, what it may, and the moment of the call by the database's clock.

    `kind` is "user", "service", "host", "local" (login is off) or "nobody"; `credential` is "login", "api_key", "host_key",
    "none"; `key` names the credential's row ("login:7"): idempotency is bound to it.
    """

    kind: str
    name: str
    now: datetime
    office: Office
    user_id: UserId | None = None
    host_id: HostId | None = None
    role: str = ""
    permissions: frozenset[str] = frozenset()
    credential: str = "none"
    key: str = ""
    expires_at: datetime | None = None
    address: str = ""
    trace_id: str = ""
    # What the audit row tells of a change, where it is more than the request: before → after by field.
    notes: dict[str, Any] = field(default_factory=dict)

    def may(self, permission: str) -> bool:
        """Whether the caller holds a permission."""
        return permission in self.permissions

    def must(self, permission: str, what: str) -> None:
        """Raises `permission_denied` unless the caller holds it; `what` says what asks for it."""
        if not self.may(permission):
            raise RefusedError("permission_denied", f"{what} needs {permission}, which {self.name} does not hold")

    @property
    def said(self) -> str:
        """How causes and audit rows name the caller: "user anna", "host 7"."""
        return f"{self.kind} {self.name}"


def unauthenticated(detail: str = "the request carries no credential that is known") -> RefusedError:
    """`unauthenticated`; it never says whether a credential once existed."""
    return RefusedError(
        "unauthenticated",
        detail,
        hint="send `Authorization: Bearer …`; `manman up` prints a link, and writes a key for its own user's commands",
    )
