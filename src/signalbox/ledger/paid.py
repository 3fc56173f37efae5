"""What a dead process had paid from each of its leases, read from its journal."""

from __future__ import annotations

from pathlib import Path

from signalbox.core.budgets import GPU, REQUESTS, TOKENS, USD
from signalbox.core.records import Opened, Settled
from signalbox.core.usage import Rates
from signalbox.ledger.chain import ENTRY_DECODER, UNREADABLE
from signalbox.ledger.walk import Findings, Walk
from signalbox.pricing.cost import at_dearest

_NO_RATES = Rates()


def used(unit: str, settled: Settled, rates: Rates) -> int:
    """What one attempt used of a unit. rates: those that it was opened at, by which one is counted whose cost is
    unknown."""
    if unit == USD:
        return settled.cost_pico if settled.cost_pico is not None else at_dearest(settled.usage, rates)
    if unit in (TOKENS, GPU):
        tokens = settled.usage.input_total + settled.usage.output_total
        return tokens * rates.gpu_ns if unit == GPU else tokens
    return 1 if unit == REQUESTS else 0


def paid_by(journals: Path, chain: str) -> dict[str, int]:
    """By lease mark. Attempts that are still open count nothing: settle them first."""
    paid: dict[str, int] = {}
    opened: dict[str, tuple[tuple[str, ...], Rates]] = {}
    for line in Walk(journals, chain, Findings(), live=False).lines():
        try:
            entry = ENTRY_DECODER.decode(line.json)
        except UNREADABLE:
            continue  # whoever verifies the journal tells of it
        if isinstance(entry, Opened) and entry.paid_from:
            opened[entry.attempt_id] = entry.paid_from, entry.rates
        elif isinstance(entry, Settled):
            marks, rates = opened.pop(entry.attempt_id, ((), _NO_RATES))
            for mark in marks:
                paid[mark] = paid.get(mark, 0) + used(_unit(mark), entry, rates)
    return paid


def _unit(mark: str) -> str:
    """`scope/subject/unit/window@start#lease`, where a subject may hold anything."""
    return mark.rpartition("@")[0].rsplit("/", 2)[-2]
