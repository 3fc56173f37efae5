"""Reads a chain line by line and checks that each follows from the one before; what is wrong becomes a finding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from signalbox.ledger.chain import (
    FORMAT_VERSION,
    GENESIS,
    HEAD_START,
    LINE_BYTES_MAX,
    SEAL_BYTES,
    UNREADABLE,
    Head,
    follow,
    follow_all,
    hash_of,
    read_head,
    read_lines,
    segment_numbers,
    segment_path,
    split_line,
)

FINDINGS_MAX = 1000
# What is read at once of a run.
_RUN_BYTES = 1 << 18
_HEAD_DECODER = msgspec.json.Decoder(Head)


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong. line: number within the segment, from 1; seq: within the chain; 0 when unknown."""

    kind: str
    chain: str
    message: str
    segment: int = 0
    line: int = 0
    seq: int = 0
    attempt_id: str = ""


class Findings:
    """Findings as they come up; the first FINDINGS_MAX are kept, all are counted."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.count = 0

    def add(self, finding: Finding) -> None:
        self.count += 1
        if len(self.kept) < FINDINGS_MAX:
            self.kept.append(finding)


class Place(NamedTuple):
    """A point between two lines of a chain: behind line `seq`, whose hash is `digest`; None when nobody knows it."""

    segment: int
    offset: int
    seq: int
    digest: bytes | None


START = Place(0, 0, 0, GENESIS)


class Line(NamedTuple):
    """One whole line. end: offset behind it."""

    segment: int
    number: int
    end: int
    seq: int
    digest: bytes
    json: bytes


class Run(NamedTuple):
    """Whole lines of one segment, one after the other. end: offset behind the last, seq: of the last, digest: its
    hash. number: of the first within the segment. size: bytes of them all."""

    segment: int
    number: int
    end: int
    seq: int
    digest: bytes
    jsons: list[bytes]
    size: int


class Walk:
    """One pass over one chain from a place on. live: somebody may be writing, so an unfinished last line is no
    finding. After a finding it goes on with what the next line says of itself, so that all are found."""

    def __init__(self, directory: Path, chain: str, findings: Findings, *, start: Place = START, live: bool) -> None:
        self._directory = directory / chain
        self._chain = chain
        self._findings = findings
        self._live = live
        self._start = start
        self._seq: int = start.seq
        self._digest = start.digest

    def lines(self) -> Iterator[Line]:
        """Every whole line, heads included, the damaged ones apart. Listed first and read afterwards: a segment
        that has a successor in the list is complete."""
        for number, last in self._segments():
            for path, offset, line_number in self._begun(number):
                yield from self._lines(path, number, last, offset, line_number)

    def runs(self) -> Iterator[Run]:
        """As `lines`, but many at once for as long as all is as it should be: for who takes them all."""
        for number, last in self._segments():
            for path, offset, line_number in self._begun(number):
                if offset == 0:
                    lines = self._lines(path, number, last, 0, 0)
                    head = next(lines, None)
                    if head is None or head.number != 1:
                        yield from map(_alone, [head] if head else ())
                        yield from map(_alone, lines)
                        continue
                    yield _alone(head)
                    offset, line_number = head.end, 1
                for run in self._sound(path, number, offset, line_number):
                    yield run
                    offset, line_number = run.end, run.number + len(run.jsons) - 1
                yield from map(_alone, self._lines(path, number, last, offset, line_number))

    def _segments(self) -> Iterator[tuple[int, bool]]:
        """Numbers, and whether it is the last."""
        numbers = [n for n in segment_numbers(self._directory) if n >= self._start.segment]
        expected = self._start.segment or 1
        for index, number in enumerate(numbers):
            if number != expected:
                self._find("missing_segment", f"segments {expected} to {number - 1} are missing", number)
                self._digest = None
            yield number, index == len(numbers) - 1
            expected = number + 1
        if not numbers and self._start.segment:
            self._find("missing_segment", f"segment {self._start.segment} is missing", self._start.segment)

    def _begun(self, number: int) -> Iterator[tuple[Path, int, int]]:
        """The file, the offset to begin at, and how many lines stand before it; nothing where that is not there."""
        offset = self._start.offset if number == self._start.segment else 0
        path = segment_path(self._directory, number)
        if path.stat().st_size < offset:
            self._find("truncated", f"segment {number} is shorter than what was read of it before", number)
        else:
            yield path, offset, self._lines_before(path) if offset else 0

    def _sound(self, path: Path, number: int, offset: int, line_number: int) -> Iterator[Run]:
        """From an offset on, up to where anything is out of the ordinary."""
        digest, rest = self._digest, b""
        if digest is None:
            return
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            while len(rest) <= LINE_BYTES_MAX and (data := file.read(_RUN_BYTES)):
                *lines, rest = (rest + data).split(b"\n")
                jsons, digest = follow_all(digest, lines)
                if jsons:
                    size = sum(map(len, jsons)) + len(jsons) * SEAL_BYTES
                    offset += size
                    self._seq, self._digest = self._seq + len(jsons), digest
                    yield Run(number, line_number + 1, offset, self._seq, digest, jsons, size)
                    line_number += len(jsons)
                if len(jsons) < len(lines):
                    return

    def _lines(self, path: Path, number: int, last: bool, offset: int, line_number: int) -> Iterator[Line]:
        for at, raw in read_lines(path, offset):
            line_number += 1
            self._seq += 1
            sound = parts = follow(self._digest, raw) if self._digest is not None else None
            if parts is None:
                parts = split_line(raw)
            if parts is None:
                if raw.endswith(b"\n") or not last:
                    self._find("damaged", "this is no journal line", number, line_number)
                elif not self._live and path.stat().st_size == at + len(raw):  # or somebody began to write
                    self._find("torn", "the last line is unfinished, as a crash leaves it", number, line_number)
                self._digest = None
                continue
            json, digest = parts
            if at == 0:
                self._check_head(json, number)
            elif json.startswith(HEAD_START):
                self._find("misplaced_head", "a head within a segment", number, line_number)
            if sound is None and self._digest is not None and hash_of(self._digest, json) != digest:
                self._find(
                    "altered",
                    "does not follow from the line before: one of them was edited, removed, inserted or moved",
                    number,
                    line_number,
                    json,
                )
            self._digest = digest
            yield Line(number, line_number, at + len(raw), self._seq, digest, json)
        if offset == 0 and line_number == 0 and not (last and self._live):
            self._find("empty_segment", "the segment holds nothing", number)
            self._digest = None

    def _lines_before(self, path: Path) -> int:
        head = read_head(path)
        return self._seq - head.seq + 1 if head is not None else 0

    def _check_head(self, json: bytes, number: int) -> None:
        try:
            head = _HEAD_DECODER.decode(json)
        except UNREADABLE:
            self._find("no_head", "the segment does not begin with a head", number, 1)
            return
        if head.version != FORMAT_VERSION:
            self._find("unknown_version", f"format version {head.version}; known: {FORMAT_VERSION}", number, 1)
        if head.chain != self._chain or head.segment != number:
            self._find("misplaced_segment", f"is segment {head.segment} of chain {head.chain!r}", number, 1)
        elif self._digest is not None and head.prev.encode() != self._digest:
            self._find("altered", "the segment does not follow from the one before", number, 1)
        elif head.seq != self._seq:
            if self._digest is not None:
                self._find("altered", f"is line {head.seq} of the chain and not {self._seq}", number, 1)
            self._seq = head.seq
        if self._digest is None:
            self._digest = head.prev.encode()

    def _find(self, kind: str, message: str, segment: int, line: int = 0, json: bytes = b"") -> None:
        seq = self._seq if line else 0
        self._findings.add(Finding(kind, self._chain, message, segment, line, seq, _attempt_of(json)))


def _alone(line: Line) -> Run:
    return Run(line.segment, line.number, line.end, line.seq, line.digest, [line.json], len(line.json))


class _Named(msgspec.Struct):
    attempt_id: str = ""


_NAMED_DECODER = msgspec.json.Decoder(_Named)


def _attempt_of(json: bytes) -> str:
    """The attempt that a suspicious line speaks of, as far as it can be read."""
    try:
        return _NAMED_DECODER.decode(json).attempt_id
    except UNREADABLE:
        return ""
