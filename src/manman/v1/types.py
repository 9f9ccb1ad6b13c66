"""Generated from `proto/manman/v1` by `tools/generate.py`; never edited by hand.

The nouns as JSON says them. Times are aware `datetime`, a `Duration` is text like "90s", enums are their lower-case words.
"""

from datetime import datetime
from typing import Any, TypeAlias

import msgspec

Duration: TypeAlias = str


class Noun(msgspec.Struct, frozen=True, kw_only=True):
    """What every noun is: frozen; unknown keys are borne."""


class Endpoint(Noun, frozen=True, kw_only=True):
    """Where players join."""

    # The port's name in the config, "game".
    name: str = ""
    # "tcp" or "udp".
    protocol: str = ""
    # The address that players use: the host's public or LAN address.
    address: str = ""
    port: int = 0
    # Opens the game in a client, where the config knows how; else empty.
    join_url: str = ""


class Transition(Noun, frozen=True, kw_only=True):
    """One accepted transition. Numbers are gap-free within their noun."""

    number: int = 0
    # The word before; empty for the first.
    from_: str = msgspec.field(name="from", default="")
    # The word after.
    to: str = ""
    # When it happened, by the host's clock.
    at: datetime | None = None
    # When the database learned of it.
    recorded_at: datetime | None = None
    # What made it happen: "user anna", "restart_policy", "report", "start_deadline".
    cause: str = ""
    trace_id: str = ""


class DeadLetter(Noun, frozen=True, kw_only=True):
    """DeadLetter."""

    dead_letter_id: int = 0
    # The routing key.
    key: str = ""
    headers: dict[str, str] = {}
    # The body as text; bytes that are no UTF-8 are replaced.
    body: str = ""
    reason: str = ""
    host_id: int | None = None
    sequence: int | None = None
    at: datetime | None = None
    # Set once it was replayed and applied.
    replayed_at: datetime | None = None
    # Whether nobody has dealt with it yet.
    open: bool = False
    detail: str = ""


class ListDeadLettersResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListDeadLetters."""

    dead_letters: list[DeadLetter] = []
    next_page_token: str = ""
    total: int = 0


class DropDeadLetterResponse(Noun, frozen=True, kw_only=True):
    """The reply of DropDeadLetter."""


class Game(Noun, frozen=True, kw_only=True):
    """A title."""

    game_id: int = 0
    name: str = ""
    # What people call it.
    title: str = ""
    description: str = ""
    labels: dict[str, str] = {}
    configs: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    etag: str = ""


class ConfigFile(Noun, frozen=True, kw_only=True):
    """ConfigFile."""

    path: str = ""
    content: str = ""
    # Octal mode as text, "600"; empty is "644".
    mode: str = ""


class ConfigLink(Noun, frozen=True, kw_only=True):
    """ConfigLink."""

    path: str = ""
    target: str = ""


class ParameterRule(Noun, frozen=True, kw_only=True):
    """What a value must satisfy."""

    min: float | None = None
    max: float | None = None
    choices: list[str] = []
    pattern: str = ""


class Parameter(Noun, frozen=True, kw_only=True):
    """A typed variable of a config."""

    name: str = ""
    type: str | None = None
    default: Any = None
    rule: ParameterRule | None = None
    # Whether people without `deployments.override` see it; true unless set.
    viewable: bool | None = None
    # Whether people with `deployments.edit` may set it; true unless set.
    editable: bool | None = None
    required: bool = False
    description: str = ""


class ConfigPort(Noun, frozen=True, kw_only=True):
    """ConfigPort."""

    name: str = ""
    # "tcp" or "udp".
    protocol: str = ""
    # The number that is tried first.
    default: int | None = None


class Readiness(Noun, frozen=True, kw_only=True):
    """How one knows that players can join."""

    # "line", "port", "query" or "none".
    kind: str = ""
    # A regular expression that a console line must contain.
    pattern: str = ""
    # The name of a port.
    port: str = ""
    timeout: Duration | None = None
    # "crash" or "assume_ready".
    on_timeout: str = ""


class StopSpec(Noun, frozen=True, kw_only=True):
    """Command and signal are tried in this order; what is left after the grace is killed."""

    command: str = ""
    # "SIGTERM", "SIGINT".
    signal: str = ""
    grace: Duration | None = None


class RestartPolicy(Noun, frozen=True, kw_only=True):
    """RestartPolicy."""

    # "on_crash", "always" or "never".
    policy: str = ""
    delay: Duration | None = None
    max_delay: Duration | None = None
    # That many within `window`, then the host gives up.
    limit: int | None = None
    window: Duration | None = None


class Query(Noun, frozen=True, kw_only=True):
    """The game's own protocol that tells players and readiness."""

    # "a2s", "teeworlds", "minetest", "bzflag".
    protocol: str = ""
    # The name of a port.
    port: str = ""


