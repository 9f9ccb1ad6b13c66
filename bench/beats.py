"""Heartbeats of many hosts at a rate, as bare frames on a socket: what publishes must not be what is measured.

`python -m bench.beats RABBITMQ_URL HOSTS RATE SECONDS` prints how many it published, in how many seconds, and when it began
(`time.perf_counter`, which is one clock for all processes).
"""

import json
import sys
import time
from collections.abc import Sequence

from bench.wire import END, before, close, connect
from manman.domain.ids import HostId
from manman.events import envelope, topics

TICK = 0.01
FIRST_BEAT = 10_000_000  # each number has eight digits, so that all bodies of a host have one length
JOURNAL, WRITTEN = "beats", 100  # what each host's journal is said to hold


def main(broker: str, hosts: int, rate: int, seconds: int) -> None:
    """One beat of each host after the other, round and round."""
    templates = [template(host) for host in range(1, hosts + 1)]
    wire = connect(broker)
    total, done = rate * seconds, 0
    began = time.perf_counter()
    while done < total:
        due = min(total, int((time.perf_counter() - began) * rate))
        wire.sendall(frames(templates, done, due))
        done = due
        time.sleep(TICK)
    print(json.dumps({"seconds": time.perf_counter() - began, "count": done, "began": began}))
    close(wire)


def frames(templates: Sequence[tuple[bytes, bytes]], first: int, last: int) -> bytes:
    """Beats `first` up to `last`, host after host."""
    out, many = [], len(templates)
    for n in range(first, last):
        begin, after = templates[n % many]
        out += (begin, b"%d" % (FIRST_BEAT + n // many), after)
    return b"".join(out)


def template(host: int, sessions: int = 3) -> tuple[bytes, bytes]:
    """What stands before and after the beat's number in the frames of the heartbeat of a host that holds so many sessions."""
    begin = b'{"host_id":%d,"boot":1,"beat":' % host
    after = (
        b',"journal_id":"%b","sequence":%d,"sessions":{"total":%d,"pending":0,"starting":0,"running":%d,"stopping":0},'
        b'"live":{"count":%d,"xor":%d},"cpu":0.01,"memory":{"used":1234567890,"total":34359738368},'
        b'"disk":{"total":1099511627776,"free":549755813888},"players":0}'
    ) % (JOURNAL.encode(), WRITTEN, *(sessions,) * 3, host if sessions else 0)
    size = len(begin) + len(str(FIRST_BEAT)) + len(after)
    head = before(topics.INTERNAL, topics.heartbeat(HostId(host)), size, {envelope.HOST: str(host)}, delivery_mode=1)
    return head + begin, after + END


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
