"""`local.json`: where a running `manman up` serves, and with which credential other commands of this user may speak to it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from manman.errors import Malformed

NAME = "local.json"


class LocalFile(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is the HTTP listener's, `token` a key of the service account `local`, `grpc` host:port, `pid` who serves."""

    url: str
    token: str
    grpc: str = ""
    pid: int = 0

    @staticmethod
    def read(state_dir: str | Path) -> LocalFile | None:
        """The file of a state directory, or None where there is none that this user may read. Raises `Malformed`."""
        path = Path(state_dir) / NAME
        try:
            return msgspec.json.decode(path.read_bytes(), type=LocalFile)
        except OSError:
            return None
        except msgspec.DecodeError as error:
            raise Malformed(str(path), str(error)) from error

    def write(self, state_dir: str | Path) -> Path:
        """Writes it whole or not at all, readable by this user only (600)."""
        path = Path(state_dir) / NAME
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
        os.replace(new, path)
        return path
