"""Logs, metrics, traces and health. One act, one telling: `with observe(ACT, …) as seen` is the log line, the metric and the span.

The way through: an act is declared once in `acts`; the shell (a service's loop, a door, a command) observes it; `logs` renders
JSON lines (or short ones for a terminal), `metrics` serves Prometheus, `tracing` sends spans where an exporter is configured.
What may go wrong here must never disturb the act: a dead collector costs a warning.
"""

from manman.observability import acts
from manman.observability.acts import Act
from manman.observability.logs import get_logger, set_up_logs
from manman.observability.telling import Seen, observe

__all__ = ["Act", "Seen", "acts", "get_logger", "observe", "set_up_logs"]
