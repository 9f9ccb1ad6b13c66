"""The processor's settings."""

from typing import Annotated, Literal

import msgspec


def _says(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class ProcessorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the event processor is told; names equal the variables, lower-cased. Seconds unless said otherwise."""

    stale_host_threshold_seconds: Annotated[
        int, msgspec.Meta(ge=1, description="A host that was silent for longer is stale.")
    ] = 10
    stale_host_check_interval_seconds: Annotated[
        float, msgspec.Meta(gt=0, description="How often silent hosts are looked for.")
    ] = 2
    start_deadline_seconds: Annotated[
        int, msgspec.Meta(ge=1, description="How long a session may be pending without progress.")
    ] = 120
    host_lost_after_seconds: Annotated[
        int, msgspec.Meta(ge=60, description="After this silence a host's sessions are given up.")
    ] = 86400
    retention_days: Annotated[int, msgspec.Meta(ge=1, description="How long histories and dead letters are kept.")] = 90
    event_retention_days: Annotated[int, msgspec.Meta(ge=1, description="How long events can be replayed.")] = 7
    shutdown_timeout_seconds: Annotated[
        int, msgspec.Meta(ge=1, description="How long work in flight may take to end.")
    ] = 30
    health_check_port: Annotated[
        int, msgspec.Meta(ge=0, le=65535, description="Port of /healthz, /readyz and /metrics; 0: none.")
    ] = 8080
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _says("The least level that is logged.")] = (
        "info"
    )
    otlp_endpoint: Annotated[str | None, _says("Base URL of an OTLP/HTTP collector for traces.")] = None
