"""Installations that the tests of this folder share or have to themselves."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import shared
from harness.installations import Installation, Separate, Up


def place() -> Path:
    """A short folder that users other than root can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="i", dir=shared.home()))
    folder.chmod(0o711)
    return folder


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    """One `manman up` for the tests of a module: running, its agent online, no game yet."""
    installation = Up(place())
    try:
        installation.up()
        installation.host_is_online()
        yield installation
    finally:
        installation.leave_nothing()


@pytest.fixture
def fresh_up() -> Iterator[Up]:
    """A state folder for a `manman up` that the test starts, kills and starts again itself."""
    installation = Up(place())
    try:
        yield installation
    finally:
        installation.leave_nothing()


@pytest.fixture
def separate(database_url: str, rabbitmq_url: str, rabbitmq_admin_url: str) -> Iterator[Separate]:
    """API, processor and agent as processes of their own on a real RabbitMQ and PostgreSQL, the host online."""
    installation = Separate(place(), database=database_url, broker=rabbitmq_url, broker_admin=rabbitmq_admin_url)
    try:
        installation.install()
        yield installation
    finally:
        installation.leave_nothing()


@pytest.fixture(params=["embedded", "separate"])
def installation(request: pytest.FixtureRequest) -> Installation:
    """Both kinds, one after the other: what is tested with this holds on each."""
    found: Installation = request.getfixturevalue("up" if request.param == "embedded" else "separate")
    return found
