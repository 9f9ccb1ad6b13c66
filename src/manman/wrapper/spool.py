"""The spool: what the wrapper remembers of a session, an append-only log in segments.

`spool/<offset of its first byte, 16 hex digits>`; a segment is at most 1 MiB, all together 64 MiB, the oldest is unlinked
first. A record, little-endian:

    length   u32   of the payload
    crc      u32   CRC-32 of everything that follows
    kind     u8    1 line · 2 state · 3 sample · 4 exit · 5 head (each segment's first record)
    number   u64   of a line: its own, from 1; of all else: that of the last line before it
    time     u64   microseconds since 1970
    payload        line: one byte of flags, then the text; all else: a JSON object

Lines are numbered here and only here, also those that found no room: a jump in the numbers is the count of lost lines.
The head names the session and the machine's boot id, so that both are known however much was dropped.
"""

import json
import os
import re
import struct
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

HEADER = struct.Struct("<IIBQQ")
CHECKED = struct.Struct("<BQQ")
SEGMENT = 1024 * 1024
SEGMENTS = 64
LONGEST_LINE = 64 * 1024
LONGEST_PAYLOAD = LONGEST_LINE + 1
SEGMENT_NAME = re.compile(r"[0-9a-f]{16}")

LINE, STATE, SAMPLE, EXIT, HEAD = 1, 2, 3, 4, 5
KINDS = (LINE, STATE, SAMPLE, EXIT, HEAD)
STDERR = 1  # flag: the line came on stderr (never with a terminal)
GOES_ON = 2  # flag: no newline was seen yet; the next line record continues this one


class Record(NamedTuple):
    """One record; `offset` is where it begins, `end` where the next one does."""

    kind: int
    number: int
    time: int
    payload: bytes
    offset: int
    end: int

    @property
    def flags(self) -> int:
        """A line's flags."""
        return self.payload[0]

    @property
    def text(self) -> str:
        """A line's text; bytes that are no UTF-8 are replaced."""
        return self.payload[1:].decode(errors="replace")

    @property
    def stream(self) -> str:
        """A line's stream: out or err."""
        return "err" if self.flags & STDERR else "out"

    @property
    def said(self) -> dict[str, Any]:
        """The object of a state, sample, exit or head."""
        value: dict[str, Any] = json.loads(self.payload)
        return value


def pack(kind: int, number: int, time: int, payload: bytes) -> bytes:
    """A record's bytes."""
    body = CHECKED.pack(kind, number, time) + payload
    return struct.pack("<II", len(payload), zlib.crc32(body)) + body


def unpack(data: bytes, at: int, base: int = 0) -> Record | None:
    """The record at `at`; None where it is torn, damaged or not whole yet. `base` is the offset of `data`'s first byte."""
    if at + HEADER.size > len(data):
        return None
    length, crc, kind, number, time = HEADER.unpack_from(data, at)
    end = at + HEADER.size + length
    if length > LONGEST_PAYLOAD or end > len(data) or kind not in KINDS or zlib.crc32(data[at + 8 : end]) != crc:
        return None
    return Record(kind, number, time, data[at + HEADER.size : end], base + at, base + end)


def segments(folder: str | os.PathLike[str]) -> list[tuple[int, str]]:
    """(offset of the first byte, path) of each segment, oldest first; empty where there is no spool."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = sorted(name for name in names if SEGMENT_NAME.fullmatch(name))
    return [(int(name, 16), os.path.join(folder, name)) for name in found]


class Spool:
    """The writing side. One wrapper has it open, and nobody else writes."""

    def __init__(self, folder: str, head: dict[str, Any], segment: int = SEGMENT, keep: int = SEGMENTS) -> None:
        """Opens what is in `folder`, which is made with the first record; a torn tail is cut. A full disk is no failure."""
        self.number = 0
        self.dropped = 0
        self._folder, self._head, self._limit, self._keep = folder, head, segment, keep
        self._fd = -1
        self._start = self._size = 0
        self._reopen()

    def _reopen(self) -> None:
        known = segments(self._folder)
        while known:
            self._start, path = known.pop()
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            data = os.pread(self._fd, self._limit + HEADER.size + LONGEST_PAYLOAD, 0)
            while (record := unpack(data, self._size)) is not None:
                self._size, self.number = record.end, record.number
            if self._size:
                os.ftruncate(self._fd, self._size)
                return
            self.close()
            os.unlink(path)  # not even its head was whole

    def lines(self, lines: Iterable[tuple[int, bytes]], time: int) -> int:
        """Appends (flags, text) lines; gives how many found room. The others are numbered all the same."""
        written, batch = 0, []
        for flags, text in lines:
            self.number += 1
            batch.append(pack(LINE, self.number, time, bytes((flags,)) + text[:LONGEST_LINE]))
        at = 0
        while at < len(batch):
            taken = self._fitting(batch, at)
            done = self._write(batch[at : at + taken], time, self.number - len(batch) + at)
            written, at = written + done, at + taken
        self.dropped += len(batch) - written
        return written

    def _fitting(self, batch: list[bytes], at: int) -> int:
        room, taken = self._limit - self._size, 0
        while at + taken < len(batch) and len(batch[at + taken]) <= room:
            room -= len(batch[at + taken])
            taken += 1
        return taken or 1  # one that does not fit opens a new segment

    def say(self, kind: int, said: dict[str, Any], time: int) -> bool:
        """Appends a state or sample; False if there is no room."""
        return self._write([pack(kind, self.number, time, _json(said))], time, self.number) == 1

    def exit(self, said: dict[str, Any], time: int) -> bool:
        """Appends the exit and waits for the disk. False: no room, or the disk refuses; say it again later."""
        if not self.say(EXIT, said, time):
            return False
        try:
            os.fsync(self._fd)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Lets go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, records: list[bytes], time: int, before: int) -> int:
        """How many of the records are whole on the disk; what is written in part is cut off again.

        `before` is the number of the last line before them."""
        try:
            if self._fd < 0 or self._size + len(records[0]) > self._limit:
                self._next_segment(time, before)
            done = os.pwrite(self._fd, b"".join(records), self._size)
        except OSError:
            return 0
        whole = 0
        while whole < len(records) and len(records[whole]) <= done:
            done -= len(records[whole])
            self._size += len(records[whole])
            whole += 1
        if done:
            os.ftruncate(self._fd, self._size)
        return whole

    def _next_segment(self, time: int, before: int) -> None:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        known = segments(self._folder)
        for _, path in known[: max(0, len(known) - self._keep + 1)]:
            os.unlink(path)
        start = self._start + self._size
        path = os.path.join(self._folder, f"{start:016x}")
        head = pack(HEAD, before, time, _json(self._head))
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.pwrite(fd, head, 0) != len(head):
                raise OSError("no room for a new segment")
        except OSError:
            os.close(fd)
            os.unlink(path)
            raise
        self.close()
        self._fd, self._start, self._size = fd, start, len(head)


def _json(said: dict[str, Any]) -> bytes:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
