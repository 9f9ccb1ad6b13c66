"""Launches: what a host runs, rendered from a config revision, a deployment's values and its ports.

`render` is the one function that Preview and the host's fetch call. Substitution is literal, in one pass, of named variables:
no shell, no template engine, no second round over what was put in.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from manman.domain import durations, parameters
from manman.domain.outcomes import Refused
from manman.v1.types import (
    ConfigFile,
    ConfigLink,
    ConsoleSpec,
    GameConfigSpec,
    Launch,
    LaunchPort,
    Overrides,
    Query,
    Readiness,
    RestartPolicy,
    StopSpec,
)

VARIABLE = re.compile(r"\$\{([^${}]*)\}")
LAUNCH_LIMIT = 1 << 20
SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
PROTOCOLS = ("tcp", "udp")
QUERIES = ("a2s", "teeworlds", "minetest", "bzflag", "openttd")
CONSOLES = ("terminal", "tcp", "none")
READY_TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class SpecFault:
    """One thing that is wrong with a config: where (a JSON pointer within the spec) and what it must be."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What a deployment adds to its config. `ports` as they are held, `secrets` the plain values of secret parameters."""

    deployment_id: int
    name: str
    version: int
    ports: Sequence[LaunchPort] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    session_values: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    overrides: Overrides | None = None
    restart: RestartPolicy | None = None
    start_on_boot: bool | None = None
    data: str = "."


def render(spec: GameConfigSpec, placed: Placed) -> Launch | Refused:
    """The launch of a deployment, its digest over everything that is run; `config_invalid` names what cannot be rendered."""
    given = {**placed.values, **placed.secrets}
    wrong = parameters.faults(spec.parameters, given, whole=True)
    if wrong:
        return Refused("config_invalid", "; ".join(f.detail for f in wrong))
    variables = _variables(spec, placed)
    unknown = sorted(
        {name for text in _texts(spec, placed.overrides) for name in VARIABLE.findall(text) if name not in variables}
    )
    if unknown:
        return Refused("config_invalid", f"${{{unknown[0]}}} is no variable; there is {', '.join(sorted(variables))}")
    launch = _filled(spec, placed, given, lambda text: VARIABLE.sub(lambda m: variables[m.group(1)], text))
    content = msgspec.json.encode(launch, order="sorted")
    if len(content) > LAUNCH_LIMIT:
        return Refused(
            "config_invalid", f"the launch is {len(content)} bytes; larger files than 1 MiB belong in a volume"
        )
    return msgspec.structs.replace(launch, digest=hashlib.sha256(content).hexdigest(), version=placed.version)


def _filled(spec: GameConfigSpec, placed: Placed, given: Mapping[str, Any], fill: Any) -> Launch:
    over = placed.overrides or Overrides()
    files = {f.path: f for f in spec.files} | {f.path: f for f in over.files}
    secret = [str(v) for v in placed.secrets.values() if len(str(v)) >= 4]
    return Launch(
        deployment_id=placed.deployment_id,
        name=placed.name,
        runtime=spec.runtime or "process",
        argv=[fill(part) for part in (over.command or spec.command)],
        env={name: fill(value) for name, value in (spec.env | over.env).items()},
        files=[ConfigFile(path=f.path, content=fill(f.content), mode=f.mode or "644") for f in files.values()],
        links=[ConfigLink(path=link.path, target=fill(link.target)) for link in spec.links],
        debian=list(spec.debian),
        ports=list(placed.ports),
        readiness=spec.readiness or Readiness(kind="none"),
        stop=_stop(spec.stop),
        restart=merged_restart(spec.restart, placed.restart),
        start_on_boot=_first(placed.start_on_boot, spec.start_on_boot, True),
        expected_exit_codes=list(spec.expected_exit_codes) or [0],
        query=spec.query,
        terminal=_first(spec.terminal, True),
        console=_console(spec, given),
        withhold_tail=spec.withhold_tail,
        secrets=secret,
    )


def _stop(stop: StopSpec | None) -> StopSpec:
    """Unset: SIGTERM and 30 s of grace."""
    if stop is None:
        return StopSpec(signal="SIGTERM", grace="30s")
    return StopSpec(
        command=stop.command, signal=stop.signal or ("" if stop.command else "SIGTERM"), grace=stop.grace or "30s"
    )


