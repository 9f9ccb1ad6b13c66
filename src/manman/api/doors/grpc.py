"""gRPC: the same methods by generic handlers; health, reflection, rich errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from manman.api import call
from manman.api.asking import Ask
from manman.api.definition import Method, methods
from manman.api.doors import decoding
from manman.api.doors.rest import bearer, trace_of
from manman.api.office import Office
from manman.api.refusals import Problem, problem_of
from manman.api.settings import ApiSettings
from manman.errors import BadSetting
from manman.observability import get_logger

log = get_logger(__name__)
USUAL_DEADLINE = 30.0
OPTIONS = [
    # Proxies cut silent streams; pings also find peers that are gone.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", decoding.MOST_BYTES),
    # Two processes on one port would share its calls by chance.
    ("grpc.so_reuseport", 0),
]


def server(office: Office) -> tuple[Any, Any]:
    """(gRPC server of every service, health and reflection; its health servicer). The caller adds ports and starts it."""
    made: Any = aio.server(options=OPTIONS)
    services: dict[str, dict[str, Any]] = {}
    for method in methods().values():
        services.setdefault(f"manman.v1.{method.service}", {})[method.rpc] = _handler(office, method)
    made.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, handlers) for name, handlers in services.items())
    )
    probe = health.aio.HealthServicer()  # type: ignore[attr-defined]
    health_pb2_grpc.add_HealthServicer_to_server(probe, made)
    reflection.enable_server_reflection((*services, health.SERVICE_NAME, reflection.SERVICE_NAME), made)
    return made, probe


async def start(made: Any, probe: Any, bind: str, port: int, settings: ApiSettings) -> int:
    """Listens and serves; the port, where 0 asked for any. Raises `BadSetting` when it is taken."""
    place = f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}"
    credentials = _credentials(settings)
    try:
        bound = int(made.add_secure_port(place, credentials) if credentials else made.add_insecure_port(place))
    except RuntimeError as error:
        raise BadSetting(f"GRPC_PORT: {place} cannot be listened on") from error
    if bound == 0:
        raise BadSetting(f"GRPC_PORT: {place} cannot be listened on")
    await made.start()
    await probe.set("", health_pb2.HealthCheckResponse.SERVING)
    return bound


def _credentials(settings: ApiSettings) -> Any:
    if not (settings.tls_cert_file and settings.tls_key_file):
        return None
    pair = (Path(settings.tls_key_file).read_bytes(), Path(settings.tls_cert_file).read_bytes())
    return grpc.ssl_server_credentials([pair])


async def end(made: Any, probe: Any, grace: float) -> None:
    """Takes no new call and gives those in flight `grace` seconds."""
    await probe.enter_graceful_shutdown()
    await made.stop(grace)


def _handler(office: Office, method: Method) -> Any:
    async def unary(request: Message, context: Any) -> Any:
        ask = _ask(office, method, request, context)
        try:
            answer = await call.call(office, ask)
        except Exception as error:
            await _abort(context, error, ask)
            return None
        if answer.replayed:
            context.set_trailing_metadata((("idempotency-replayed", "true"),))
        return answer.message

    async def streaming(request: Message, context: Any) -> AsyncIterator[Message]:
        ask = _ask(office, method, request, context)
        try:
            async for message in await call.open_stream(office, ask):
                if message is not None:
                    yield message
        except Exception as error:
            await _abort(context, error, ask)

    made = grpc.unary_stream_rpc_method_handler if method.streams else grpc.unary_unary_rpc_method_handler
    return made(
        streaming if method.streams else unary,
        request_deserializer=method.request.FromString,
        response_serializer=method.reply.SerializeToString,
    )


def _ask(office: Office, method: Method, request: Message, context: Any) -> Ask:
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    decoding.put_etag(request, metadata.get("if-match"))
    left = context.time_remaining()
    return Ask(
        method=method,
        request=request,
        credential=bearer(metadata.get("authorization")),
        idempotency_key=metadata.get("idempotency-key"),
        address=_address(context.peer()),
        trace_id=trace_of(metadata.get("traceparent"), office),
        timeout=min(left, USUAL_DEADLINE) if left is not None else USUAL_DEADLINE,
    )


def _address(peer: str) -> str:
    """ "ipv4:127.0.0.1:4711" → "127.0.0.1"."""
    return peer.partition(":")[2].rpartition(":")[0].strip("[]")


async def _abort(context: Any, error: Exception, ask: Ask) -> None:
    if isinstance(error, aio.AbortError):
        raise error
    problem = problem_of(error)
    if problem.code == "internal":
        log.error("call_failed", method=ask.method.name, trace_id=ask.trace_id, exc_info=error)
    status = _status(problem)
    await context.abort(
        getattr(grpc.StatusCode, problem.row.grpc),
        problem.detail,
        (("grpc-status-details-bin", status.SerializeToString()), ("trace-id", ask.trace_id)),
    )


def _status(problem: Problem) -> Any:
    code = getattr(grpc.StatusCode, problem.row.grpc)
    status = status_pb2.Status(code=code.value[0], message=problem.detail)
    facts = {key: str(value) for key, value in problem.facts.items()}
    if problem.hint:
        facts["hint"] = problem.hint
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=problem.code.upper(), domain="manman", metadata=facts),
    ]
    if problem.faults:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=f.pointer, description=f.detail) for f in problem.faults
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if problem.row.http in (429, 503):
        details.append(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1)))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
