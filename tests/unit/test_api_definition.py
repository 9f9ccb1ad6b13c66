"""The definition and what hangs on it: routes, codes, masks, weaving, rates; generated code is what the generator writes."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from manman.api import catalogue, configs, definition, masks, openapi
from manman.api.doors.routes import Found, Routes
from manman.api.rates import Rates
from manman.api.refusals import CODES, InvalidRequest, problem_of
from manman.api.weaving import Weave
from manman.domain import endpoints
from manman.errors import RefusedError, TimedOut, Unavailable
from manman.events.contracts import LogLine
from manman.v1 import calls, games_pb2

ROOT = Path(__file__).resolve().parents[2]


def test_generated_code_is_what_the_generator_writes() -> None:
    done = subprocess.run([sys.executable, "tools/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_definition_is_lint_clean() -> None:
    buf = Path(sys.executable).parent / "buf"
    done = subprocess.run([buf, "lint", "proto"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_route_is_found_by_its_own_method_only() -> None:
    routes = Routes()
    for method in definition.methods().values():
        path = method.path.format(**dict.fromkeys(method.variables, "1"))
        found = routes.find(method.verb.upper(), path)
        assert isinstance(found, Found) and found.method is method
    assert routes.find("POST", "/v1/sessions/1:nonsense") == frozenset()
    assert routes.find("POST", "/v1/sessions/1/stop") == frozenset()


def test_every_method_has_a_comment_and_a_call_of_the_client() -> None:
    spec = importlib.util.spec_from_file_location("generate_client", ROOT / "tools" / "generate_client.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = generator
    spec.loader.exec_module(generator)
    for method in definition.methods().values():
        assert method.comment.endswith("."), method.name
        assert hasattr(calls.Calls, generator.snake(method.rpc)), method.name


def test_the_description_refers_to_nothing_that_is_not_there() -> None:
    described = openapi.described()
    schemas = described["components"]["schemas"]

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [r for v in value.values() for r in references(v)]
        return [r for v in value for r in references(v)] if isinstance(value, list) else []

    assert {r.rpartition("/")[2] for r in references(described)} <= schemas.keys()


@pytest.mark.parametrize(
    ("error", "code", "http"),
    [
        (RefusedError("session_live", "x", session_id=7), "session_live", 409),
        (Unavailable("x"), "unavailable", 503),
        (TimedOut("x"), "timeout", 504),
        (TimeoutError(), "timeout", 504),
        (ValueError("secret"), "internal", 500),
        (InvalidRequest([]), "invalid_argument", 400),
    ],
)
def test_errors_are_told_by_one_table(error: Exception, code: str, http: int) -> None:
    problem = problem_of(error)
    assert (problem.code, problem.row.http) == (code, http)
    assert "secret" not in problem.detail


def test_every_code_names_a_status_that_grpc_has() -> None:
    import grpc

    assert {row.grpc for row in CODES.values()} <= {status.name for status in grpc.StatusCode}


def test_a_mask_changes_what_it_names_and_nothing_else() -> None:
    present = games_pb2.Game(name="a", title="A", labels={"x": "1", "y": "2"})
    patch = games_pb2.Game(title="B", labels={"z": "3"})
    made = masks.patched(present, patch, ["title", "labels.x", "labels.z"])
    assert (made.name, made.title, dict(made.labels)) == ("a", "B", {"y": "2", "z": "3"})
    assert masks.patched(present, patch, []).labels == {"z": "3"}
    with pytest.raises(InvalidRequest, match="colour"):
        masks.patched(present, patch, ["colour"])
    spec = games_pb2.GameConfig(spec={"command": ["a"], "runtime": "process"})
    nested = masks.patched(spec, games_pb2.GameConfig(spec={"command": ["b"]}), ["spec.command"])
    assert (list(nested.spec.command), nested.spec.runtime) == (["b"], "process")


def lines(*numbers: int) -> list[LogLine]:
    return [LogLine(n=n, text="") for n in numbers]


def shown(weave: Weave, *numbers: int) -> list[int]:
    return [line.n for line in weave.take(lines(*numbers))]


def test_a_weave_gives_each_number_once_and_in_order() -> None:
    weave = Weave(1)
    assert weave.ask == 1
    weave.asked()
    assert weave.ask is None
    assert shown(weave, 5, 6) == [] and shown(weave, 1, 2) == [1, 2]
    assert shown(weave, 2, 3, 4, 4, 5) == [3, 4, 5, 6] and not weave.gap
    assert shown(weave, 9) == [] and [line.n for line in weave.give_up()] == [9]


def test_a_weave_asks_for_the_next_chunk_when_one_came_whole() -> None:
    weave = Weave(1)
    weave.asked()
    assert shown(weave, *range(1, 1001)) == list(range(1, 1001))
    assert weave.ask == 1001
    weave.asked()
    weave.settle()
    assert weave.ask is None and shown(weave, 1001) == [1001] and weave.ask is None
    assert shown(weave, 1005) == [] and weave.ask == 1002


def test_a_weave_without_a_first_line_begins_with_what_comes() -> None:
    weave = Weave(0)
    assert weave.ask is None and shown(weave, 41, 42) == [41, 42]


def test_a_bucket_fills_with_time() -> None:
    clock = [0.0]
    rates = Rates(2, 3, lambda: clock[0])
    for _ in range(3):
        rates.take("a")
    with pytest.raises(RefusedError):
        rates.take("a")
    rates.take("b")
    clock[0] = 0.5
    rates.take("a")


def test_every_entry_of_the_catalogue_can_be_run() -> None:
    assert "demo" in catalogue.entries()
    for entry in catalogue.entries().values():
        assert configs.checked(entry.spec)["command"] and entry.title and entry.description


def test_players_get_the_address_that_is_bound_or_the_hosts_best() -> None:
    assert endpoints.join_address("0.0.0.0", ["192.0.2.1"]) == "192.0.2.1"
    assert endpoints.join_address("192.0.2.9", ["192.0.2.1"]) == "192.0.2.9"
    assert endpoints.join_url("x://${address}:${port}/${nope}", "g", "::1", 5) == "x://[::1]:5/${nope}"


def test_the_reference_of_the_api_is_the_definition() -> None:
    spec = importlib.util.spec_from_file_location("reference_api", ROOT / "tools" / "reference_api.py")
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(), "run: python tools/reference_api.py"