class ConsoleSpec(Noun, frozen=True, kw_only=True):
    """ConsoleSpec."""

    # "terminal", "tcp" or "none".
    kind: str = ""
    # The name of a port, for "tcp".
    port: str = ""
    # The name of a secret parameter, for "tcp"; in a launch its value.
    password: str = ""


class Action(Noun, frozen=True, kw_only=True):
    """A console command with a name."""

    name: str = ""
    label: str = ""
    command: str = ""


class GameConfigSpec(Noun, frozen=True, kw_only=True):
    """How a game is run. `${NAME}` is replaced, literally and once, by a parameter, `${port.game}` by a port's number, `${address.game}` by its address, `${deployment.name}` and `${data}` by the deployment's name and data folder."""

    # "process": a program on the host.
    runtime: str = ""
    # Program and arguments; no shell.
    command: list[str] = []
    env: dict[str, str] = {}
    # Written before each start, below the data folder.
    files: list[ConfigFile] = []
    links: list[ConfigLink] = []
    # Debian packages that the host gets and unpacks, without root.
    debian: list[str] = []
    parameters: list[Parameter] = []
    ports: list[ConfigPort] = []
    readiness: Readiness | None = None
    stop: StopSpec | None = None
    restart: RestartPolicy | None = None
    # Codes that mean a good end; 0 unless set.
    expected_exit_codes: list[int] = []
    # Begin again after the machine was restarted; true unless set.
    start_on_boot: bool | None = None
    query: Query | None = None
    console: ConsoleSpec | None = None
    actions: list[Action] = []
    # Whether the game gets a pseudo-terminal; true unless set.
    terminal: bool | None = None
    # The last lines of a crash stay out of public events.
    withhold_tail: bool = False
    # "teeworlds://${address}:${port}"
    join_url: str = ""


class GameConfig(Noun, frozen=True, kw_only=True):
    """One way to run a game."""

    config_id: int = 0
    game_id: int = 0
    # The game's name.
    game: str = ""
    name: str = ""
    # Rises by one with each change of the spec.
    revision: int = 0
    spec: GameConfigSpec | None = None
    description: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    etag: str = ""


class ConfigRevision(Noun, frozen=True, kw_only=True):
    """One revision of a config; it never changes."""

    config_id: int = 0
    revision: int = 0
    spec: GameConfigSpec | None = None
    created_at: datetime | None = None
    created_by: str = ""


class LaunchPort(Noun, frozen=True, kw_only=True):
    """LaunchPort."""

    name: str = ""
    protocol: str = ""
    address: str = ""
    port: int = 0


class Launch(Noun, frozen=True, kw_only=True):
    """What a host runs, rendered."""

    deployment_id: int = 0
    # The deployment's version that this was rendered from.
    version: int = 0
    # SHA-256 of the content, hexadecimal.
    digest: str = ""
    runtime: str = ""
    argv: list[str] = []
    env: dict[str, str] = {}
    # Below the deployment's data folder.
    cwd: str = ""
    files: list[ConfigFile] = []
    links: list[ConfigLink] = []
    debian: list[str] = []
    ports: list[LaunchPort] = []
    readiness: Readiness | None = None
    stop: StopSpec | None = None
    restart: RestartPolicy | None = None
    start_on_boot: bool = False
    expected_exit_codes: list[int] = []
    query: Query | None = None
    terminal: bool = False
    console: ConsoleSpec | None = None
    withhold_tail: bool = False
    # Values that must be masked in tails: only for the host.
    secrets: list[str] = []
    # The deployment's name.
    name: str = ""


class EffectiveValue(Noun, frozen=True, kw_only=True):
    """A value and where it comes from."""

    name: str = ""
    value: Any = None
    # "config", "deployment" or "session".
    origin: str = ""
    secret: bool = False


class Preview(Noun, frozen=True, kw_only=True):
    """Preview."""

    launch: Launch | None = None
    parameters: list[EffectiveValue] = []


