"""Which life of an agent a host's beats are of, and whether a host was heard since its database was restored."""

revision = "0005"
down_revision = "0004"
