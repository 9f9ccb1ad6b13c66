"""A private authority that vouches for API and broker: a file, or a certificate that the API presents and a pin proves.

The pin is compared on a connection over which nothing is said. Afterwards the certificate is an authority like one from a file: from
then on names and dates are checked as everywhere, and whoever renews the API's certificate under it needs no new join.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from manman.domain import pins
from manman.errors import Malformed, OutOfReach
from manman.host import files

FILE = "authority.pem"
PATIENCE = 30.0


def context(ca: str) -> ssl.SSLContext:
    """Trust in this authority alone; it may be a certificate that another one signed."""
    made = ssl.create_default_context(cafile=ca)
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return made


async def pinned(state: Path, api_url: str, pin: str) -> str:
    """The file with the certificate of that pin, as the API presents it; written into `state`.

    Raises `Malformed` for a pin that is none or a URL without TLS, `OutOfReach` when the API cannot be reached or presents no such
    certificate.
    """
    wanted = pins.parsed(pin)
    parts = urlsplit(api_url)
    if wanted is None:
        raise Malformed("--pin", f"{pin!r} is not sha256: and 64 hexadecimal digits")
    if parts.scheme != "https" or not parts.hostname:
        raise Malformed("--pin", f"{api_url} has no certificate; a pin goes with https://")
    known = await asyncio.to_thread(chain, parts.hostname, parts.port or 443)
    if wanted not in known:
        raise OutOfReach(
            f"{api_url} presents no certificate {wanted}, but {', '.join(known)}",
            hint="another machine answers there, or its certificate was replaced: ask for a new join line",
        )
    return _kept(state, known[wanted])


def _kept(state: Path, certificate: bytes) -> str:
    state.mkdir(parents=True, exist_ok=True, mode=0o711)
    files.private(state / FILE, ssl.DER_cert_to_PEM_cert(certificate).encode())
    return str(state / FILE)


def chain(host: str, port: int) -> dict[str, bytes]:
    """The certificates (DER) that whoever answers presents, its own first, unverified, by their pins; raises `OutOfReach`."""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), PATIENCE) as plain,
            unverified.wrap_socket(plain, server_hostname=host) as secured,
        ):
            return {pins.fingerprint(certificate): certificate for certificate in _presented(secured)}
    except OSError as error:
        raise OutOfReach(f"the API cannot be reached: {host}:{port}: {error}") from error


def _presented(secured: Any) -> list[bytes]:
    if hasattr(secured, "get_unverified_chain"):
        return list(secured.get_unverified_chain())
    # Before Python 3.13 the chain is there, but only on the object within.
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in secured._sslobj.get_unverified_chain()]
