"""The control plane API: one async use case for each method of the proto definition, two doors (gRPC and REST) that only translate.

The way through: a door decodes → `call` authenticates, permits, opens the transaction, looks up the idempotency row,
runs the use case, writes the audit row → the door encodes. What may go wrong is a `Refused` or an error of `manman.errors`,
mapped to gRPC and HTTP by one table.
"""
