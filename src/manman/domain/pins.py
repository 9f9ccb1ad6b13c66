"""A certificate known by its fingerprint: `sha256:` and the SHA-256 of its DER form in hexadecimal, as openssl prints it."""

from __future__ import annotations

import hashlib
import re

PREFIX = "sha256:"
_HEX = re.compile(r"[0-9a-f]{64}")


def fingerprint(certificate: bytes) -> str:
    """The pin of a certificate in DER form."""
    return PREFIX + hashlib.sha256(certificate).hexdigest()


def parsed(text: str) -> str | None:
    """A pin as people write it (capitals, colons between bytes), in its one form; None when it is none."""
    prefix, _, digits = text.strip().lower().partition(":")
    digits = digits.replace(":", "")
    return PREFIX + digits if prefix + ":" == PREFIX and _HEX.fullmatch(digits) else None
