"""The reading side of the spool, for the agent: stateless, so an offset in the journal is all that has to be kept.

Reading never disturbs the wrapper, and needs none: the files are enough. What was unlinked meanwhile is jumped over; the
numbers tell how many lines that were (`gaps`). Every function takes the *session folder*.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from manman.wrapper.pipe import SPOOL
from manman.wrapper.spool import EXIT, HEAD, HEADER, LINE, LONGEST_PAYLOAD, SEGMENT, STATE, Record, segments, unpack

Folder = str | os.PathLike[str]
_WHOLE = SEGMENT + HEADER.size + LONGEST_PAYLOAD


class Batch(NamedTuple):
    """What was read, and the offset to go on from."""

    records: list[Record]
    offset: int


def read_from(folder: Folder, offset: int, limit: int = 256 * 1024) -> Batch:
    """Records from `offset` on, about `limit` bytes at most (at least one record, if there is one).

    Begin with 0. The same offset gives the same records again, for as long as they are kept. An empty batch means: nothing
    new. Heads are left out, their bytes are in the offset. A damaged segment is left at its damage when the next exists.
    """
    known = segments(_spool(folder))
    records: list[Record] = []
    left = limit
    for index, (start, path) in enumerate(known):
        following = known[index + 1][0] if index + 1 < len(known) else None
        if following is not None and following <= offset:
            continue
        begin = max(offset, start)
        found, offset = _records(path, start, begin, left)
        records += found
        left -= offset - begin
        if left <= 0:
            break
        if following is not None:
            offset = following
    return Batch([record for record in records if record.kind != HEAD], offset)


def gaps(records: Iterable[Record], after: int) -> Iterator[tuple[int, int]]:
    """(first, last) of each range of lines that was lost; `after` is the number of the last line known before."""
    for record in records:
        before = record.number - 1 if record.kind == LINE else record.number
        if before > after:
            yield after + 1, before
        after = max(after, record.number)


def lines_from(folder: Folder, first: int, limit: int = 1000) -> list[Record]:
    """Line records numbered `first` and above that are still kept, at most `limit`."""
    found: list[Record] = []
    known = segments(_spool(folder))
    for index, (start, path) in enumerate(known):
        if index + 1 < len(known) and _begins(known[index + 1]) < first:
            continue
        records, _ = _records(path, start, start, _WHOLE)
        found += [record for record in records if record.kind == LINE and record.number >= first]
        if len(found) >= limit:
            break
    return found[:limit]


def last_lines(folder: Folder, count: int = 50, size: int = 8 * 1024) -> list[Record]:
    """The last lines, oldest first: at most `count`, and at most `size` bytes of text."""
    found: list[Record] = []
    for start, path in reversed(segments(_spool(folder))):
        for record in reversed(_records(path, start, start, _WHOLE)[0]):
            if record.kind != LINE:
                continue
            size -= len(record.payload) - 1
            if size < 0 or len(found) == count:
                return found[::-1]
            found.append(record)
    return found[::-1]


def exit_of(folder: Folder) -> Record | None:
    """The exit record, once it is written; its `said` is pipe.py's exit payload."""
    return _last(folder, EXIT)


def state_of(folder: Folder) -> Record | None:
    """The last state record in the last two segments; None if there is none (any more)."""
    return _last(folder, STATE)


def head_of(folder: Folder) -> dict[str, Any] | None:
    """`session`, `boot` (the machine's boot id when the wrapper began) and `wrapper` (its pid); None before it began."""
    for start, path in segments(_spool(folder)):
        records, _ = _records(path, start, start, 1)
        if records and records[0].kind == HEAD:
            return records[0].said
    return None


def _last(folder: Folder, kind: int) -> Record | None:
    for start, path in reversed(segments(_spool(folder))[-2:]):
        found = [record for record in _records(path, start, start, _WHOLE)[0] if record.kind == kind]
        if found:
            return found[-1]
    return None


def _spool(folder: Folder) -> str:
    return os.path.join(folder, SPOOL)


def _begins(segment: tuple[int, str]) -> int:
    """The number of the last line before this segment; 0 if it is just being unlinked."""
    records, _ = _records(segment[1], segment[0], segment[0], 1)
    return records[0].number if records else 0


def _records(path: str, start: int, offset: int, limit: int) -> tuple[list[Record], int]:
    """Whole records of one segment from `offset` on, stopped when `limit` bytes are reached, and the offset after them."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return [], offset  # unlinked just now; the next segment is there
    try:
        data = os.pread(fd, min(limit, _WHOLE) + HEADER.size + LONGEST_PAYLOAD, offset - start)
    finally:
        os.close(fd)
    found: list[Record] = []
    at = 0
    while at < limit and (record := unpack(data, at, offset)) is not None:
        found.append(record)
        at = record.end - offset
    return found, offset + at
