"""Secrets at rest: AES-256-GCM, written `v1.<key id>.<nonce>.<text>`, bound to table, row and column.

Keys are lines `id:base64`; the first encrypts, all decrypt. To rotate: add one on top, restart, encrypt anew, remove the old.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from manman.domain.ids import Chance
from manman.errors import BadSetting, Permanent
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)
SETTING = "SECRETS_KEY_FILE"
_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


class Unreadable(Permanent):
    """A secret whose key is not here, or that was moved or changed."""


class Keys:
    """The keys of an installation, from the text of its key file. Raises `BadSetting`, never showing a key."""

    def __init__(self, text: str) -> None:
        self._keys: dict[str, AESGCM] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                key_id, key = _parsed(line.strip(), number)
                self._keys.setdefault(key_id, key)
        if not self._keys:
            raise BadSetting(f"{SETTING} holds no key; each line is <id>:<32 bytes in base64>")
        self._first = next(iter(self._keys))

    def knows(self, key_id: str) -> bool:
        """Whether what this key sealed can be read."""
        return key_id in self._keys

    def seal(self, text: str, place: str, chance: Chance) -> str:
        """The ciphertext of a text, for one place ("secrets/deployment/12/RCON") only."""
        nonce = chance(12)
        sealed = self._keys[self._first].encrypt(nonce, text.encode(), place.encode())
        return ".".join(("v1", self._first, _encoded(nonce), _encoded(sealed)))

    def open(self, sealed: str, place: str) -> str:
        """The text; raises `Unreadable`, naming the key id."""
        _, key_id, nonce, text = sealed.split(".")
        key = self._keys.get(key_id)
        if key is None:
            raise Unreadable(f"{SETTING} has no key {key_id!r}, which {place} was sealed with")
        try:
            return key.decrypt(_decoded(nonce), _decoded(text), place.encode()).decode()
        except InvalidTag:
            raise Unreadable(f"{place} cannot be opened with key {key_id!r}: it was moved or changed") from None


def new_line(key_id: str, chance: Chance) -> str:
    """A line of a key file with a new key."""
    return f"{key_id}:{base64.b64encode(chance(32)).decode()}\n"


def _parsed(line: str, number: int) -> tuple[str, AESGCM]:
    key_id, _, key = line.partition(":")
    try:
        raw = base64.b64decode(key, validate=True)
    except ValueError:
        raw = b""
    if not _ID.fullmatch(key_id) or len(raw) != 32:
        raise BadSetting(f"{SETTING}: line {number} must be <id>:<32 bytes in base64>")
    return key_id, AESGCM(raw)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def put(conn: Connection, deployment: int, name: str, sealed: str, by: str) -> int:
    """Writes a secret of a deployment; its version."""
    version: int = await conn.fetchval(sql["put"], deployment, name, sealed, by)
    return version


async def sealed_of(conn: Connection, deployment: int) -> Mapping[str, str]:
    """The secrets of a deployment by name, sealed."""
    return {row["name"]: row["value"] for row in await conn.fetch(sql["of"], deployment)}


async def drop_others(conn: Connection, deployment: int, keep: Iterable[str]) -> None:
    """Removes the secrets of a deployment that are not named."""
    await conn.execute(sql["drop"], deployment, list(keep))


async def check(conn: Connection, keys: Keys | None) -> None:
    """Raises `BadSetting`, naming the key id, when secrets exist that these keys cannot open."""
    for row in await conn.fetch(sql["key_ids"]):
        if keys is None or not keys.knows(row["key"]):
            raise BadSetting(f"{SETTING} has no key {row['key']!r}, with which secrets of this installation are sealed")
