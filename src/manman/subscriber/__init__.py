"""Public: the six external events, typed, from a durable queue on `external`, acknowledged after the handler."""
