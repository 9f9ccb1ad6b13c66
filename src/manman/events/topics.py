"""Names of exchanges, queues and routing keys (the public contract), and how a topic exchange matches them."""

from __future__ import annotations

import msgspec

from manman.domain.ids import HostId, SessionId
from manman.errors import Malformed

INTERNAL = "manman"
COMMANDS = "command."
"""What the keys of commands begin with."""
LINES = "logs."
"""What the keys of console lines begin with."""
EXTERNAL = "external"
DEFAULT = ""  # the broker's own: the key is a queue's name; hosts may not publish there
DEAD_LETTER_EXCHANGE = "manman.dlx"
EVENTS_QUEUE = "processor-events"
HEARTBEAT_QUEUE = "processor-heartbeats"
EXPIRED_QUEUE = "expired-commands"
LOG_ARCHIVE_QUEUE = "log-archive"
MOST_KEY_BYTES = 255

STATUS_WORDS: dict[str, frozenset[str]] = {
    "host": frozenset({"online", "offline", "report"}),
    "session": frozenset({"pending", "starting", "running", "stopping", "stopped", "crashed"}),
    "command": frozenset({"refused"}),
    "deployment": frozenset({"installing", "ready", "install_failed", "removed", "gave_up", "seen"}),
}
HEALTH_WORDS = frozenset({"heartbeat", "pulse"})
VERBS = frozenset(
    {"start", "stop", "restart", "kill", "wish", "input", "end", "report", "lease", "tail", "install", "remove", "host"}
)
PUBLIC = frozenset(
    {
        "manman.host.online",
        "manman.host.offline",
        "manman.host.stale",
        "manman.session.running",
        "manman.session.stopped",
        "manman.session.crashed",
        "manman.session.unreachable",
        "manman.session.reachable",
    }
)


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A routing key taken apart: `status.session.running.7` is area `status`, noun `session`, word `running`, host
    7."""

    text: str
    area: str
    noun: str
    word: str
    host_id: HostId | None = None
    session_id: SessionId | None = None

    @property
    def type(self) -> str:
        """The CloudEvents type: the key without its numbers, under `manman`."""
        parts = (self.area, self.noun, self.word)
        prefix = "" if self.area == "manman" else "manman."
        return prefix + ".".join(part for part in parts if part)


def status(noun: str, word: str, host_id: HostId | None = None) -> str:
    """`status.<noun>.<word>[.<host_id>]`; agents always send the host word."""
    return f"status.{noun}.{word}" if host_id is None else f"status.{noun}.{word}.{host_id}"


def heartbeat(host_id: HostId | None = None) -> str:
    """`health.heartbeat[.<host_id>]`."""
    return "health.heartbeat" if host_id is None else f"health.heartbeat.{host_id}"


def pulse() -> str:
    """`health.pulse`, the processor to itself."""
    return "health.pulse"


def command(host_id: HostId, verb: str) -> str:
    """`command.host.<host_id>.<verb>`."""
    return f"{COMMANDS}host.{host_id}.{verb}"


def logs(session_id: SessionId, host_id: HostId) -> str:
    """`logs.session.<session_id>.<host_id>`."""
    return f"{LINES}session.{session_id}.{host_id}"


def host_commands(host_id: HostId) -> str:
    """The queue that holds what one host is told."""
    return f"host.{host_id}.commands"


def host_agent(host_id: HostId) -> str:
    """The exclusive queue that a connected agent holds: only an exclusive queue is a lock."""
    return f"host.{host_id}.agent"


def partitions_exchange(generation: int) -> str:
    """The exchange that spreads what hosts say over a generation's partitions."""
    return f"{INTERNAL}.partitions.{generation}"


def partition(events: str, generation: int, number: int, of: int) -> str:
    """The queue of one partition of `of`; a single one is the queue of events itself."""
    return events if of == 1 else f"{events}.{generation}.{number}"


def dead(name: str) -> str:
    """The queue for what a subscriber could not take."""
    return f"{name}.dead"


def number(word: str, what: str) -> int:
    """A positive number of a key; raises `Malformed('key')`."""
    if not (word.isascii() and word.isdigit()) or not 0 < int(word) < 2**63:
        raise Malformed("key", f"{what} must be a positive number, not {word!r}")
    return int(word)


# What hosts say, by all but the last word, which is the host's: they are many, so that the parts of each key cannot be remembered.
_SAID = {
    f"{area}.{noun}.{word}" if word else f"{area}.{noun}": (area, noun, word)
    for area, noun, word in [
        *(("status", noun, word) for noun, words in STATUS_WORDS.items() for word in words),
        *(("health", word, "") for word in HEALTH_WORDS),
    ]
}


def parse(text: str) -> Key:
    """The key's parts; raises `Malformed` naming `key` for a key that no message of the product has."""
    stem, _, last = text.rpartition(".")
    said = _SAID.get(stem)
    if said is not None:
        return Key(text=text, area=said[0], noun=said[1], word=said[2], host_id=HostId(number(last, "the host word")))
    if text in _SAID:
        area, noun, word = _SAID[text]
        return Key(text=text, area=area, noun=noun, word=word)
    return _other(text)


def host_word(text: str) -> HostId | None:
    """The host that a key names by its last word, also a key that no message of the product has."""
    last = text.rpartition(".")[2]
    try:
        return HostId(number(last, "the host word"))
    except Malformed:
        return None


def _other(text: str) -> Key:
    match text.split("."):
        case ["command", "host", host, verb] if verb in VERBS:
            return Key(text=text, area="command", noun="host", word=verb, host_id=HostId(number(host, "the host word")))
        case ["logs", "session", session, host]:
            session_id = SessionId(number(session, "the session word"))
            host_id = HostId(number(host, "the host word"))
            return Key(text=text, area="logs", noun="session", word="", host_id=host_id, session_id=session_id)
        case ["manman", ("host" | "session") as noun, word]:
            return Key(text=text, area="manman", noun=noun, word=word)
        case _:
            raise Malformed("key", f"no message has the routing key {text!r}")


def matches(pattern: str, key: str) -> bool:
    """Whether a topic binding routes a key, as AMQP 0-9-1 does: `*` is one word, `#` zero or more; words may be
    empty.

    The empty text is zero words, so `#` alone matches it and `*` does not.
    """
    return _matches(_words(pattern), _words(key))


def _words(text: str) -> list[str]:
    return text.split(".") if text else []


def _matches(pattern: list[str], key: list[str]) -> bool:
    # One row of the usual table: `ends[j]` says that the pattern so far can cover the first j words.
    ends = [True] + [False] * len(key)
    for part in pattern:
        if part == "#":
            reached = False
            for j, here in enumerate(ends):
                reached = reached or here
                ends[j] = reached
        else:
            ends = [False] + [ends[j] and part in ("*", word) for j, word in enumerate(key)]
    return ends[-1]
