"""What a dead process had paid from each of its leases, read from its journal."""

from __future__ import annotations

from pathlib import Path

from signalbox.core.budgets import GPU, REQUESTS, TOKENS, USD
from signalbox.core.records import Opened, Settled
from signalbox.ledger.chain import ENTRY_DECODER, UNREADABLE
from signalbox.ledger.walk import Findings, Walk


def used(unit: str, settled: Settled, gpu_ns: int) -> int:
    """What one attempt used of a unit. An attempt without a price costs no dollars that anybody knows of. gpu_ns: what
    a token takes of GPUs of one's own."""
    if unit == USD:
        return settled.cost_pico or 0
    if unit in (TOKENS, GPU):
        tokens = settled.usage.input_total + settled.usage.output_total
        return tokens * gpu_ns if unit == GPU else tokens
    return 1 if unit == REQUESTS else 0


def paid_by(journals: Path, chain: str) -> dict[str, int]:
    """By lease mark. Attempts that are still open count nothing: settle them first."""
    paid: dict[str, int] = {}
    opened: dict[str, tuple[tuple[str, ...], int]] = {}
    for line in Walk(journals, chain, Findings(), live=False).lines():
        try:
            entry = ENTRY_DECODER.decode(line.json)
        except UNREADABLE:
            continue  # whoever verifies the journal tells of it
        if isinstance(entry, Opened) and entry.paid_from:
            opened[entry.attempt_id] = entry.paid_from, entry.rates.gpu_ns
        elif isinstance(entry, Settled):
            marks, gpu_ns = opened.pop(entry.attempt_id, ((), 0))
            for mark in marks:
                paid[mark] = paid.get(mark, 0) + used(_unit(mark), entry, gpu_ns)
    return paid


def _unit(mark: str) -> str:
    """`scope/subject/unit/window@start#lease`, where a subject may hold anything."""
    return mark.rpartition("@")[0].rsplit("/", 2)[-2]
