"""Fixtures for all tests; `harness/__init__.py` says what they give."""

import contextlib
import inspect
import itertools
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from harness import shared
from harness.bounds import bounded, soft_seconds
from harness.postgres import Postgres, execute
from harness.rabbitmq import RabbitMQ, ask
from harness.templates import clone, template

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Own the run when nobody above does; test processes of xdist belong to the run of their parent."""
    config.addinivalue_line("markers", "both_postgres: run on PostgreSQL 15 and on 18")
    home = shared.begin()
    if home is not None:
        config.add_cleanup(lambda: shared.end(home))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked `both_postgres` run twice."""
    if "postgres_major" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_postgres"):
        metafunc.parametrize("postgres_major", [15, 18], indirect=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """An async test ends by itself before the process that runs it is ended."""
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        pyfuncitem.obj = bounded(pyfuncitem.obj, soft_seconds(pyfuncitem))
    return (yield)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio alone: it is what the services run on."""
    return "asyncio"


@pytest.fixture
def postgres_major(request: pytest.FixtureRequest) -> int:
    """The PostgreSQL that `database_url` is on."""
    return getattr(request, "param", 15)


@pytest.fixture
def empty_database_url(postgres_major: int) -> Iterator[str]:
    """A fresh database without a table."""
    with fresh_database(postgres_major, "template1") as url:
        yield url


@pytest.fixture
def database_url(postgres_major: int) -> Iterator[str]:
    """A fresh database with all migrations, cloned from a template."""
    with fresh_database(postgres_major, template(postgres_major)) as url:
        yield url


@contextlib.contextmanager
def fresh_database(major: int, source: str) -> Iterator[str]:
    """A database of its own for one test, dropped afterwards with whoever is still connected."""
    server = shared.service(f"postgres{major}")["url"]
    name = fresh_name()
    clone(server, name, source)
    try:
        yield server.rpartition("/")[0] + f"/{name}"
    finally:
        execute(server, f"drop database {name} with (force)")


@pytest.fixture
def rabbitmq_url(rabbitmq_admin_url: str) -> Iterator[str]:
    """A vhost of its own for one test, removed afterwards."""
    name = fresh_name()
    ask(rabbitmq_admin_url, "PUT", f"/api/vhosts/{name}", {})
    try:
        yield shared.service("rabbitmq")["url"] + name
    finally:
        ask(rabbitmq_admin_url, "DELETE", f"/api/vhosts/{name}")


@pytest.fixture
def rabbitmq_admin_url() -> str:
    """The shared broker's management API, with an administrator's name and password."""
    admin_url: str = shared.service("rabbitmq")["admin_url"]
    return admin_url


@pytest.fixture
def roomy() -> Iterator[Path]:
    """A short temporary folder that other users can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir=shared.home()))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_postgres(roomy: Path, postgres_major: int) -> Iterator[Postgres]:
    """A PostgreSQL that the test may stop, kill and start again; running."""
    server = Postgres(roomy / "postgres", major=postgres_major)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_rabbitmq(roomy: Path) -> Iterator[RabbitMQ]:
    """A broker that the test may stop, kill and start again; running, without the management plugin."""
    broker = RabbitMQ(roomy / "rabbitmq", management=False)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def fresh_name() -> str:
    """A name that no other test of this run has."""
    return f"t{os.getpid()}_{next(_numbers)}"
