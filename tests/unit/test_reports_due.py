"""A report that is wanted stays due until one is applied, whatever becomes of the command that asks for it."""

from datetime import UTC, datetime, timedelta

from manman.domain.hosts import Heard
from manman.domain.ids import HostId
from manman.events import contracts, topics
from manman.events.codec import Message
from manman.events.envelope import Attributes
from manman.processor import fold_reports
from manman.processor.outcomes import Outcome
from manman.processor.world import MOST_RANGES, World

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
HOST = HostId(1)
LATELY = NOW - timedelta(seconds=3)


def a_world(asked_at: datetime | None) -> World:
    heard = Heard(host_id=HOST, online=True, boot=1, beat=1, last_seen=NOW, asked_at=asked_at)
    seen = {(HOST, "j"): ((1, 7),)}
    return World(now=NOW, threshold=timedelta(seconds=10), chance=bytes, hosts={HOST: heard}, seen=seen)


def reported(world: World, sequence: int) -> Outcome | object:
    """The host's report of that number arrives."""
    attributes = Attributes(id="e", source="s", type="t", sequence=sequence, host_id=HOST, journal_id="j")
    body = contracts.HostReport(host_id=HOST, boot=1)
    message = Message(
        key=topics.parse(topics.status("host", "report", HOST)), body=body, attributes=attributes, host_id=HOST
    )
    return fold_reports.report(world, message, body)


def test_a_host_that_leaves_out_every_other_number_makes_no_set_without_end() -> None:
    world = a_world(None)
    for number in range(9, 2 * MOST_RANGES + 7, 2):
        world.settle((HOST, "j"), number)
    assert len(world.seen[HOST, "j"]) == MOST_RANGES and not world.crowded
    world.settle((HOST, "j"), 2 * MOST_RANGES + 7)
    assert len(world.seen[HOST, "j"]) == MOST_RANGES
    assert world.crowded == {(HOST, "j")}
    assert world.is_settled((HOST, "j"), 8) and not world.is_settled((HOST, "j"), 10)
    assert world.is_settled((HOST, "j"), 2 * MOST_RANGES + 7)


def test_it_stays_due_where_the_host_was_asked_lately_though_the_command_is_held_back() -> None:
    world = a_world(LATELY)
    world.ask_report(HOST)
    assert (world.report_wanted, world.reports_due) == ({}, {HOST})
    world = a_world(None)
    world.ask_report(HOST)
    assert (world.report_wanted, world.reports_due) == ({HOST: None}, {HOST})


def test_a_report_that_is_applied_ends_it_and_one_that_newer_messages_overtook_wants_another() -> None:
    world = a_world(LATELY)
    world.ask_report(HOST)
    assert reported(world, 5) is Outcome.LATE
    assert world.reports_due == {HOST}
    assert reported(world, 8) is Outcome.APPLIED
    assert world.reports_due == set()
    assert HOST in world.reported


def test_what_is_wanted_after_a_report_of_the_same_batch_is_due() -> None:
    world = a_world(LATELY)
    reported(world, 8)
    world.ask_report(HOST)
    assert world.reports_due == {HOST}
