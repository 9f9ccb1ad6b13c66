"""The spool: what was written is read, once, in order, whatever was torn, damaged, dropped or unlinked."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from manman.wrapper import spool, spool_reader
from manman.wrapper.spool import EXIT, GOES_ON, LINE, SAMPLE, STATE, STDERR, Spool

HEAD = {"session": "s1", "boot": "b1", "wrapper": 7}
SMALL = 4096

texts = st.binary(max_size=300).map(lambda data: data.replace(b"\n", b" "))
lines = st.lists(st.tuples(st.sampled_from([0, STDERR, GOES_ON]), texts), max_size=60)


def a_spool(folder: Path | str, segment: int = SMALL, keep: int = 1000) -> Spool:
    return Spool(os.path.join(folder, "spool"), HEAD, segment, keep)


def files(folder: Path | str) -> list[str]:
    return [path for _, path in spool.segments(os.path.join(folder, "spool"))]


def everything(folder: Path | str, offset: int = 0, limit: int = 256 * 1024) -> list[spool.Record]:
    found: list[spool.Record] = []
    while True:
        batch = spool_reader.read_from(folder, offset, limit)
        found += batch.records
        if batch.offset == offset:
            return found
        offset = batch.offset


def shown(records: list[spool.Record]) -> list[tuple[int, int, bytes]]:
    return [(record.number, record.flags, record.payload[1:]) for record in records if record.kind == LINE]


@given(batches=st.lists(lines, max_size=8), limit=st.integers(1, 3000))
@settings(max_examples=20, deadline=None)
def test_what_was_written_is_read_once_in_order_over_any_segments_and_portions(
    batches: list[list[tuple[int, bytes]]], limit: int
) -> None:
    with TemporaryDirectory() as folder:
        log = a_spool(folder)
        for batch in batches:
            assert log.lines(batch, 5) == len(batch)
        log.close()
        said = [line for batch in batches for line in batch]
        expected = [(number, flags, text) for number, (flags, text) in enumerate(said, 1)]
        assert shown(everything(folder, limit=limit)) == expected
        assert list(spool_reader.gaps(everything(folder), 0)) == []
        assert all(os.path.getsize(path) <= SMALL for path in files(folder))


@given(batch=lines.filter(bool), cut=st.integers(0, 10_000), junk=st.binary(max_size=40))
@settings(max_examples=30, deadline=None)
def test_a_torn_tail_is_cut_and_numbering_goes_on_from_what_is_whole(
    batch: list[tuple[int, bytes]], cut: int, junk: bytes
) -> None:
    with TemporaryDirectory() as folder:
        log = a_spool(folder, segment=1024 * 1024)
        log.lines(batch, 5)
        log.close()
        path = files(folder)[0]
        data = Path(path).read_bytes()
        cut %= len(data)
        Path(path).write_bytes(data[:cut] + junk)
        whole = shown(everything(folder))
        assert whole == [(n, *line) for n, line in enumerate(batch, 1)][: len(whole)]
        again = a_spool(folder, segment=1024 * 1024)
        again.lines([(0, b"after")], 6)
        again.close()
        assert shown(everything(folder)) == [*whole, (len(whole) + 1, 0, b"after")]


@given(batch=lines.filter(bool), at=st.integers(0, 100_000), flip=st.integers(1, 255))
@settings(max_examples=30, deadline=None)
def test_a_damaged_byte_never_yields_a_line_that_nobody_printed(
    batch: list[tuple[int, bytes]], at: int, flip: int
) -> None:
    with TemporaryDirectory() as folder:
        log = a_spool(folder)
        log.lines(batch, 5)
        log.close()
        path = files(folder)[at % len(files(folder))]
        data = bytearray(Path(path).read_bytes())
        data[at % len(data)] ^= flip
        Path(path).write_bytes(data)
        printed = {(number, *line) for number, line in enumerate(batch, 1)}
        read = shown(everything(folder))
        assert set(read) < printed or (set(read) == printed and at % len(data) < 200)
        assert [number for number, _, _ in read] == sorted({number for number, _, _ in read})


def test_the_oldest_segment_is_unlinked_first_and_the_jump_is_the_exact_count_of_lost_lines(tmp_path: Path) -> None:
    log = a_spool(tmp_path, keep=3)
    for number in range(1, 1001):
        log.lines([(0, b"x" * 50 + str(number).encode())], number)
    kept = shown(everything(tmp_path))
    assert len(files(tmp_path)) == 3
    assert kept[-1][0] == 1000
    assert len(kept) < 1000
    assert list(spool_reader.gaps(everything(tmp_path), 0)) == [(1, kept[0][0] - 1)]
    assert spool_reader.head_of(tmp_path) == HEAD, "each segment names session and boot"


def test_a_reader_whose_segment_was_unlinked_meanwhile_goes_on_with_the_oldest_that_is_kept(tmp_path: Path) -> None:
    log = a_spool(tmp_path, keep=3)
    log.lines([(0, b"first")], 1)
    first = spool_reader.read_from(tmp_path, 0)
    log.lines([(0, b"y" * 100)] * 200, 2)
    rest = everything(tmp_path, first.offset)
    lost = list(spool_reader.gaps(rest, 1))
    assert len(lost) == 1
    assert lost[0][0] == 2
    assert lost[0][1] - lost[0][0] + 1 + len(rest) == 200


def test_an_offset_may_be_kept_over_any_number_of_reader_lives(tmp_path: Path) -> None:
    log = a_spool(tmp_path)
    offset, read = 0, []
    for number in range(1, 301):
        log.lines([(0, str(number).encode())], number)
        if number % 7 == 0:
            batch = spool_reader.read_from(tmp_path, offset)
            read += [record.text for record in batch.records]
            offset = batch.offset
    read += [record.text for record in spool_reader.read_from(tmp_path, offset).records]
    assert read == [str(number) for number in range(1, 301)]


def test_states_samples_and_the_exit_stand_between_the_lines_without_a_number_of_their_own(tmp_path: Path) -> None:
    log = a_spool(tmp_path)
    log.say(STATE, {"state": "starting"}, 1)
    log.lines([(0, b"one"), (STDERR, b"two")], 2)
    log.say(SAMPLE, {"rss_bytes": 5}, 3)
    assert log.exit({"exit_code": 7}, 4)
    records = everything(tmp_path)
    assert [(record.kind, record.number) for record in records] == [
        (STATE, 0),
        (LINE, 1),
        (LINE, 2),
        (SAMPLE, 2),
        (EXIT, 2),
    ]
    assert [record.stream for record in records if record.kind == LINE] == ["out", "err"]
    last = spool_reader.exit_of(tmp_path)
    assert last is not None
    assert last.said == {"exit_code": 7}
    state = spool_reader.state_of(tmp_path)
    assert state is not None
    assert state.said == {"state": "starting"}


def test_lines_are_found_by_number_and_the_last_ones_within_bounds(tmp_path: Path) -> None:
    log = a_spool(tmp_path)
    log.lines([(0, f"line {number}".encode()) for number in range(1, 801)], 1)
    assert len(files(tmp_path)) > 3
    assert [record.number for record in spool_reader.lines_from(tmp_path, 500, 3)] == [500, 501, 502]
    assert [record.number for record in spool_reader.lines_from(tmp_path, 799)] == [799, 800]
    assert spool_reader.lines_from(tmp_path, 801) == []
    assert [record.number for record in spool_reader.last_lines(tmp_path, 50)] == list(range(751, 801))
    assert [record.text for record in spool_reader.last_lines(tmp_path, 50, size=17)] == ["line 799", "line 800"]


def test_no_spool_reads_as_empty(tmp_path: Path) -> None:
    assert spool_reader.read_from(tmp_path, 0) == ([], 0)
    assert spool_reader.exit_of(tmp_path) is None
    assert spool_reader.head_of(tmp_path) is None


FULL = """
import json, resource, sys
sys.path.append(sys.argv[2])
from manman.wrapper.spool import Spool
def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
log = Spool(sys.argv[1] + "/spool", {"session": "s1"}, 2000, 100)
told = [log.lines([(0, b"a" * 100)] * 5, 1)]
room(700)
told.append(log.lines([(0, b"b" * 100)] * 5, 2))
told.append(log.exit({"exit_code": 1}, 3))
room(0)
told.append(log.lines([(0, b"c" * 100)] * 50, 4))
room(-1)
told.append(log.lines([(0, b"d" * 100)] * 20, 5))
told.append(log.exit({"exit_code": 1}, 6))
print(json.dumps(told + [log.number, log.dropped]))
"""


def test_without_room_lines_are_dropped_but_numbered_and_the_exit_is_refused_until_there_is_some(
    tmp_path: Path,
) -> None:
    source = str(Path(spool.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", FULL, str(tmp_path), source], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [5, 0, False, 0, 20, True, 80, 55]
    records = everything(tmp_path)
    assert list(spool_reader.gaps(records, 0)) == [(6, 60)]
    assert shown(records)[-1][0] == 80
    assert records[-1].kind == EXIT
