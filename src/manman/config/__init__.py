"""Environment → a room's settings class. Nothing else in the product reads the environment.

`load(Settings)` fills a frozen msgspec class: field `stale_host_threshold_seconds` is the variable `STALE_HOST_THRESHOLD_SECONDS`,
or the content of the file that `STALE_HOST_THRESHOLD_SECONDS_FILE` names. What is missing or impossible becomes one line that
names the variable, what it must be and where it came from (`BadSetting`, exit code 2). `warnings` tells of variables that look
like a known one.
"""

from manman.config.load import load, problems_with_names, settings_reference

__all__ = ["load", "problems_with_names", "settings_reference"]
