"""Prometheus metrics of the acts, plus gauges that a service sets. `render()` is the body of `/metrics`."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE

__all__ = ["CONTENT_TYPE", "count", "gauge", "render", "tell"]

REGISTRY = CollectorRegistry()
ACTS = Counter("manman_acts", "Acts told, by name and outcome.", ["act", "outcome"], registry=REGISTRY)
SECONDS = Histogram(
    "manman_act_seconds",
    "How long acts took, in seconds.",
    ["act"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
ITEMS = Counter(
    "manman_act_items",
    "What acts counted: rows applied, hosts marked, messages refused.",
    ["act", "what"],
    registry=REGISTRY,
)
GAUGES = Gauge("manman_state", "What a service says of itself: lag, depth, leadership.", ["what"], registry=REGISTRY)
EVENTS = Counter(
    "manman_notices", "What was counted outside of acts: late, duplicate, dropped.", ["what"], registry=REGISTRY
)

# Facts that are identities, not amounts: summing them would be nonsense.
IDENTITIES = frozenset({"host_id", "session_id", "deployment_id", "port", "pid", "version", "epoch", "position"})


def tell(act: str, outcome: str, seconds: float, facts: dict[str, Any]) -> None:
    """Count one act: its outcome, its seconds, and each whole-number fact as an amount."""
    ACTS.labels(act, outcome).inc()
    SECONDS.labels(act).observe(seconds)
    for name, value in facts.items():
        if isinstance(value, int) and not isinstance(value, bool) and value > 0 and name not in IDENTITIES:
            ITEMS.labels(act, name).inc(value)


def count(what: str, amount: int = 1) -> None:
    """Count something that has no act of its own."""
    EVENTS.labels(what).inc(amount)


def gauge(what: str, value: float) -> None:
    """State a level: `gauge("relay_lag_rows", 12)`."""
    GAUGES.labels(what).set(value)


def render() -> bytes:
    """The text exposition of everything counted so far."""
    return generate_latest(REGISTRY)
