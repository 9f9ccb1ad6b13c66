"""Where the database is, and how many connections a service keeps."""

from typing import Annotated

import msgspec

from manman.errors import BadSetting


def _says(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class DatabaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`DATABASE_URL`, or `DB_PASSWORD` with the other `DB_*`; field names in capitals are the variables."""

    database_url: Annotated[str | None, _says("Where PostgreSQL is: postgresql://user:password@host:port/name.")] = None
    db_password: Annotated[str | None, _says("Password of the database user, where DATABASE_URL is not set.")] = None
    db_host: Annotated[str, _says("Host or socket folder of PostgreSQL.")] = "localhost"
    db_port: Annotated[int, msgspec.Meta(ge=1, le=65535), _says("Port of PostgreSQL.")] = 5432
    db_user: Annotated[str, _says("Database user.")] = "postgres"
    db_name: Annotated[str, _says("Name of the database.")] = "manman"
    db_ssl_mode: Annotated[str, _says("TLS to the database: disable, prefer, require, verify-ca or verify-full.")] = (
        "disable"
    )
    db_pool_min: Annotated[int, msgspec.Meta(ge=0, le=1000), _says("Connections that are kept open.")] = 2
    db_pool_max: Annotated[int, msgspec.Meta(ge=1, le=1000), _says("The most connections of the pool.")] = 5

    @property
    def given(self) -> bool:
        """Whether the environment names a database at all."""
        return self.database_url is not None or self.db_password is not None

    @property
    def source(self) -> str:
        """The variable that a complaint about the connection must name."""
        return "DATABASE_URL" if self.database_url is not None else "DB_PASSWORD"

    def require(self) -> "DatabaseSettings":
        """Itself; raises `BadSetting` when no database is named or the pool's bounds contradict each other."""
        if not self.given:
            raise BadSetting("DATABASE_URL is not set, nor DB_PASSWORD; one of them must say where PostgreSQL is")
        if self.db_pool_min > self.db_pool_max:
            raise BadSetting(f"DB_POOL_MIN ({self.db_pool_min}) must not be above DB_POOL_MAX ({self.db_pool_max})")
        return self
