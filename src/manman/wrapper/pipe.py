"""What the host's agent and the wrapper say to each other: the launch file, and the messages on the session's socket.

**The session folder** (mode 0700, the agent's own; the game never enters it) holds

    launch.json   written by the agent before the wrapper starts (mode 0600: its environment may hold secrets)
    lock          held with flock as long as the wrapper lives; `launch.is_alive(folder)` asks
    s             the wrapper's socket; `connect(folder)`, or `socket_path(fd)` for asyncio
    spool/        console, states, samples and the exit (see `spool`); read with `spool_reader`
    wrapper.log   the wrapper's own complaints; normally empty

**launch.json** is one JSON object. Times are seconds (numbers); what is missing takes the default in brackets.

    version              1
    session              the session's id, text
    argv                 [program, argument, …]; looked up in env PATH when it has no slash
    cwd                  absolute path
    env                  {name: text}, the game's whole environment: nothing is inherited
    uid, gid             numbers the game drops to [null: stays as the wrapper]; supplementary groups are emptied
    terminal             true: a pseudo-terminal, stdout and stderr are one; false: pipes [true]
    readiness            {kind: line|port|query|none [none], pattern (line: a regular expression, searched),
                         port, protocol: tcp|udp [tcp] (port), timeout [600], on_timeout: crash|assume_ready [crash]}
                         query: the agent asks the game and sends `ready`
    stop                 {command: console line [null], signal: name such as SIGINT [SIGTERM if no command], grace [30]}
                         both: the line first, the signal when half of the grace is over; SIGKILL after the grace
    rlimits              {nofile|core|nproc|fsize|as|…: number, or [soft, hard]} [{}]
    expected_exit_codes  [0] an end of its own with one of these is `stopped`
    memory_bytes         limit of the game's cgroup, where one can be made [null]

**Messages** are JSON objects, one a line (UTF-8, at most 128 KiB). The wrapper speaks first:

    {t: hello, versions: [lowest, highest], session, wrapper: pid, boot, status: {…}}

The agent's commands carry `do` and, for all, an optional `id` (text), which the reply repeats:

    {do: input, id, line}           repeated ids (the last 256) are answered with duplicate: true and not typed again
    {do: stop, grace?, why?}        why: command [default] | unhealthy; repeated: a shorter grace is taken over
    {do: kill}                      SIGKILL at once; reason `killed`
    {do: ready}                     the agent's query was answered (readiness kind query)
    {do: status}
    {do: exit_ack}                  the exit is in the agent's journal: a wrapper that could not write it may go

    {t: reply, id, ok: true, duplicate?, status?}
    {t: reply, id, ok: false, code: input_full|invalid_argument|not_running, detail}

and what the wrapper says unasked, in order, each also in the spool under the same name:

    {t: state, state: starting|running|stopping|ended, at, …}   `ended`: the program is gone, what it left behind not yet
    {t: exit, at, …}                                             the last word; the wrapper goes after it

**State payloads**: `starting` {game: pid}, `running` {assumed: bool}, `stopping` {why, grace}, `ended` as exit.
**Exit payload**: outcome (stopped|crashed), reason (a word of the session's reasons), exit_code (null: never started),
signal (null or number), detail (one line or null), asked_by (null|command|signal|folder|unhealthy), ready (it had been).
`asked_by: signal` is a SIGTERM to the wrapper: the machine or its engine goes down. `at` is microseconds since 1970.
"""

import json
import os
import socket
import stat
from typing import Any, NamedTuple

VERSIONS = (1, 1)
SOCKET = "s"
LOCK = "lock"
LAUNCH = "launch.json"
SPOOL = "spool"
LOG = "wrapper.log"
LONGEST_MESSAGE = 128 * 1024
LONGEST_INPUT = 4095
INPUT_QUEUE = 64 * 1024
REMEMBERED_IDS = 256

Said = dict[str, Any]


class Garbled(ValueError):
    """The other side sent what is no message; the connection is of no further use."""


def encode(message: Said) -> bytes:
    """One message as bytes, newline included."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"


class Decoder:
    """Bytes in any pieces → messages, in order. No I/O, so asyncio and selectors use the same one."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Said]:
        """Messages that `data` completes. Raises `Garbled` for what is no JSON object or longer than 128 KiB."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_MESSAGE:
            raise Garbled(f"a message is longer than {LONGEST_MESSAGE} bytes")
        return [_message(line) for line in whole if line.strip()]


def _message(line: bytes) -> Said:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Garbled(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Garbled("a message is a JSON object")
    return value


def socket_path(folder_fd: int) -> str:
    """The socket's address by the folder's descriptor: socket addresses longer than 107 bytes fail, folders are deeper."""
    return f"/proc/self/fd/{folder_fd}/{SOCKET}"


class Peer(NamedTuple):
    """A connected wrapper's process, as the kernel names it."""

    pid: int
    uid: int


def peer(connection: socket.socket) -> Peer:
    """Who is on the other side (SO_PEERCRED). The agent compares the pid with its runtime's."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid = (int.from_bytes(raw[at : at + 4], "little") for at in (0, 4))
    return Peer(pid, uid)


def connect(folder: str | os.PathLike[str], timeout: float | None = 5.0) -> socket.socket:
    """A connected stream socket. OSError if the folder is a link, `s` is no socket, or nobody listens.

    For asyncio: `open_unix_connection(sock=pipe.connect(folder))`; connecting is local and does not wait.
    """
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.stat(SOCKET, dir_fd=fd, follow_symlinks=False).st_mode):
            raise OSError(f"{os.fspath(folder)}/{SOCKET} is no socket")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            connection.connect(socket_path(fd))
        except OSError:
            connection.close()
            raise
        return connection
    finally:
        os.close(fd)


class Client:
    """A small blocking client: tests, `doctor` and whoever has one question. Use it in a `with`."""

    def __init__(self, folder: str | os.PathLike[str], timeout: float = 10.0) -> None:
        self._socket = connect(folder, timeout)
        self._decoder = Decoder()
        self._waiting: list[Said] = []
        self.hello = self.next()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def next(self) -> Said:
        """The next message. TimeoutError after the timeout, EOFError when the wrapper is gone."""
        while not self._waiting:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError("the wrapper closed the connection")
            self._waiting += self._decoder.feed(data)
        return self._waiting.pop(0)

    def send(self, do: str, **fields: object) -> None:
        """A command without waiting for its reply."""
        self._socket.sendall(encode({"do": do, **fields}))

    def ask(self, do: str, **fields: object) -> Said:
        """A command and its reply; what the wrapper says meanwhile stays for `next`."""
        self.send(do, **fields)
        passed: list[Said] = []
        while (said := self.next()).get("t") != "reply":
            passed.append(said)
        self._waiting = passed + self._waiting
        return said
