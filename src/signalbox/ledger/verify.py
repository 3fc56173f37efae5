"""Checks every chain of a journal offline: nothing edited, removed, inserted, reordered, cut short or rewritten."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from signalbox.core.ports import ShipMark
from signalbox.core.records import Opened, Refused, Settled
from signalbox.ledger import checkpoint, checkpoint_check
from signalbox.ledger.chain import (
    ENTRY_DECODER,
    UNREADABLE,
    Entry,
    Seal,
    chain_names,
    is_locked,
    segment_numbers,
    segment_path,
)
from signalbox.ledger.walk import START, Finding, Findings, Line, Place, Walk


class ChainReport(msgspec.Struct, frozen=True):
    """One chain. seq and hash: of its last whole line. open: attempts without an end. live: a process writes it."""

    chain: str
    segments: int
    lines: int
    opened: int
    settled: int
    refused: int
    open: int
    seq: int
    hash: str
    sealed: bool
    live: bool


class Report(msgspec.Struct, frozen=True):
    """What verification found. findings holds the first 1,000 of finding_count. checkpoints: how many signed notes
    were checked; signed_lines: up to where they vouch for the chains, all lines added up; cuts: how many chains begin
    later than they once did, as signed."""

    ok: bool
    chains: tuple[ChainReport, ...]
    lines: int
    findings: tuple[Finding, ...]
    finding_count: int
    checkpoints: int = 0
    signed_lines: int = 0
    cuts: int = 0


_NOTHING: Mapping[int, str] = {}
# A journal that changes while it is read is read so often before what was found counts.
_READINGS = 3


def verify_living(
    journal_directory: Path, shipped: Sequence[ShipMark], read_signed: Callable[[], checkpoint_check.Signed | None]
) -> Report:
    """The same over an installation that may be running: chains begin, are recovered and are cut while they are read,
    and a reader between two steps of that sees what is none of the ends. What is wrong is still wrong when read again;
    so it counts once nothing moved meanwhile, or the third time."""
    for reading in range(_READINGS):
        before = _extent(journal_directory)
        report = verify(journal_directory, shipped, read_signed())
        if report.ok or reading == _READINGS - 1 or _extent(journal_directory) == before:
            return report
    raise AssertionError("the last reading returns")


def _extent(journal_directory: Path) -> list[tuple[str, int, int]]:
    """Every segment with its size."""
    found: list[tuple[str, int, int]] = []
    for chain in chain_names(journal_directory):
        for number in segment_numbers(journal_directory / chain):
            with contextlib.suppress(FileNotFoundError):
                found.append((chain, number, segment_path(journal_directory / chain, number).stat().st_size))
    return found


def verify(
    journal_directory: Path, shipped: Sequence[ShipMark] = (), signed: checkpoint_check.Signed | None = None
) -> Report:
    """Walks all chains. shipped: how far the store has them, read before this call; signed: what checkpoints vouch
    for. A journal that ends earlier, or holds something else at such a point, was cut or rewritten with all its
    hashes, which it could not tell by itself."""
    findings = Findings()
    marks = {mark.chain: mark for mark in shipped}
    heads: Mapping[str, Mapping[int, str]] = signed.heads if signed is not None else {}
    for problem in signed.problems if signed is not None else ():
        findings.add(Finding(problem.kind, "(checkpoints)", problem.message, seq=problem.place))
    cuts: Mapping[str, checkpoint.Cut] = signed.cuts if signed is not None else {}
    names = chain_names(journal_directory)
    # Chains of which nothing has to be there any more.
    gone = {
        cut.chain
        for cut in cuts.values()
        if cut.seq >= max(heads.get(cut.chain, (0,))) and (cut.chain not in marks or cut.seq >= marks[cut.chain].seq)
    }
    for chain in sorted(marks.keys() - set(names) - gone):
        message = f"the store has {marks[chain].seq} lines of this chain, the journal has none"
        findings.add(Finding("missing_chain", chain, message))
    for chain in sorted(heads.keys() - set(names) - marks.keys() - gone):
        message = f"checkpoints vouch for {max(heads[chain])} lines of this chain, the journal has none"
        findings.add(Finding("missing_chain", chain, message))
    chains = tuple(
        _verify_chain(journal_directory, chain, marks.get(chain), heads.get(chain, _NOTHING), cuts.get(chain), findings)
        for chain in names
    )
    return Report(
        ok=findings.count == 0,
        chains=chains,
        lines=sum(chain.lines for chain in chains),
        findings=tuple(findings.kept),
        finding_count=findings.count,
        checkpoints=signed.notes if signed is not None else 0,
        signed_lines=sum(max(lines) for lines in heads.values()),
        cuts=len(cuts),
    )


def _verify_chain(
    directory: Path,
    chain: str,
    mark: ShipMark | None,
    signed: Mapping[int, str],
    cut: checkpoint.Cut | None,
    findings: Findings,
) -> ChainReport:
    live = is_locked(directory / chain)
    # What was taken away may have been put back; then the chain is whole from its beginning.
    cut = None if cut is None or 1 in segment_numbers(directory / chain) else cut
    tally = _Tally(chain, mark, signed, findings)
    if cut is not None:
        tally.begin_behind(cut)
    start = START if cut is None else Place(cut.segment, 0, cut.seq, cut.hash.encode())
    left = cut is None or any(number >= cut.segment for number in segment_numbers(directory / chain))
    try:
        for line in Walk(directory, chain, findings, start=start, live=live).lines() if left else ():
            tally.add(line)
    except OSError as error:
        findings.add(Finding("unreadable", chain, f"the journal cannot be read: {error.strerror}"))
    tally.end()
    return ChainReport(
        chain=chain,
        segments=tally.segments,
        lines=tally.lines,
        opened=tally.opened,
        settled=tally.settled,
        refused=tally.refused,
        open=len(tally.open),
        seq=tally.seq,
        hash=tally.digest.decode("ascii"),
        sealed=tally.sealed,
        live=live,
    )


class _Tally:
    """Counts the records of one chain and checks that they make sense together."""

    def __init__(self, chain: str, mark: ShipMark | None, signed: Mapping[int, str], findings: Findings) -> None:
        self._chain = chain
        self._mark = mark
        self._signed = signed
        # The last line that a checkpoint vouched for; below 0 once one did not.
        self._vouched = 0
        self._findings = findings
        self.segments = self.lines = self.opened = self.settled = self.refused = self.seq = self._segment = 0
        self.digest = b""
        self.sealed = False
        self.open: dict[str, int] = {}

    def begin_behind(self, cut: checkpoint.Cut) -> None:
        """Lines up to here are gone, as signed."""
        self.seq = self._vouched = cut.seq
        self.digest = cut.hash.encode()

    def add(self, line: Line) -> None:
        self.lines += 1
        self.seq, self.digest = line.seq, line.digest
        if line.segment != self._segment:
            self._segment = line.segment
            self.segments += 1
        mark = self._mark
        if mark is not None and line.seq == mark.seq and line.digest.decode("ascii") != mark.hash:
            self._find("rewritten", "the store has another record in this place", line)
        if line.seq in self._signed and self._vouched >= 0:
            self._vouch(line)
        try:
            entry = ENTRY_DECODER.decode(line.json)
        except UNREADABLE as error:
            self._find("unreadable", f"this record cannot be read: {error}", line)
            return
        self._count(entry, line)

    def _vouch(self, line: Line) -> None:
        """Holds a line against the hash that was signed for it. The first that differs narrows the place down."""
        if self._signed[line.seq] == line.digest.decode("ascii"):
            self._vouched = line.seq
            return
        first = self._vouched + 1
        where = f"line {first}" if first == line.seq else f"one of the lines {first} to {line.seq}"
        self._find("rewritten", f"{where} was changed, and the hashes with it: a checkpoint signed others", line)
        self._vouched = -1

    def _count(self, entry: Entry, line: Line) -> None:
        self.sealed = isinstance(entry, Seal)
        if isinstance(entry, Opened):
            self.opened += 1
            if entry.attempt_id in self.open:
                self._find("opened_twice", "this attempt was opened before", line, entry.attempt_id)
            self.open[entry.attempt_id] = line.seq
        elif isinstance(entry, Settled):
            self.settled += 1
            if self.open.pop(entry.attempt_id, None) is None:
                self._find("settled_unopened", "this attempt is not open here", line, entry.attempt_id)
        elif self.sealed:
            for attempt_id in self.open:
                self._find("sealed_open", "the chain was sealed, but this attempt has no end", line, attempt_id)
            self.open.clear()
        elif isinstance(entry, Refused):
            self.refused += 1

    def end(self) -> None:
        mark = self._mark
        if mark is not None and self.seq < mark.seq:
            message = f"ends with line {self.seq}, but the store has seen line {mark.seq}"
            self._findings.add(Finding("truncated", self._chain, message, self._segment, seq=self.seq))
        last = max(self._signed, default=0)
        if self.seq < last:
            message = f"ends with line {self.seq}, but a checkpoint signed line {last}: line {self.seq + 1} is missing"
            self._findings.add(Finding("truncated", self._chain, message, self._segment, seq=self.seq))

    def _find(self, kind: str, message: str, line: Line, attempt_id: str = "") -> None:
        self._findings.add(Finding(kind, self._chain, message, line.segment, line.number, line.seq, attempt_id))