class CatalogueEntry(Noun, frozen=True, kw_only=True):
    """An entry of the catalogue inside the package."""

    entry: str = ""
    game: str = ""
    title: str = ""
    description: str = ""
    config: str = ""
    spec: GameConfigSpec | None = None


class ListCatalogueResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListCatalogue."""

    entries: list[CatalogueEntry] = []


class ListGamesResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListGames."""

    games: list[Game] = []
    next_page_token: str = ""
    total: int = 0
    watch_from: str = ""


class DeleteGameResponse(Noun, frozen=True, kw_only=True):
    """The reply of DeleteGame."""


class ListGameConfigsResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListGameConfigs."""

    configs: list[GameConfig] = []
    next_page_token: str = ""
    total: int = 0
    watch_from: str = ""


class DeleteGameConfigResponse(Noun, frozen=True, kw_only=True):
    """The reply of DeleteGameConfig."""


class ListConfigRevisionsResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListConfigRevisions."""

    revisions: list[ConfigRevision] = []
    next_page_token: str = ""


class Overrides(Noun, frozen=True, kw_only=True):
    """What a deployment changes of its config; the later wins."""

    # Instead of the config's command; empty keeps it.
    command: list[str] = []
    env: dict[str, str] = {}
    # By path; replaces the config's file of that path.
    files: list[ConfigFile] = []


class SessionSummary(Noun, frozen=True, kw_only=True):
    """The latest session of a deployment in short."""

    session_id: int = 0
    # The words of SessionStatus.
    status: str = ""
    reason: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    unreachable_since: datetime | None = None
    players: int | None = None
    progress: float | None = None


class Deployment(Noun, frozen=True, kw_only=True):
    """A config placed on a host."""

    deployment_id: int = 0
    name: str = ""
    status: str | None = None
    # How far the install is, 0 to 1.
    progress: float | None = None
    # One line about the status.
    detail: str = ""
    # What people want.
    desired: str | None = None
    desired_version: int = 0
    fresh_version: int = 0
    # The wish that its host said it holds.
    seen_version: int = 0
    host_id: int = 0
    # The host's name.
    host: str = ""
    config_id: int = 0
    config_revision: int = 0
    config: str = ""
    game_id: int = 0
    game: str = ""
    endpoints: list[Endpoint] = []
    labels: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    overrides: Overrides | None = None
    # Instead of the config's.
    restart: RestartPolicy | None = None
    start_on_boot: bool | None = None
    suspended: bool = False
    # Why its host begins nothing by itself any more: "limit", "ended", "never", "not_on_boot", "start_timeout"; empty while it does.
    gave_up: str = ""
    # The latest session, live or over.
    session_id: int | None = None
    session: SessionSummary | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    # Rises with each change of what is run.
    version: int = 0
    etag: str = ""


class PortWish(Noun, frozen=True, kw_only=True):
    """A port by name, at a number and address or wherever there is room."""

    name: str = ""
    # 0: the config's default if it is free, else the next free one of the host's range.
    port: int = 0
    # The local address to bind; empty is all.
    address: str = ""


class DeployGameConfigRequest(Noun, frozen=True, kw_only=True):
    """DeployGameConfigRequest."""

    # Unique in the installation.
    name: str = ""
    host_id: int = 0
    config_id: int = 0
    # The newest unless set.
    config_revision: int = 0
    ports: list[PortWish] = []
    parameters: dict[str, Any] = {}
    overrides: Overrides | None = None
    labels: dict[str, str] = {}
    restart: RestartPolicy | None = None
    start_on_boot: bool | None = None


class Fault(Noun, frozen=True, kw_only=True):
    """One thing that is wrong with a request."""

    # Which field, as a JSON pointer.
    pointer: str = ""
    code: str = ""
    detail: str = ""


class ValidateDeploymentResponse(Noun, frozen=True, kw_only=True):
    """The reply of ValidateDeployment."""

    # Whether DeployGameConfig would do it now.
    valid: bool = False
    faults: list[Fault] = []
    # The ports that it would hold.
    endpoints: list[Endpoint] = []
    # What would run, secrets masked.
    launch: Launch | None = None


class ListDeploymentsResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListDeployments."""

    deployments: list[Deployment] = []
    next_page_token: str = ""
    total: int = 0
    watch_from: str = ""


class ListDeploymentHistoryResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListDeploymentHistory."""

    transitions: list[Transition] = []
    next_page_token: str = ""