def _console(spec: GameConfigSpec, given: Mapping[str, Any]) -> ConsoleSpec | None:
    """The config's console; in place of the parameter's name its value, which the host needs."""
    if spec.console is None or not spec.console.password:
        return spec.console
    return msgspec.structs.replace(spec.console, password=str(given.get(spec.console.password) or ""))


def merged_restart(config: RestartPolicy | None, deployment: RestartPolicy | None) -> RestartPolicy:
    """The restart policy in force: the deployment's word before the config's, the defaults before none."""
    low, high = config or RestartPolicy(), deployment or RestartPolicy()
    return RestartPolicy(
        policy=high.policy or low.policy or "on_crash",
        delay=high.delay or low.delay or "5s",
        max_delay=high.max_delay or low.max_delay or "300s",
        limit=_first(high.limit, low.limit, 5),
        window=high.window or low.window or "600s",
    )


def _first(*values: Any) -> Any:
    return next((v for v in values if v is not None), None)


def _variables(spec: GameConfigSpec, placed: Placed) -> dict[str, str]:
    values = {**placed.values, **placed.secrets}
    known = {"deployment.name": placed.name, "deployment.id": str(placed.deployment_id), "data": placed.data}
    for port in placed.ports:
        known[f"port.{port.name}"] = str(port.port)
        known[f"address.{port.name}"] = port.address
    declared = {p.name: p for p in spec.parameters}
    for value in parameters.effective(spec.parameters, values, placed.session_values):
        plain = (
            ""
            if value.value is None
            else parameters.rendered(parameters.typed_value(declared[value.name], value.value))
        )
        known[value.name] = plain
    return known


def _texts(spec: GameConfigSpec, over: Overrides | None) -> list[str]:
    texts = [*spec.command, *spec.env.values(), *(f.content for f in spec.files), *(link.target for link in spec.links)]
    if over is not None:
        texts += [*over.command, *over.env.values(), *(f.content for f in over.files)]
    return texts


def spec_faults(spec: GameConfigSpec) -> list[SpecFault]:
    """Everything that is wrong with a config, all at once; what this version cannot run is wrong too."""
    found = [*_parameter_faults(spec), *_port_faults(spec), *_end_faults(spec), *_path_faults(spec)]
    if (spec.runtime or "process") != "process":
        found.append(SpecFault("/runtime", f"{spec.runtime!r} is not a runtime of this version; there is process"))
    if not spec.command or not spec.command[0]:
        found.append(SpecFault("/command", "it needs a program"))
    known = (
        set(_variables(spec, Placed(deployment_id=0, name="", version=0, ports=_sample_ports(spec))))
        if not found
        else None
    )
    if known is not None:
        unknown = {name for text in _texts(spec, None) for name in VARIABLE.findall(text)} - known
        found += [
            SpecFault("/", f"${{{name}}} is no variable; there is {', '.join(sorted(known))}")
            for name in sorted(unknown)
        ]
    return found


def _sample_ports(spec: GameConfigSpec) -> list[LaunchPort]:
    return [LaunchPort(name=p.name, protocol=p.protocol, address="0.0.0.0", port=p.default or 1) for p in spec.ports]


def _parameter_faults(spec: GameConfigSpec) -> list[SpecFault]:
    found, seen = [], set()
    for i, p in enumerate(spec.parameters):
        at = f"/parameters/{i}"
        if not parameters.NAME.fullmatch(p.name):
            found.append(
                SpecFault(f"{at}/name", f"{p.name!r} must be letters, digits and _, at most 64, no digit first")
            )
        if p.name in seen:
            found.append(SpecFault(f"{at}/name", f"{p.name} stands twice"))
        seen.add(p.name)
        if p.rule is not None and p.rule.pattern and not _compiles(p.rule.pattern):
            found.append(SpecFault(f"{at}/rule/pattern", f"{p.rule.pattern!r} is no regular expression"))
        elif p.default is not None and (wrong := parameters.fault_of(p, p.default)) is not None:
            found.append(SpecFault(f"{at}/default", wrong))
    return found


