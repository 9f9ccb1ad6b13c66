"""A statement that puts no event into the outbox wakes no relay."""

revision = "0008"
down_revision = "0007"
