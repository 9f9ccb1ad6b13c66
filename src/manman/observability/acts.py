"""Every act that the product tells about, declared once. A name here is a log event, a metric label and a span name.

`level` is that of the line when something was done; an act whose counts are all zero is told at `debug`, so that a sweep that
found nothing does not fill the log.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody may want to know that it happened: its stable name, and what it means in a sentence."""

    name: str
    meaning: str
    level: Literal["debug", "info"] = "info"


APPLY_EVENTS = Act("apply_events", "A batch of host events was applied, saved and acknowledged.")
APPLY_HEARTBEATS = Act("apply_heartbeats", "A batch of heartbeats was applied.", "debug")
RELAY_EVENTS = Act("relay_events", "Outbox rows were numbered, published and confirmed.")
RELAY_COMMANDS = Act("relay_commands", "Commands were published to hosts' queues.")
SWEEP_HOSTS = Act("sweep_hosts", "Hosts that fell silent were found, marked and announced.")
SWEEP_DEADLINES = Act("sweep_deadlines", "Sessions whose start deadline passed were ended.")
SWEEP_WISHES = Act("sweep_wishes", "Wishes that their hosts have not seen were repeated.")
SWEEP_REPORTS = Act(
    "sweep_reports", "Hosts that differ from the rows, or of which something is missing, were asked for a report."
)
SWEEP_LOST = Act("sweep_lost", "Sessions of hosts that stayed away too long were ended.")
SWEEP_RETENTION = Act("sweep_retention", "Rows older than their retention were removed.")
CHANGE_PARTITIONS = Act("change_partitions", "A step of a change of the number of partitions was made.")
CALL = Act("call", "A method of the API was called.", "debug")
MIGRATE = Act("migrate", "The database was brought to another version.")
EMBEDDED_START = Act("embedded_start", "The embedded PostgreSQL was started.")
AGENT_COMMAND = Act("agent_command", "The agent took a command.")
AGENT_SEND = Act("agent_send", "The agent sent journal entries and had them confirmed.", "debug")
AGENT_ADOPT = Act("agent_adopt", "The agent looked at what runs and adopted what is its own.")
SESSION_BEGIN = Act("session_begin", "The agent began a session.")
SESSION_END = Act("session_end", "A session ended on this host.")
INSTALL = Act("install", "A deployment's game was installed on this host.")
