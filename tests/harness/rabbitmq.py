"""A private RabbitMQ: a node, its own epmd and every port on loopback, no systemd, gone when we are."""

import base64
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from harness.processes import (
    ServiceFailed,
    answers,
    free_port,
    give_to_nobody,
    spawn,
    stop,
    wait_until,
)
from manman.events.rabbit.leaders import ELECT

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
CONTROL = SERVER.with_name("rabbitmqctl")
USER = PASSWORD = "guest"
CONFIGURATION = """
listeners.tcp.1 = 127.0.0.1:{port}
disk_free_limit.absolute = 50MB
"""
SMALL = """
total_memory_available_override_value = 2GB
"""
MANAGEMENT = """
management.tcp.ip = 127.0.0.1
management.tcp.port = {admin_port}
management_agent.disable_metrics_collector = false
"""
ALARM = "{resource_limit, disk, node()}"
LEADERLESS = """
    [rabbit_misc:rs(amqqueue:get_name(Q)) || Q <- rabbit_amqqueue:list(), amqqueue:get_type(Q) =:= rabbit_quorum_queue,
     ra_leaderboard:lookup_leader(element(1, amqqueue:get_pid(Q))) =:= undefined]."""
FORGET = """
    {{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)),
    #{{names := #{{directory_rev := Names}}}} = ra_system:fetch(quorum_queues),
    ok = dets:delete(Names, element(1, amqqueue:get_pid(Q))), ok = dets:sync(Names)."""


class RabbitMQ:
    """One broker. `folder` is ours alone and may lie in a place that `nobody` can enter (0711).

    `start()`, `stop()`, `kill()` (`kill -9`), `restart()`; ports and data stay the same over these.
    With `management` there is `admin_url`, `add_vhost`, `remove_vhost`; without it a stop takes 1.3 s instead of 6. A `small` one takes
    the machine for one of 2 GB: many of them run side by side, and under load it takes no messages once it holds 800 MB.
    """

    def __init__(
        self, folder: Path, *, management: bool = True, consistent_hash: bool = True, small: bool = True
    ) -> None:
        if not SERVER.exists():
            raise ServiceFailed("no RabbitMQ on this machine; `make test` installs it")
        self.folder = folder
        self.management = management
        self.port, self.admin_port = free_port(), free_port()
        self._epmd_port, self._distribution_port = free_port(), free_port()
        self.log = folder / "rabbitmq.log"
        self.kills = 0
        self._epmd: subprocess.Popen[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        for name in ("home", "data", "log"):
            (folder / name).mkdir(exist_ok=True)
            give_to_nobody(folder / name)
        plugins = ["rabbitmq_management"] * management + ["rabbitmq_consistent_hash_exchange"] * consistent_hash
        (folder / "plugins").write_text(f"[{','.join(plugins)}].\n")
        text = CONFIGURATION + SMALL * small + MANAGEMENT * management
        (folder / "rabbitmq.conf").write_text(text.format(port=self.port, admin_port=self.admin_port))

    @property
    def pid(self) -> int:
        """The Erlang machine's process."""
        assert self._child is not None
        return self._child.pid

    @property
    def admin_url(self) -> str:
        """The management API's address, with its user."""
        assert self.management, "this broker was made without the management plugin"
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self.admin_port}"

    def url(self, vhost: str = "/") -> str:
        """The broker's address; the vhost `/` is written `%2F`."""
        return f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{urllib.parse.quote(vhost, safe='')}"

    def start(self) -> None:
        """Start epmd where it is not running, then the node, and return when both doors answer."""
        environment = self._environment()
        if self._epmd is None or self._epmd.poll() is not None:
            epmd = shutil.which("epmd") or "/usr/bin/epmd"
            self._epmd = spawn([epmd], env=environment, cwd=Path("/"), log=self.log, as_nobody=True)
            wait_until(lambda: answers(self._epmd_port), "epmd", log=self.log)
        self._child = spawn([SERVER], env=environment, cwd=Path("/"), log=self.log, as_nobody=True)
        wait_until(self._is_ready, "RabbitMQ", alive=self.is_alive, log=self.log)

    def stop(self) -> None:
        """Ask the node to end, wait for it, then end epmd."""
        stop(self._child)
        stop(self._epmd)

    def kill(self) -> None:
        """`kill -9` of the node; epmd stays, as it does on a real machine."""
        assert self._child is not None
        os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self.kills += 1

    def restart(self) -> None:
        """Stop and start on the same ports and data."""
        stop(self._child)
        self.start()

    def freeze(self) -> None:
        """SIGSTOP for the node: until `thaw()` connections are taken for it, and it says nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """The other way round."""
        os.kill(self.pid, signal.SIGCONT)

    def alarm(self) -> None:
        """Have it find its disk too full: it takes no messages until `calm()`."""
        self.evaluate(f"rabbit_alarm:set_alarm({{{ALARM}, []}}).")

    def calm(self) -> None:
        """The other way round."""
        self.evaluate(f"rabbit_alarm:clear_alarm({ALARM}).")

    def is_alive(self) -> bool:
        """Whether the node runs."""
        return self._child is not None and self._child.poll() is None

    def add_vhost(self, name: str) -> str:
        """Make a vhost; its AMQP address."""
        ask(self.admin_url, "PUT", f"/api/vhosts/{urllib.parse.quote(name, safe='')}", {})
        return self.url(name)

    def remove_vhost(self, name: str) -> None:
        """Remove a vhost with everything in it."""
        ask(self.admin_url, "DELETE", f"/api/vhosts/{urllib.parse.quote(name, safe='')}")

    def leaderless(self) -> set[str]:
        """The quorum queues that have no leader."""
        return _queues(self.evaluate(LEADERLESS))

    def elect(self) -> set[str]:
        """What the operators' page says to do about them; which queues that met."""
        return _queues(self.evaluate(ELECT))

    def forget(self, queue: str, vhost: str = "/") -> None:
        """Be a node that has not yet written down the name of a queue: killed now, it comes back with the queue and no leader."""
        self.evaluate(FORGET.format(queue=queue, vhost=vhost))

    def evaluate(self, expression: str) -> str:
        """What `rabbitmqctl eval` prints; raises ServiceFailed where the node does not answer."""
        nobody = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        command = [CONTROL, "-q", "eval", expression]
        done = subprocess.run(
            command, env=self._environment(), cwd="/", user=nobody, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            raise ServiceFailed(f"rabbitmqctl: {done.stdout}{done.stderr}")
        return done.stdout

    def _is_ready(self) -> bool:
        if not answers(self.port):
            return False
        if not self.management:
            return True
        try:
            ask(self.admin_url, "GET", "/api/overview")
        except OSError:
            return False
        return True

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.folder / "home"),
            "RUNNING_UNDER_SYSTEMD": "yes",  # the script becomes the Erlang machine, so its process is the one we know
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "data" / "pid"),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": "/dev/null",
        }


def _queues(said: str) -> set[str]:
    return set(re.findall(r"queue '([^']+)' in vhost", said))


def ask(admin_url: str, method: str, path: str, body: Any = None) -> Any:
    """One call of the management API; the decoded answer or None. Raises urllib's HTTPError (an OSError)."""
    parts = urllib.parse.urlsplit(admin_url)
    credentials = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    request = urllib.request.Request(
        f"http://{parts.hostname}:{parts.port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return json.loads(text) if text else None
