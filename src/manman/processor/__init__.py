"""The event processor: consumes what hosts say, keeps the database true, announces what changed.

The way of a batch: decode → lock and load → `domain` folds → `store` saves in one transaction → ack; the relay publishes
from `events`. What may go wrong: a message that cannot be applied becomes a row of `dead_letters`; a database or broker
that is away pauses consumption and nothing is acked.
"""