class Event(Noun, frozen=True, kw_only=True):
    """Event."""

    # `<epoch>-<position>`: where a reader goes on.
    cursor: str = ""
    # A UUIDv7; the same event has the same id everywhere.
    id: str = ""
    # "manman.session.running"
    type: str = ""
    at: datetime | None = None
    host_id: int | None = None
    session_id: int | None = None
    deployment_id: int | None = None
    # Whether it goes to other domains too.
    public: bool = False
    body: dict[str, Any] = {}


class ListEventsResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListEvents."""

    events: list[Event] = []
    next_page_token: str = ""
    watch_from: str = ""


class Reset(Noun, frozen=True, kw_only=True):
    """Reset."""

    cursor: str = ""
    reason: str = ""


class Bye(Noun, frozen=True, kw_only=True):
    """Bye."""

    # "shutting_down", "unauthenticated", "permission_denied", "too_slow".
    reason: str = ""


class Hello(Noun, frozen=True, kw_only=True):
    """Hello."""

    cursor: str = ""


class WatchEventsResponse(Noun, frozen=True, kw_only=True):
    """The reply of WatchEvents."""

    event: Event | None = None
    # The cursor is too old or of another epoch: list again, then go on from `reset.cursor`.
    reset: Reset | None = None
    # The stream ends.
    bye: Bye | None = None
    # Where the stream begins; the first thing said.
    hello: Hello | None = None


class PortRange(Noun, frozen=True, kw_only=True):
    """A range of port numbers, both ends included."""

    first: int = 0
    last: int = 0


class Host(Noun, frozen=True, kw_only=True):
    """A machine that plays games."""

    host_id: int = 0
    name: str = ""
    status: str | None = None
    # It takes no new session.
    draining: bool = False
    labels: dict[str, str] = {}
    # Addresses that players use, the best first.
    addresses: list[str] = []
    # Where ports are taken from when a deployment names none.
    port_range: PortRange | None = None
    agent_version: str = ""
    # "none": games run as the agent's own user, which protects nothing from them; "user": under numbers of their own.
    isolation: str = ""
    # The last heartbeat, by the database's clock.
    last_seen: datetime | None = None
    # Since when nobody knows how its sessions are; unset while it is heard.
    unreachable_since: datetime | None = None
    # Live sessions by the rows of the database.
    live_sessions: int = 0
    deployments: int = 0
    # Share of all processors in use, 0 to 1, as of `last_seen`.
    cpu: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    disk_used_bytes: int | None = None
    disk_total_bytes: int | None = None
    created_at: datetime | None = None
    etag: str = ""


class ListHostsResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListHosts."""

    hosts: list[Host] = []
    next_page_token: str = ""
    # Exact up to 10,000.
    total: int = 0
    # Where a Watch must begin to miss nothing after this list.
    watch_from: str = ""


class RegisterHostResponse(Noun, frozen=True, kw_only=True):
    """The reply of RegisterHost."""

    host_id: int = 0
    name: str = ""
    # Where the agent's broker is, without credentials; empty where the bus is the database's.
    rabbitmq_url: str = ""
    vhost: str = ""
    # The broker user of this host.
    broker_user: str = ""


class DeleteHostResponse(Noun, frozen=True, kw_only=True):
    """The reply of DeleteHost."""


class Port(Noun, frozen=True, kw_only=True):
    """Port."""

    host_id: int = 0
    # The local address that is bound; 0.0.0.0 is all.
    address: str = ""
    port: int = 0
    protocol: str = ""
    deployment_id: int = 0
    deployment: str = ""
    name: str = ""


class ListPortsResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListPorts."""

    ports: list[Port] = []


class ListHostHistoryResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListHostHistory."""

    transitions: list[Transition] = []
    next_page_token: str = ""


class JoinToken(Noun, frozen=True, kw_only=True):
    """JoinToken."""

    join_token_id: int = 0
    # The ticket itself; only in the reply that made it.
    token: str = ""
    uses: int = 0
    used: int = 0
    expires_at: datetime | None = None
    created_at: datetime | None = None
    created_by: str = ""
    # Only this host may join with it.
    host_id: int | None = None
    revoked: bool = False
    # `sha256:…` of the private authority that this API presents, for the join line; only in the reply that made it.
    pin: str = ""


class ListJoinTokensResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListJoinTokens."""

    join_tokens: list[JoinToken] = []
    next_page_token: str = ""


class RevokeJoinTokenResponse(Noun, frozen=True, kw_only=True):
    """The reply of RevokeJoinToken."""


class WhoAmIResponse(Noun, frozen=True, kw_only=True):
    """The reply of WhoAmI."""

    # "user", "service" or "host"; "local" when login is off.
    kind: str = ""
    name: str = ""
    user_id: int | None = None
    # Set for a host's key.
    host_id: int | None = None
    role: str = ""
    permissions: list[str] = []
    # "login", "api_key", "host_key" or "none".
    credential: str = ""
    expires_at: datetime | None = None


class LoginResponse(Noun, frozen=True, kw_only=True):
    """The reply of Login."""

    # Send it as `Authorization: Bearer`.
    token: str = ""
    expires_at: datetime | None = None
    name: str = ""
    role: str = ""


class LogoutResponse(Noun, frozen=True, kw_only=True):
    """The reply of Logout."""


class LogLine(Noun, frozen=True, kw_only=True):
    """LogLine."""

    n: int = 0
    at: datetime | None = None
    # "out", "err" or "in"; a terminal has one only.
    stream: str = ""
    text: str = ""


class LogBatch(Noun, frozen=True, kw_only=True):
    """LogBatch."""

    session_id: int = 0
    lines: list[LogLine] = []
    # The number of the last line: where a stream resumes.
    last: int = 0
    # Empty, or why the stream ends ("session_over", "until_now", "shutting_down", "permission_denied").
    bye: str = ""


class RestartPlan(Noun, frozen=True, kw_only=True):
    """The next session that a host has planned after a crash."""

    attempt: int = 0
    of: int | None = None
    at: datetime | None = None


class Session(Noun, frozen=True, kw_only=True):
    """One run of a deployment."""

    session_id: int = 0
    status: str | None = None
    host_id: int = 0
    deployment_id: int = 0
    endpoints: list[Endpoint] = []
    # What this run is told.
    desired: str | None = None
    # The deployment's name.
    deployment: str = ""
    # The host's name.
    host: str = ""
    # The game's name.
    game: str = ""
    # The config's name.
    config: str = ""
    config_revision: int = 0
    # Numbers the sessions of a deployment.
    run: int = 0
    # Whether it is not over.
    live: bool = False
    previous_session_id: int | None = None
    created_at: datetime | None = None
    starting_at: datetime | None = None
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    ended_at: datetime | None = None
    # Since when nobody knows how it is, because its host is silent; unset while the host is heard.
    unreachable_since: datetime | None = None
    # Why it ended: "exited", "signalled", "killed", "start_timeout"; empty before.
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    # One line for a person.
    detail: str = ""
    # How far a start is, 0 to 1.
    progress: float | None = None
    players: int | None = None
    # The last lines before a crash; in GetSession only.
    tail: list[str] = []
    # What follows a crash, as its host said it.
    restart: RestartPlan | None = None
    # What it was begun by: "user anna", "restart_policy", "host_boot".
    cause: str = ""
    # The wish that its host had heard when it began.
    begun_version: int = 0
    labels: dict[str, str] = {}


class SendInputResponse(Noun, frozen=True, kw_only=True):
    """The reply of SendInput."""

    # With which the host's answer can be found.
    command_id: str = ""


class ListSessionsResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListSessions."""

    sessions: list[Session] = []
    next_page_token: str = ""
    total: int = 0
    watch_from: str = ""


class ListSessionHistoryResponse(Noun, frozen=True, kw_only=True):
    """The reply of ListSessionHistory."""

    transitions: list[Transition] = []
    next_page_token: str = ""


class Installation(Noun, frozen=True, kw_only=True):
    """Installation."""

    installation_id: str = ""
    version: str = ""
    epoch: int = 0
    # What this version can do: a page or command appears with its feature.
    features: list[str] = []
    # "login" or "none".
    auth_mode: str = ""
    # The database's clock.
    time: datetime | None = None
    # Since when the control plane hears no heartbeats at all; unset while it hears.
    deaf_since: datetime | None = None
    # Live and recent sessions by status.
    sessions: dict[str, int] = {}
    hosts: dict[str, int] = {}
    deployments: dict[str, int] = {}
    open_dead_letters: int = 0
    players: int = 0
    watch_from: str = ""
