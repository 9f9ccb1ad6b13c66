"""The bus on PostgreSQL: queues, bindings, consumers, messages."""

revision = "0002"
down_revision = "0001"
