"""The event path's tables: no index names what every event changes, so that sessions are updated in place; who waits is told apart."""

revision = "0004"
down_revision = "0003"
