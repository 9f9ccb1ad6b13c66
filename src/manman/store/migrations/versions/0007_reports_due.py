"""A report that is wanted stays wanted until one came, whatever becomes of the command."""

revision = "0007"
down_revision = "0006"
