"""How commands say times, places and states to people."""

from collections.abc import Sequence
from datetime import UTC, datetime

from manman.v1 import types


def clock(at: datetime | None) -> str:
    """A time of day in the machine's zone, with the day when it is not today's; empty when unset."""
    if at is None:
        return ""
    here = at.astimezone()
    today = datetime.now(UTC).astimezone().date()
    return here.strftime("%H:%M:%S" if here.date() == today else "%Y-%m-%d %H:%M:%S")


def join(endpoints: Sequence[types.Endpoint]) -> str:
    """Where players join: the first endpoint as address:port."""
    return address(endpoints[0]) if endpoints else "–"


def address(endpoint: types.Endpoint) -> str:
    """address:port, an IPv6 address in brackets."""
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    return f"{host}:{endpoint.port}"


def state(session: types.Session) -> str:
    """A session's state in words: never plainly running while its host is silent."""
    if session.unreachable_since is not None and session.status not in ("stopped", "crashed"):
        return f"{session.status}, host silent since {clock(session.unreachable_since)}"
    if session.status in ("pending", "starting") and session.progress is not None:
        return f"{session.status} {session.progress * 100:.0f} %"
    if session.status in ("stopped", "crashed"):
        return f"{session.status}{end_of(session)}"
    return str(session.status)


def end_of(session: types.Session) -> str:
    """How it ended, in brackets: reason, exit code, signal."""
    parts = [session.reason] if session.reason else []
    if session.signal is not None:
        parts.append(f"signal {session.signal}")
    elif session.exit_code is not None:
        parts.append(f"code {session.exit_code}")
    return f" ({', '.join(parts)})" if parts else ""
