"""Whether values fit their parameters, and whether the caller may set them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manman.api.callers import Caller
from manman.api.refusals import Fault, InvalidRequest
from manman.api.sealing import MASK
from manman.domain import parameters
from manman.domain.ids import Chance
from manman.v1.types import GameConfigSpec


def must_fit(spec: GameConfigSpec, values: Mapping[str, Any]) -> None:
    """Raises `invalid_argument` with every value that does not fit.

    A mask stands for the secret that is set already.
    """
    wrong = [f for f in parameters.faults(spec.parameters, values, whole=True) if values.get(f.name) != MASK]
    if wrong:
        raise InvalidRequest([Fault(pointer=f"/parameters/{fault.name}", detail=fault.detail) for fault in wrong])


def with_console_password(spec: GameConfigSpec, values: Mapping[str, Any], chance: Chance) -> dict[str, Any]:
    """The values with a password for the game's console where nobody gave one: it is between the host and the game."""
    console = spec.console
    if console is None or not console.password or values.get(console.password):
        return dict(values)
    return {**values, console.password: chance(12).hex()}


def must_be_editable(spec: GameConfigSpec, changed: Mapping[str, Any], caller: Caller) -> None:
    """Raises `permission_denied` when a value that is not marked editable is set without `deployments.override`."""
    for parameter in spec.parameters:
        if parameter.name in changed and parameter.editable is False:
            caller.must("deployments.override", f"setting {parameter.name}, which is not editable,")
