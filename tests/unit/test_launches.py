"""Parameters and launches: typed values with their origin, one literal rendering."""

from dataclasses import replace

import pytest

from manman.domain import parameters
from manman.domain.launches import Placed, render, spec_faults
from manman.domain.outcomes import Refused
from manman.v1.types import (
    ConfigFile,
    ConfigPort,
    GameConfigSpec,
    Launch,
    LaunchPort,
    Overrides,
    Parameter,
    ParameterRule,
    Readiness,
    RestartPolicy,
)

SLOTS = Parameter(name="SLOTS", type="int", default=8, rule=ParameterRule(min=1, max=64))
MOTD = Parameter(name="MOTD", default="hello")
SECRET = Parameter(name="RCON", type="secret", required=True)
SPEC = GameConfigSpec(
    runtime="process",
    command=["game", "--slots=${SLOTS}", "--port", "${port.game}"],
    env={"NAME": "${deployment.name}"},
    files=[ConfigFile(path="game.cfg", content="motd ${MOTD}\nrcon ${RCON}\n")],
    parameters=[SLOTS, MOTD, SECRET],
    ports=[ConfigPort(name="game", protocol="udp", default=8303)],
)
PLACED = Placed(
    deployment_id=3,
    name="dm-1",
    version=2,
    ports=[LaunchPort(name="game", protocol="udp", address="0.0.0.0", port=9000)],
    secrets={"RCON": "s3cret"},
)


def rendered(**changed: object) -> Launch:
    launch = render(SPEC, placed(**changed))
    assert isinstance(launch, Launch)
    return launch


def placed(**changed: object) -> Placed:
    return replace(PLACED, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "value", "typed"),
    [
        ("int", "12", 12),
        ("int", 12.0, 12),
        ("float", "1.5", 1.5),
        ("bool", "yes", True),
        ("bool", 0, False),
        ("string", 5, "5"),
        ("enum", "a", "a"),
    ],
)
def test_a_value_is_read_as_its_type_says(kind: str, value: object, typed: object) -> None:
    read = parameters.typed_value(Parameter(name="X", type=kind), value)
    assert (read, type(read)) == (typed, type(typed))


@pytest.mark.parametrize(
    ("kind", "value"),
    [("int", "1.5"), ("int", "x"), ("bool", "maybe"), ("float", "nan"), ("float", "inf"), ("string", [])],
)
def test_a_value_that_does_not_fit_is_refused_with_a_sentence(kind: str, value: object) -> None:
    assert parameters.fault_of(Parameter(name="X", type=kind), value)


@pytest.mark.parametrize(
    ("rule", "value", "fits"),
    [
        (ParameterRule(min=1, max=3), 3, True),
        (ParameterRule(min=1, max=3), 4, False),
        (ParameterRule(min=1, max=3), 0, False),
    ],
)
def test_numbers_keep_their_bounds(rule: ParameterRule, value: int, fits: bool) -> None:
    assert (parameters.fault_of(Parameter(name="X", type="int", rule=rule), value) is None) is fits


def test_texts_keep_choices_patterns_and_one_line() -> None:
    assert parameters.fault_of(Parameter(name="X", type="enum", rule=ParameterRule(choices=["a", "b"])), "c")
    assert parameters.fault_of(Parameter(name="X", rule=ParameterRule(pattern="[a-z]+")), "A")
    assert parameters.fault_of(Parameter(name="X", rule=ParameterRule(max=2)), "abc")
    assert parameters.fault_of(Parameter(name="X"), "two\nlines")


def test_every_effective_value_says_where_it_comes_from() -> None:
    found = parameters.effective([SLOTS, MOTD, SECRET], {"SLOTS": 16, "MOTD": "hi"}, {"MOTD": "hey"})
    assert [(v.name, v.value, v.origin, v.secret) for v in found] == [
        ("SLOTS", 16, "deployment", False),
        ("MOTD", "hey", "session", False),
        ("RCON", None, "config", True),
    ]


def test_unknown_and_missing_parameters_are_named_all_at_once() -> None:
    faults = parameters.faults([SLOTS, SECRET], {"SLOTS": 99, "SPEED": 1}, whole=True)
    assert [f.name for f in faults] == ["SPEED", "SLOTS", "RCON"]


def test_a_launch_is_filled_from_values_ports_and_names() -> None:
    launch = rendered(values={"SLOTS": 16})
    assert launch.argv == ["game", "--slots=16", "--port", "9000"]
    assert launch.env == {"NAME": "dm-1"}
    assert launch.files[0].content == "motd hello\nrcon s3cret\n"
    assert launch.secrets == ["s3cret"]
    assert (launch.version, launch.deployment_id) == (2, 3)


def test_what_was_put_in_is_not_read_again() -> None:
    assert rendered(values={"MOTD": "${RCON} $(id)"}).files[0].content.startswith("motd ${RCON} $(id)\n")


def test_the_digest_changes_with_what_is_run_and_with_nothing_else() -> None:
    assert rendered().digest == rendered(version=9).digest
    assert rendered().digest != rendered(values={"SLOTS": 9}).digest


def test_overrides_and_restart_of_the_deployment_win() -> None:
    over = Overrides(command=["other"], env={"MORE": "1"}, files=[ConfigFile(path="game.cfg", content="mine")])
    launch = rendered(overrides=over, restart=RestartPolicy(policy="never"))
    assert (launch.argv, launch.files[0].content) == (["other"], "mine")
    assert launch.env == {"NAME": "dm-1", "MORE": "1"}
    assert launch.restart is not None and (launch.restart.policy, launch.restart.delay) == ("never", "5s")


def test_a_missing_secret_refuses_the_launch() -> None:
    refused = render(SPEC, placed(secrets={}))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.detail) == ("config_invalid", "RCON needs a value")


def test_everything_wrong_with_a_config_is_said_at_once() -> None:
    bad = GameConfigSpec(
        runtime="docker",
        command=[],
        parameters=[Parameter(name="1X"), SLOTS, SLOTS],
        ports=[ConfigPort(name="Game", protocol="sctp", default=70000)],
        files=[ConfigFile(path="../etc/passwd")],
        readiness=Readiness(kind="line", pattern="("),
        restart=RestartPolicy(policy="sometimes", delay="soon"),
    )
    assert {f.pointer for f in spec_faults(bad)} == {
        "/runtime",
        "/command",
        "/parameters/0/name",
        "/parameters/2/name",
        "/ports/0/name",
        "/ports/0/protocol",
        "/ports/0/default",
        "/files/0/path",
        "/readiness/pattern",
        "/restart/policy",
        "/restart/delay",
    }
    assert spec_faults(SPEC) == []


def test_a_variable_that_does_not_exist_is_named() -> None:
    [fault] = spec_faults(GameConfigSpec(runtime="process", command=["${NOPE}"]))
    assert "${NOPE}" in fault.detail
