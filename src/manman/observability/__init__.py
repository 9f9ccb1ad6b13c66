"""Logs, metrics, traces and health. One act, one telling: `with observe(ACT, …) as seen` is the log line, the metric and the span."""
