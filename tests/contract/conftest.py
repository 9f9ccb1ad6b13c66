"""Where the contract suites run."""

import pytest
from contract.places import Place


@pytest.fixture(params=["rabbitmq", "postgresql"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each implementation of the bus in turn: a vhost of a real broker, a migrated database."""
    kind = str(request.param)
    fixture = {"rabbitmq": "rabbitmq_url", "postgresql": "database_url"}[kind]
    return Place(kind, request.getfixturevalue(fixture))
