"""The foundation: every table of hosts, games, deployments, sessions, messages and identity."""

revision = "0001"
down_revision = None
