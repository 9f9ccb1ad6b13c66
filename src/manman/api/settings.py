"""Settings of the API."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from manman.events.settings import AdminSettings


def _said(text: str, *, least: int | None = None, most: int | None = None) -> msgspec.Meta:
    return msgspec.Meta(description=text, ge=least, le=most)


class ApiSettings(AdminSettings, frozen=True, kw_only=True):
    """Where the API listens, and whom it lets in; names equal the variables, lower-cased."""

    http_port: Annotated[int, _said("Where REST is served.", least=0, most=65535)] = 8080
    grpc_port: Annotated[int, _said("Where gRPC is served.", least=0, most=65535)] = 50051
    bind: Annotated[str, _said("The address that both doors listen on.")] = "127.0.0.1"
    auth_mode: Annotated[
        Literal["login", "none"], _said("'none' makes every local caller admin; loopback only, never the default.")
    ] = "login"
    public_url: Annotated[str | None, _said("The address that people use, as https://games.example.org.")] = None
    allowed_hosts: Annotated[tuple[str, ...], _said("Further names under which this may be called.")] = ()
    tls_cert_file: Annotated[str | None, _said("A certificate chain (PEM) for both doors.")] = None
    tls_key_file: Annotated[str | None, _said("Its key (PEM).")] = None
    insecure_http: Annotated[bool, _said("Allow a bind elsewhere than loopback without TLS.")] = False
    agent_rabbitmq_url: Annotated[
        str | None,
        _said("The broker as hosts reach it, without credentials; RABBITMQ_URL's address unless set."),
    ] = None
    rabbitmq_url: Annotated[
        str | None, _said("The broker, as amqp://user:password@host:5672/%2Fdev; none: the database carries messages.")
    ] = None
    secrets_key: Annotated[
        str | None, _said("The keys of secrets at rest, a line <id>:<base64> each; given as SECRETS_KEY_FILE.")
    ] = None
    shutdown_timeout_seconds: Annotated[int, _said("How long calls may finish at the end.", least=1, most=600)] = 30
    stale_host_threshold_seconds: Annotated[
        int, _said("A host counts as silent after so many seconds without a heartbeat.", least=1)
    ] = 10
    start_deadline_seconds: Annotated[int, _said("How long a start may wait for its host.", least=1)] = 120
    rate_limit: Annotated[int, _said("Calls per second that one caller may make.", least=1)] = 100
    rate_burst: Annotated[int, _said("Calls that one caller may make at once.", least=1)] = 400
