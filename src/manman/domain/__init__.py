"""The rules, and the only place that decides: pure functions over frozen values. No clock, chance or I/O: they are arguments."""
