"""Ends the attempts that a dead process left open, each as `unknown` at an upper bound of its cost."""

from __future__ import annotations

from pathlib import Path

import msgspec

from signalbox.core.errors import LedgerError
from signalbox.core.records import Opened, Progress, Record, Settled
from signalbox.ledger.chain import (
    ENTRY_DECODER,
    UNREADABLE,
    Tail,
    chain_names,
    is_locked,
    is_sealed,
    read_head,
    read_tail,
    segment_path,
)
from signalbox.ledger.estimate import Metering
from signalbox.ledger.settle import Pace, Track, learn, settle_unknown
from signalbox.ledger.walk import START, Finding, Findings, Place, Walk
from signalbox.ledger.writer import ChainWriter, encode
from signalbox.pricing.cost import cost

ERROR = "process_died"
_SEGMENT_BYTES_MAX = 64 << 20


class Ended(msgspec.Struct, frozen=True):
    """One attempt that recovery ended."""

    deployment: str
    workload: str
    end: Settled


class Recovery(msgspec.Struct, frozen=True):
    """What recovery did. chains: those it had to read. attempts: those it ended, one by one in `ended`. cost_pico: the
    sum of their upper bounds; unpriced: how many have none. torn_bytes: moved aside behind the last whole line of a
    segment."""

    chains: int
    attempts: int
    cost_pico: int
    unpriced: int
    torn_bytes: int
    findings: tuple[Finding, ...]
    finding_count: int
    ended: tuple[Ended, ...] = ()


class _Totals:
    def __init__(self) -> None:
        self.chains = self.attempts = self.cost_pico = self.unpriced = self.torn_bytes = 0
        self.findings = Findings()
        self.ended: list[Ended] = []


def recover(journal_directory: Path, time_ms: int) -> Recovery:
    """Reads the chains of dead processes (nobody holds their lock) and appends what they owe to these same chains.

    Call it before this process opens its journal, and whenever a worker died. Doing it twice, or dying in the middle
    of it, changes nothing: an attempt that has its end is not open. Chains that cannot be read or written become
    findings; the others are still recovered.
    """
    totals = _Totals()
    for chain in chain_names(journal_directory):
        directory = journal_directory / chain
        try:
            if is_locked(directory) or is_sealed(directory):
                continue
            tail = read_tail(directory)
            if tail is not None:
                totals.chains += 1
                _recover_chain(journal_directory, chain, tail, time_ms, totals)
        except (LedgerError, OSError) as error:
            totals.findings.add(Finding("unrecoverable", chain, str(error)))
    return Recovery(
        chains=totals.chains,
        attempts=totals.attempts,
        cost_pico=totals.cost_pico,
        unpriced=totals.unpriced,
        torn_bytes=totals.torn_bytes,
        findings=tuple(totals.findings.kept),
        finding_count=totals.findings.count,
        ended=tuple(totals.ended),
    )


def _recover_chain(journal_directory: Path, chain: str, tail: Tail, time_ms: int, totals: _Totals) -> None:
    writer = ChainWriter(journal_directory, chain, segment_bytes_max=_SEGMENT_BYTES_MAX, resume_open=True)
    try:
        if tail.torn:
            message = f"{tail.torn} bytes behind the last whole line were moved to the .torn file"
            totals.findings.add(Finding("torn", chain, message, tail.segment, seq=tail.seq))
            totals.torn_bytes += tail.torn
        pace, known, owed = _read_open(journal_directory, chain, tail, totals.findings)
        # Known to the writer, so that a head it writes while rotating sends a second recovery far enough back.
        writer.open.update(dict.fromkeys(owed, tail.low))
        ends = [
            settle_unknown(opened, track, pace, known.of(opened.deployment, opened.api), time_ms, cost, ERROR)
            for opened, track in owed.values()
        ]
        items: list[tuple[bytes, Record]] = [(encode(end), end) for end in ends]
        writer.put(items)
        writer.seal("recovery")
        writer.sync()
    finally:
        writer.release()
    totals.attempts += len(ends)
    for (opened, _), end in zip(owed.values(), ends, strict=True):
        totals.ended.append(Ended(opened.deployment, opened.workload, end))
        totals.cost_pico += end.cost_pico or 0
        totals.unpriced += end.cost_pico is None


def _read_open(
    journal_directory: Path, chain: str, tail: Tail, findings: Findings
) -> tuple[Pace, Metering, dict[str, tuple[Opened, Track]]]:
    """The attempts without an end, with how far they were seen, how often that was noted, and what those with an end
    told of their deployments."""
    pace, known = Pace(), Metering()
    still_open: dict[str, tuple[Opened, Track]] = {}
    walk = Walk(journal_directory, chain, findings, start=_first(journal_directory / chain, tail), live=False)
    for line in walk.lines():
        try:
            entry = ENTRY_DECODER.decode(line.json)
        except UNREADABLE as error:
            message = f"this record cannot be read: {error}"
            findings.add(Finding("unreadable", chain, message, line.segment, line.number, line.seq))
            continue
        if isinstance(entry, Opened):
            pace.note(entry.time_ms)
            still_open[entry.attempt_id] = (entry, Track())
        elif isinstance(entry, Settled):
            pace.note(entry.time_ms)
            ended = still_open.pop(entry.attempt_id, None)
            if ended is not None:
                learn(ended[0], entry, pace, known.of(ended[0].deployment, ended[0].api))
        elif isinstance(entry, Progress):
            pace.add(entry.time_ms, moved=bool(entry.at))
            for attempt_id, tokens in entry.at:
                found = still_open.get(attempt_id)
                if found is not None:
                    found[1].add(entry.time_ms, tokens)
    return pace, known, still_open


def _first(directory: Path, tail: Tail) -> Place:
    """Where to begin: the earliest segment with something open, as the last head says, believed only as far as that
    segment can be read; the whole chain otherwise."""
    head = read_head(segment_path(directory, tail.low)) if 1 < tail.low <= tail.segment else None
    return Place(tail.low, 0, head.seq - 1, None) if head is not None else START
