"""Generations of partitions: what is bound, what is being drained."""

revision = "0003"
down_revision = "0002"
