"""What a state looks like and is called: tone, icon and word, from one place, so that no page tells it by colour alone.

`Look` is what a template draws. The words for statuses and reasons are those of the API; a house test holds that each has all three.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Tone(StrEnum):
    """How a state bears on the reader; each is a text colour, a tint and a fill of the stylesheet."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    INFO = "info"
    MUTE = "mute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A state as it is drawn. `key` is stable and names it in filters and strips; `word` may carry a number or an age."""

    key: str
    tone: Tone
    icon: str
    word: str
    turns: bool = False


SESSION: Final[dict[str, Look]] = {
    "pending": Look(key="pending", tone=Tone.INFO, icon="clock", word="Pending"),
    "starting": Look(key="starting", tone=Tone.INFO, icon="ring", word="Starting", turns=True),
    "running": Look(key="running", tone=Tone.GOOD, icon="disc", word="Running"),
    "stopping": Look(key="stopping", tone=Tone.MUTE, icon="square-outline", word="Stopping"),
    "stopped": Look(key="stopped", tone=Tone.MUTE, icon="square", word="Stopped"),
    "crashed": Look(key="crashed", tone=Tone.BAD, icon="cross-octagon", word="Crashed"),
}
UNREACHABLE: Final = Look(key="unreachable", tone=Tone.WARN, icon="broken-ring", word="Unreachable")
REACHABLE: Final = Look(key="reachable", tone=Tone.GOOD, icon="pulse", word="Reachable")
SLEEPING: Final = Look(key="sleeping", tone=Tone.INFO, icon="crescent", word="Sleeping")

DEPLOYMENT: Final[dict[str, Look]] = {
    "installing": Look(key="installing", tone=Tone.INFO, icon="ring", word="Installing", turns=True),
    "ready": Look(key="ready", tone=Tone.MUTE, icon="tick", word="Ready"),
    "install_failed": Look(key="install_failed", tone=Tone.BAD, icon="cross-octagon", word="Install failed"),
    "removing": Look(key="removing", tone=Tone.MUTE, icon="square-outline", word="Removing"),
    "removed": Look(key="removed", tone=Tone.MUTE, icon="square", word="Removed"),
    "suspended": Look(key="suspended", tone=Tone.MUTE, icon="pause", word="Suspended"),
    "gave_up": Look(key="gave_up", tone=Tone.BAD, icon="bar-octagon", word="Gave up"),
}

HOST: Final[dict[str, Look]] = {
    "new": Look(key="new", tone=Tone.INFO, icon="clock", word="Never heard"),
    "online": Look(key="online", tone=Tone.GOOD, icon="pulse", word="Online"),
    "stale": Look(key="stale", tone=Tone.BAD, icon="silent", word="Silent"),
    "offline": Look(key="offline", tone=Tone.MUTE, icon="power", word="Offline"),
    "draining": Look(key="draining", tone=Tone.WARN, icon="tray", word="Draining"),
}
DEAF: Final = Look(key="deaf", tone=Tone.WARN, icon="struck-ear", word="Deaf")
DEAD_LETTER: Final = Look(key="dead_letter", tone=Tone.WARN, icon="warning", word="Refused message")

BACKUP: Final[dict[str, Look]] = {
    "queued": Look(key="queued", tone=Tone.INFO, icon="clock", word="Queued"),
    "running": Look(key="running", tone=Tone.INFO, icon="ring", word="Backing up", turns=True),
    "completed": Look(key="completed", tone=Tone.GOOD, icon="tick", word="Completed"),
    "verified": Look(key="verified", tone=Tone.GOOD, icon="shield", word="Verified"),
    "locked": Look(key="locked", tone=Tone.MUTE, icon="padlock", word="Locked"),
    "failed": Look(key="failed", tone=Tone.BAD, icon="cross-octagon", word="Failed"),
}
DELIVERY: Final[dict[str, Look]] = {
    "queued": Look(key="queued", tone=Tone.INFO, icon="clock", word="Queued"),
    "delivered": Look(key="delivered", tone=Tone.GOOD, icon="tick", word="Delivered"),
    "retrying": Look(key="retrying", tone=Tone.WARN, icon="turn", word="Retrying"),
    "failed": Look(key="failed", tone=Tone.BAD, icon="cross-octagon", word="Failed"),
    "snoozed": Look(key="snoozed", tone=Tone.MUTE, icon="struck-bell", word="Snoozed"),
}

# Why a session ended: after "Odin …", and alone as in "Crashed 03:07:12, …".
REASONS: Final[dict[str, tuple[str, str]]] = {
    "exited": ("ended by itself", "ended by itself"),
    "signalled": ("was killed by a signal", "killed by a signal"),
    "out_of_memory": ("ran out of memory", "out of memory"),
    "killed": ("was killed after its grace period", "killed"),
    "start_timeout": ("did not come up in time", "not up in time"),
    "unhealthy": ("stopped answering", "stopped answering"),
    "image_unavailable": ("has no image to run", "image unavailable"),
    "port_taken": ("found its port taken", "port taken"),
    "config_invalid": ("has a config that cannot run", "config invalid"),
    "disk_full": ("ran out of disk", "disk full"),
    "host_restarted": ("ended as its machine restarted", "machine restarted"),
    "host_lost": ("was lost with its host", "host lost"),
    "superseded": ("was superseded by a newer session", "superseded"),
    "unknown": ("ended for a reason that nobody saw", "reason unknown"),
}

GAVE_UP: Final[dict[str, str]] = {
    "limit": "Its restarts were used up; nothing starts it again by itself.",
    "ended": "It ended as expected, and its restart policy leaves it so.",
    "never": "Its restart policy is never; nothing starts it again by itself.",
    "not_on_boot": "Its machine restarted, and it does not start on boot.",
    "start_timeout": "Its host got no launch in time; start it again.",
}

GAVE_UP_SHORT: Final[dict[str, str]] = {
    "limit": "restarts used up",
    "ended": "ended as expected",
    "never": "restart policy is never",
    "not_on_boot": "does not start on boot",
    "start_timeout": "no launch in time",
}

_CAUSES: Final[dict[str, str]] = {
    "restart_policy": "restart policy",
    "restart": "asked to restart",
    "host_boot": "its host came up",
    "wish": "as wanted",
    "wake": "somebody knocked",
    "report": "told in its host's report",
    "start_deadline": "no progress before its deadline",
    "host_lost": "its host stayed away too long",
    "superseded": "a newer session took its place",
    "heard": "heard again",
    "heartbeat": "its heartbeat came",
    "host": "told by its host",
    "two_rows": "a newer session took its place",
    "sweep": "not heard for too long",
    "stale": "not heard for too long",
}


def unknown(word: str) -> Look:
    """How a word is drawn that this version does not know: as it is, in no tone."""
    return Look(key=word, tone=Tone.MUTE, icon="square-outline", word=word.replace("_", " ").capitalize() or "Unknown")


def reason(word: str) -> tuple[str, str]:
    """(as the end of a sentence about a deployment, as an apposition) for a reason, known or not."""
    return REASONS.get(word) or (f"ended: {word.replace('_', ' ')}" if word else "ended", word.replace("_", " "))


def cause(text: str) -> str:
    """A cause in words: 'user anna' → 'by anna', 'restart_policy' → 'restart policy'; an unknown one stays as it came."""
    if text.startswith(("user ", "service ")):
        return "by " + text.split(" ", 1)[1]
    if text.startswith("host "):
        return "told by " + text.split(" ", 1)[1]
    return _CAUSES.get(text, text.replace("_", " "))
