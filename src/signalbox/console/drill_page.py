"""What the page of a drill shows of its result: the figures in groups, and its tables."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.console import breaker_chart
from signalbox.control.drills import Drill

# (name in the result, title): what a good drill has none of, and what it counted.
MUST_BE_ZERO = (
    ("escapes", "Escapes"),
    ("refused_but_permitted", "Refused though permitted"),
    ("unlabelled", "Content overlooked"),
    ("unrecorded", "Not in the ledger"),
    ("defects", "Defects"),
    ("dishonest", "Dishonest ends"),
    ("unopened", "Breakers that stayed closed"),
    ("lost", "Not used again"),
)
COUNTED = (
    ("calls", "Calls"),
    ("attempts", "Requests at providers"),
    ("answered", "Answered"),
    ("refused", "Refused by rules"),
    ("incapable", "Nothing able permitted"),
    ("unanswered", "All permitted ones failed"),
)
_TABLES = (
    ("environments", "Environments"), ("rules", "Rules"), ("workloads", "Workloads"), ("outages", "Deployments"),
)  # fmt: skip
_GOOD = {
    "escapes": "Nothing escaped, nothing was overlooked.",
    "faults": "Every call ended well, or honestly.",
    "outages": "Whatever went down was left alone, and used again when it was back.",
}


class Table(msgspec.Struct, frozen=True):
    columns: list[str]
    rows: list[tuple[str, list[Any]]]


def shown(drill: Drill) -> dict[str, Any]:
    """What the template needs beside the drill itself."""
    found = [(title, _table(drill.result.get(name))) for name, title in _TABLES]
    return {
        "drill": drill,
        "signals": breaker_chart.rows(drill.seen),
        "must_be_zero": MUST_BE_ZERO,
        "counted": COUNTED,
        "good_said": _GOOD.get(drill.kind, "Nothing was found."),
        "tables": [(title, table) for title, table in found if table is not None],
    }


def _table(value: object) -> Table | None:
    """A mapping of mappings with the same names each."""
    rows = {key: each for key, each in _mapping(value).items() if _mapping(each)}
    if not rows:
        return None
    columns = list(dict.fromkeys(name for each in rows.values() for name in _mapping(each)))
    return Table(columns, [(key, [_mapping(each).get(name) for name in columns]) for key, each in rows.items()])


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
