"""One database server and one broker for all runs of a test process: they are killed often, and come back."""

from collections.abc import Iterator

import pytest
import structlog

from faults.run import quiet
from faults.services import Services


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """Both up; a run that ends leaves them so."""
    made = Services().open()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    before = structlog.get_config()
    quiet()
    yield
    structlog.configure(**before)