def _port_faults(spec: GameConfigSpec) -> list[SpecFault]:
    found, seen = [], set()
    for i, p in enumerate(spec.ports):
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", p.name) or p.name in seen:
            found.append(SpecFault(f"/ports/{i}/name", f"{p.name!r} must be a lower-case word that stands once"))
        seen.add(p.name)
        if p.protocol not in PROTOCOLS:
            found.append(SpecFault(f"/ports/{i}/protocol", f"{p.protocol!r} must be tcp or udp"))
        if p.default is not None and not 1 <= p.default <= 65535:
            found.append(SpecFault(f"/ports/{i}/default", f"{p.default} must be 1 to 65535"))
    return found


def _end_faults(spec: GameConfigSpec) -> list[SpecFault]:
    """Readiness, stop, restart, query: how a run begins and ends."""
    found = []
    names = {p.name for p in spec.ports}
    ready = spec.readiness or Readiness(kind="none")
    if ready.kind not in ("line", "port", "query", "none"):
        found.append(SpecFault("/readiness/kind", f"{ready.kind!r} must be line, port, query or none"))
    if ready.kind == "line" and (not ready.pattern or not _compiles(ready.pattern)):
        found.append(SpecFault("/readiness/pattern", f"{ready.pattern!r} is no regular expression"))
    if ready.kind == "port" and ready.port not in names:
        found.append(SpecFault("/readiness/port", f"{ready.port!r} is no port of this config"))
    if ready.kind == "query" and spec.query is None:
        found.append(SpecFault("/query", "readiness by query needs one"))
    found += _query_faults(spec.query, names)
    found += _console_faults(spec, names)
    if spec.stop is not None and spec.stop.signal and spec.stop.signal not in SIGNALS:
        found.append(SpecFault("/stop/signal", f"{spec.stop.signal!r} must be one of {', '.join(SIGNALS)}"))
    if spec.restart is not None and spec.restart.policy not in ("", "on_crash", "always", "never"):
        found.append(SpecFault("/restart/policy", f"{spec.restart.policy!r} must be on_crash, always or never"))
    return found + _duration_faults(spec, ready)


def _query_faults(query: Query | None, names: set[str]) -> list[SpecFault]:
    if query is None:
        return []
    found = []
    if query.protocol not in QUERIES:
        found.append(SpecFault("/query/protocol", f"{query.protocol!r} must be one of {', '.join(QUERIES)}"))
    if query.port not in names:
        found.append(SpecFault("/query/port", f"{query.port!r} is no port of this config"))
    return found


def _console_faults(spec: GameConfigSpec, names: set[str]) -> list[SpecFault]:
    console = spec.console
    if console is None:
        return []
    found = []
    if console.kind not in CONSOLES:
        found.append(SpecFault("/console/kind", f"{console.kind!r} must be one of {', '.join(CONSOLES)}"))
    if console.kind == "tcp" and console.port not in names:
        found.append(SpecFault("/console/port", f"{console.port!r} is no port of this config"))
    if console.kind == "tcp" and console.password not in {p.name for p in spec.parameters if p.type == "secret"}:
        found.append(SpecFault("/console/password", f"{console.password!r} is no secret parameter of this config"))
    return found


def _duration_faults(spec: GameConfigSpec, ready: Readiness) -> list[SpecFault]:
    restart = spec.restart or RestartPolicy()
    spans = {
        "/readiness/timeout": ready.timeout,
        "/stop/grace": spec.stop.grace if spec.stop else None,
        "/restart/delay": restart.delay,
        "/restart/max_delay": restart.max_delay,
        "/restart/window": restart.window,
    }
    found = []
    for pointer, text in spans.items():
        try:
            durations.parse(text, timedelta(0))
        except ValueError as error:
            found.append(SpecFault(pointer, str(error)))
    return found


def _path_faults(spec: GameConfigSpec) -> list[SpecFault]:
    """Files and links lie below the deployment's data folder: no `..`, no absolute path, none twice."""
    found, seen = [], set()
    paths = [(f"/files/{i}/path", f.path) for i, f in enumerate(spec.files)] + [
        (f"/links/{i}/path", x.path) for i, x in enumerate(spec.links)
    ]
    for pointer, path in paths:
        parts = path.split("/")
        if not path or path.startswith("/") or "\x00" in path or any(part in ("", ".", "..") for part in parts):
            found.append(SpecFault(pointer, f"{path!r} must be a path below the data folder, without .."))
        if path in seen:
            found.append(SpecFault(pointer, f"{path} stands twice"))
        seen.add(path)
    return found


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
