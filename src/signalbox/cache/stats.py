"""What the counters of the cache's file say, as the command line and the control plane tell it."""

from __future__ import annotations

from typing import Any

from signalbox.cache.shelf import Figures
from signalbox.core.usage import usd

# Outcomes that are answers from the cache.
GIVEN = ("exact", "joined", "semantic")
SAVED = "saved_pico"


def told(found: Figures) -> dict[str, Any]:
    """Entries and bytes on the disk, and for each workload the share of hits among looked-up calls, what they saved,
    and every outcome with its count."""
    return {
        "entries": found.entries,
        "bytes": found.bytes,
        "workloads": [_workload(name, counts) for name, counts in found.workloads.items()],
    }


def _workload(name: str, counts: dict[str, int]) -> dict[str, Any]:
    given = sum(counts.get(kind, 0) for kind in GIVEN)
    asked = given + counts.get("miss", 0)
    outcomes = {outcome: count for outcome, count in counts.items() if outcome != SAVED}
    share = round(given / asked, 4) if asked else None
    return {"workload": name, "hit_share": share, "saved_usd": usd(counts.get(SAVED, 0)), "outcomes": outcomes}
