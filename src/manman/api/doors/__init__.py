"""The two doors: REST (Starlette, uvicorn) and gRPC. They translate and hold no rule.

The way through: `checks` (name, origin, media) → `rest` or `grpc` decodes → `call` → `rest` or `grpc` encodes; `sse` for
streams, `problems` for what is refused, `openapi` for the description, `listening` for sockets.
"""
