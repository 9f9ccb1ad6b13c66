"""Which host is silent, which of its commands is tried, and when; the rest goes on."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from manman.domain.ids import HostId
from manman.errors import Malformed, Unavailable
from manman.events import topics
from manman.events.bus import Outcome, Outgoing, Unanswered
from manman.events.outbox import OutboxRow
from manman.processor import commands
from manman.processor.commands import CommandRelay
from manman.store.outbox import Waiting

HOST_A, HOST_B = HostId(1), HostId(2)


class Broker:
    """Handles a channel in order up to the first message for a queue without leader, as RabbitMQ does."""

    def __init__(self, *leaderless: int) -> None:
        self.leaderless = {topics.host_commands(HostId(host)) for host in leaderless}
        self.taken: list[tuple[bool, list[str]]] = []
        self.patience: list[timedelta] = []
        self.is_away = False
        self.patience_is_over = asyncio.Event()
        self.patience_is_over.set()

    async def publish(self, batch: Sequence[Outgoing], *, apart: bool = False, patience: timedelta) -> list[Outcome]:
        keys = [message.key for message in batch]
        if any(len(key) > topics.MOST_KEY_BYTES for key in keys):
            raise Malformed("message", "it has no form")
        self.taken.append((apart, keys))
        self.patience.append(patience)
        if self.is_away:
            raise Unavailable("no broker answers")
        for at, key in enumerate(keys):
            if any(f"{key.rpartition('.')[0].removeprefix('command.')}.commands" == one for one in self.leaderless):
                await self.patience_is_over.wait()
                raise Unanswered("nothing", [Outcome.CONFIRMED] * at + [None] * (len(keys) - at))
        return [Outcome.CONFIRMED] * len(keys)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def relay_at(broker: Broker) -> tuple[CommandRelay, Clock]:
    clock = Clock()
    return CommandRelay(None, broker, clock), clock  # type: ignore[arg-type]


def waits(id: int, host: HostId) -> Waiting:
    row = OutboxRow(
        event_id=f"{id}", type="manman.command.kill", key=topics.command(host, "kill"), body=b"{}", host_id=host
    )
    return Waiting(id=id, row=row)


async def test_the_first_command_without_an_answer_names_the_host_and_what_was_confirmed_is_settled() -> None:
    relay, _ = relay_at(Broker(HOST_A))
    assert await relay._send([waits(1, HOST_B), waits(2, HOST_A), waits(3, HOST_B)]) == [1]
    assert relay._held_up() == [HOST_A] and relay.silence() == "no answer from host.1.commands"


async def test_a_silent_host_s_oldest_command_is_tried_apart_and_none_goes_with_the_others() -> None:
    broker = Broker(HOST_A)
    relay, clock = relay_at(broker)
    await relay._send([waits(1, HOST_A)])
    clock.now += commands.FIRST_PAUSE
    assert relay._held_up() == []
    assert relay._try([waits(1, HOST_A), waits(2, HOST_B), waits(3, HOST_A)]) == [waits(2, HOST_B)]
    assert relay._held_up() == [HOST_A], "while it is tried nothing else of it is wanted"
    await asyncio.wait(relay.trials.values())
    assert broker.taken[1:] == [(True, ["command.host.1.kill"])]


async def test_each_trial_without_an_answer_doubles_the_pause_up_to_a_minute() -> None:
    relay, clock = relay_at(Broker(HOST_A))
    await relay._send([waits(1, HOST_A)])
    pauses = []
    for _ in range(9):
        clock.now = relay.lanes[HOST_A].until
        relay._try([waits(1, HOST_A)])
        await asyncio.wait(relay.trials.values())
        relay._join()
        pauses.append(relay.lanes[HOST_A].pause)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_where_one_host_is_silent_the_next_is_soon_suspected() -> None:
    broker = Broker(HOST_A, HOST_B)
    relay, _ = relay_at(broker)
    await relay._send([waits(1, HOST_A)])
    await relay._send([waits(2, HOST_B)])
    assert broker.patience == [commands.PATIENCE, commands.HURRIED]


async def test_a_trial_without_a_broker_only_waits_longer() -> None:
    broker = Broker(HOST_A)
    relay, clock = relay_at(broker)
    await relay._send([waits(1, HOST_A)])
    clock.now += commands.FIRST_PAUSE
    broker.is_away = True
    relay._try([waits(1, HOST_A)])
    await asyncio.wait(relay.trials.values())
    relay._join()
    assert relay.lanes[HOST_A].until > clock.now and relay._held_up() == [HOST_A]


async def test_a_silent_host_of_which_nothing_waits_any_more_is_forgotten() -> None:
    relay, _ = relay_at(Broker(HOST_A, HOST_B))
    await relay._send([waits(1, HOST_A)])
    await relay._send([waits(2, HOST_B)])
    relay._free({HOST_B})
    assert list(relay.lanes) == [HOST_B]


async def test_only_a_handful_is_tried_at_once_and_the_others_wait_for_that() -> None:
    hosts = [HostId(n) for n in range(1, commands.TRIALS + 3)]
    broker = Broker(*hosts)
    relay, clock = relay_at(broker)
    for host in hosts:
        await relay._send([waits(host, host)])
    clock.now += commands.FIRST_PAUSE
    broker.patience_is_over.clear()
    assert relay._try([waits(host, host) for host in hosts]) == []
    assert list(relay.trials) == hosts[: commands.TRIALS] and {*relay._held_up()} == {*hosts}
    under_way = list(relay.trials.values())
    await asyncio.sleep(0)
    await relay.close()
    assert all(trial.cancelled() for trial in under_way) and not relay.trials


async def test_what_has_no_form_goes_and_nothing_of_a_host_overtakes_what_did_not_go() -> None:
    broker = Broker(HOST_A)
    relay, _ = relay_at(broker)
    formless = Waiting(id=2, row=OutboxRow(event_id="2", type="manman.command.kill", key="x" * 300, body=b"{}"))
    rows = [waits(1, HOST_A), formless, waits(3, HOST_A), waits(4, HOST_B)]
    assert await relay._send(rows) == [2, 4]
    assert [keys for _, keys in broker.taken] == [[topics.command(HOST_A, "kill")], [topics.command(HOST_B, "kill")]]
    assert relay.silence() == "no answer from host.1.commands"
