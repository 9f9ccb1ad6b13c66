"""A deployment's wish, install and parking."""

import dataclasses

import pytest
from msgspec.structs import replace

from manman.domain.deployments import (
    Deployment,
    Install,
    begun,
    counted,
    installed,
    next_run,
    parked,
    seen,
    taken_over,
    wished,
)
from manman.domain.ids import DeploymentId, HostId
from manman.domain.sessions import Desired
from manman.domain.wishes import EPOCH, Wish

IDLE = Deployment(
    id=DeploymentId(3),
    host_id=HostId(1),
    name="dm-1",
    status=Install.READY,
    desired=Desired.STOPPED,
    desired_version=4,
    fresh_version=0,
    seen_version=4,
    last_run=2,
    number=2,
    version=1,
    config=5,
    config_revision=1,
    seen_deployment_version=1,
)


def test_it_is_parked_once_its_host_has_seen_the_stop_and_nothing_lives() -> None:
    assert parked(IDLE, live=False)
    assert not parked(IDLE, live=True)
    assert not parked(replace(IDLE, seen_version=3), live=False)
    assert not parked(replace(IDLE, desired=Desired.RUNNING), live=False)


def test_a_ready_that_was_on_its_way_when_it_was_reinstalled_says_nothing_of_the_new_install() -> None:
    again = replace(IDLE, status=Install.INSTALLING, version=2)
    assert installed(again, "ready", None, "", 1).status is Install.INSTALLING
    assert installed(again, "install_failed", None, "no disk", 1) == again
    assert installed(again, "ready", None, "", 2).status is Install.READY
    assert installed(again, "ready", None, "", None).status is Install.READY


def test_one_that_gave_up_at_this_version_is_parked() -> None:
    given_up = replace(IDLE, desired=Desired.RUNNING, gave_up="limit", gave_up_version=4)
    assert parked(given_up, live=False)
    assert not parked(replace(given_up, desired_version=5, seen_version=5), live=False)


def test_a_power_command_raises_the_version_and_asks_anew() -> None:
    again = wished(replace(IDLE, gave_up="limit", gave_up_version=4), Desired.RUNNING, fresh=True)
    assert (again.desired, again.desired_version, again.fresh_version, again.gave_up) == (Desired.RUNNING, 5, 5, None)
    assert wished(IDLE, Desired.STOPPED).fresh_version == 0


def test_what_was_said_last_is_seen_also_when_it_is_lower() -> None:
    assert seen(IDLE, 2).seen_version == 2
    assert seen(IDLE, None) is IDLE


def test_a_restored_database_takes_over_a_newer_wish_of_the_host() -> None:
    held = Wish(desired=Desired.RUNNING, version=EPOCH + 9, fresh_version=3)
    after = taken_over(IDLE, held)
    assert (after.desired, after.desired_version, after.seen_version) == (Desired.RUNNING, EPOCH + 9, EPOCH + 9)
    assert taken_over(IDLE, dataclasses.replace(held, version=4)) is IDLE


@pytest.mark.parametrize("word", ["ready", "install_failed", "installing"])
def test_an_install_moves_by_its_hosts_word(word: str) -> None:
    after = installed(replace(IDLE, status=Install.INSTALLING), word, 0.5, "so far", 2)
    assert after.status is Install(word)
    assert after.progress == (0.5 if word == "installing" else None)
    assert after.seen_deployment_version == 2


def test_a_word_about_an_old_version_and_one_while_removing_change_nothing() -> None:
    newer = replace(IDLE, status=Install.INSTALLING, seen_deployment_version=3)
    assert installed(newer, "ready", None, "", 2) is newer
    removing = replace(IDLE, status=Install.REMOVING)
    assert installed(removing, "ready", None, "", 2) is removing
    assert installed(removing, "removed", None, "", 2).removed


def test_a_report_sets_the_last_run_also_to_less_and_a_status_only_raises_it() -> None:
    assert next_run(counted(IDLE, 1)) == 2
    assert counted(IDLE, 0).last_run == 0
    assert counted(IDLE, None) is IDLE
    assert begun(IDLE, 1) is IDLE
    assert begun(IDLE, 5).last_run == 5
