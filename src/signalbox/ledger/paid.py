"""What a dead process had paid from each of its leases, read from its journal."""

from __future__ import annotations

from pathlib import Path

from signalbox.core.budgets import REQUESTS, TOKENS, USD
from signalbox.core.records import Opened, Settled
from signalbox.ledger.chain import ENTRY_DECODER, UNREADABLE
from signalbox.ledger.walk import Findings, Walk


def used(unit: str, settled: Settled) -> int:
    """What one attempt used of a unit. An attempt without a price costs no dollars that anybody knows of."""
    if unit == USD:
        return settled.cost_pico or 0
    if unit == TOKENS:
        return settled.usage.input_total + settled.usage.output_total
    return 1 if unit == REQUESTS else 0


def paid_by(journals: Path, chain: str) -> dict[str, int]:
    """By lease mark. Attempts that are still open count nothing: settle them first."""
    paid: dict[str, int] = {}
    opened: dict[str, tuple[str, ...]] = {}
    for line in Walk(journals, chain, Findings(), live=False).lines():
        try:
            entry = ENTRY_DECODER.decode(line.json)
        except UNREADABLE:
            continue  # whoever verifies the journal tells of it
        if isinstance(entry, Opened) and entry.paid_from:
            opened[entry.attempt_id] = entry.paid_from
        elif isinstance(entry, Settled):
            for mark in opened.pop(entry.attempt_id, ()):
                paid[mark] = paid.get(mark, 0) + used(_unit(mark), entry)
    return paid


def _unit(mark: str) -> str:
    """`scope/subject/unit/window@start#lease`, where a subject may hold anything."""
    return mark.rpartition("@")[0].rsplit("/", 2)[-2]
