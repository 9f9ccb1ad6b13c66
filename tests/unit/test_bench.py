"""What `make bench` measures without any service can still be measured: it calls what the product calls."""

import pytest

from bench import codec


def test_each_step_of_a_message_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "ROUNDS", 2)
    assert {figure.what for figure in codec.measure()} >= {"decode a plain body", "encode", "read its frames"}
