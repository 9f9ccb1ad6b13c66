"""Traces: spans of acts, sent by OTLP/HTTP only where an endpoint is configured; elsewhere a span costs nothing.

The exporter's own shutdown waits seconds for a dead collector, so it gets short timeouts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_tracer: Any = None


def set_up_traces(endpoint: str | None, *, service: str) -> None:
    """Send spans to `endpoint` (base URL of an OTLP/HTTP collector); None leaves tracing off and imports nothing."""
    global _tracer
    if endpoint is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=2)
    provider.add_span_processor(BatchSpanProcessor(exporter, export_timeout_millis=2000))
    _tracer = provider.get_tracer("manman")


@contextmanager
def span(name: str) -> Iterator[Any]:
    """A span around the block, or None while tracing is off."""
    if _tracer is None:
        yield None
        return
    with _tracer.start_as_current_span(name) as current:
        yield current


def finish(current: Any, facts: dict[str, Any], error: BaseException | None) -> None:
    """Put the act's facts, and the error if there was one, on its span."""
    if current is None:
        return
    for name, value in facts.items():
        current.set_attribute(name, value if isinstance(value, (int, float, str, bool)) else str(value))
    if error is not None:
        current.record_exception(error)
