"""Hosts that come and go, folded. A host leaves by exactly one event and returns by one."""

from datetime import datetime

from msgspec.structs import replace

from manman.domain.hosts import GOODBYE, Heard, HostMoved, Presence, boot_to_exceed, is_newer
from manman.events import contracts
from manman.events.codec import Message
from manman.processor.outcomes import Outcome, Refusal
from manman.processor.world import World, event_id_of


def online(world: World, message: Message, body: contracts.HostOnline, *, got_at: datetime) -> Outcome | Refusal:
    """`status.host.online`: the agent was here at `got_at`; it gets its lease and is asked for a report."""
    heard, journal = world.hosts[body.host_id], _journal(message)
    exceed = None if body.boot is None else boot_to_exceed(body.boot, journal, (heard.boot, heard.journal))
    if exceed is not None:
        world.ask_report(body.host_id, boot=exceed)
        return Outcome.LATE
    if not is_newer(body.boot, 0, (heard.boot, heard.beat)) and not heard.online:
        world.lease_wanted.add(body.host_id)
        return Outcome.LATE
    if body.agent_version is not None:
        world.agent_versions[body.host_id] = body.agent_version
    came_back = returned(
        world, heard, boot=body.boot, beat=0, got_at=got_at, journal=journal, event_id=event_id_of(message)
    )
    world.lease_wanted.add(body.host_id)
    world.ask_report(body.host_id, boot=world.hosts[body.host_id].boot)
    return Outcome.APPLIED if came_back else Outcome.UNCHANGED


def _journal(message: Message) -> str | None:
    return message.attributes.journal_id if message.attributes is not None else None


def returned(
    world: World,
    heard: Heard,
    *,
    boot: int | None,
    beat: int | None,
    got_at: datetime,
    journal: str | None = None,
    event_id: str | None = None,
) -> bool:
    """Take a sign of life that is newer than the known one; True when the host had been away. What it was since this process got
    that, nobody knows: a transaction that waited for the database must not make it heard now."""
    was = world.presence(heard.host_id)
    at = (boot, beat or 0) if boot is not None else (heard.boot, heard.beat if heard.beat != GOODBYE else 0)
    away = was is not Presence.ONLINE
    world.keep_host(
        replace(
            heard,
            online=True,
            boot=at[0],
            beat=max(at[1], heard.beat) if at[0] == heard.boot and heard.beat != GOODBYE else at[1],
            last_seen=got_at if heard.last_seen is None else max(heard.last_seen, got_at),
            journal=journal or heard.journal,
            # Who has no boot is no agent of ours: it never reports, so none is waited for.
            returned_at=world.now if away and was is not Presence.NEW and at[0] > 0 else heard.returned_at,
        )
    )
    if away:
        world.hosts_moved.append(
            HostMoved(
                host_id=heard.host_id,
                from_=was,
                to=Presence.ONLINE,
                at=world.now,
                cause="heard",
                last_seen=heard.last_seen,
                event_id=event_id,
            )
        )
    return away


def offline(world: World, message: Message, body: contracts.HostOffline) -> Outcome | Refusal:
    """`status.host.offline`: a goodbye closes its boot; one of an older boot is late. Only who was there leaves: of one that had fallen
    silent the history notes it, and of one that was never heard nothing."""
    heard = world.hosts[body.host_id]
    boot = body.boot if body.boot is not None else heard.boot
    if boot < heard.boot or (boot == heard.boot and heard.beat == GOODBYE):
        return Outcome.LATE
    was = world.presence(body.host_id)
    journal = _journal(message) or heard.journal
    world.keep_host(replace(heard, online=False, boot=boot, beat=GOODBYE, returned_at=None, journal=journal))
    if was in (Presence.OFFLINE, Presence.NEW):
        return Outcome.UNCHANGED
    world.hosts_moved.append(
        HostMoved(
            host_id=body.host_id,
            from_=was,
            to=Presence.OFFLINE,
            at=world.now,
            cause="said goodbye",
            last_seen=heard.last_seen,
            event_id=event_id_of(message),
        )
    )
    return Outcome.APPLIED
