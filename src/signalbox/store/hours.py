"""Spend by hour: what sums are read from, so that no question about money walks every attempt.

An attempt is added when its end arrives, in the transaction that stores the end, and only by the one that made it the
end: hours and attempts never disagree.
"""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.core.ports import AttemptFilter
from signalbox.store.rows import OPEN
from signalbox.store.statements import Statements

HOUR_MS = 3_600_000
# A sum of pico-dollars passes 2**63 at nine million dollars: millionths and the rest are summed apart.
MICRO = 10**6
_IDS_AT_ONCE = 5000

_NAMES = ("tenant", "team", "key_id", "workload", "deployment", "environment", "model", "api", "tier", "state",
          "usage_source", "config")  # fmt: skip
# Column of spend_hours -> the sum over attempts that it holds.
SUMS = {
    "attempts": "COUNT(*)",
    "tokens_in": "SUM(tokens_in + audio_in)",
    "cache_read": "SUM(cache_read)",
    "cache_write": "SUM(cache_write_5m + cache_write_1h)",
    "tokens_out": "SUM(tokens_out + reasoning + audio_out)",
    "cost_micro": f"COALESCE(SUM(cost_pico / {MICRO}), 0)",
    "cost_rest": f"COALESCE(SUM(cost_pico % {MICRO}), 0)",
    "unpriced": "COUNT(*) - COUNT(cost_pico)",
}
# Dimensions that have too many values to be kept by hour, and what only attempts know.
_OF_ATTEMPTS = frozenset({"user", "session", "tag"})

_HOUR = f"time_ms / {HOUR_MS} * {HOUR_MS}"
_GROUPED = f"{_HOUR}, {', '.join(_NAMES)}"
# Both lists as a migration needs them, too.
FILL = (
    f"INSERT INTO spend_hours (time_ms, {', '.join(_NAMES)}, {', '.join(SUMS)})"  # noqa: S608
    f" SELECT {_GROUPED}, {', '.join(SUMS.values())} FROM attempts WHERE {{which}} GROUP BY {_GROUPED}"
)
CREATE = (
    "CREATE TABLE spend_hours (time_ms INTEGER NOT NULL, "
    + ", ".join(f"{name} TEXT NOT NULL" for name in _NAMES)
    + ", "
    + ", ".join(f"{name} INTEGER NOT NULL" for name in SUMS)
    + f", PRIMARY KEY (time_ms, {', '.join(_NAMES)})) STRICT, WITHOUT ROWID"
)
# Two processes that add to the same hours do so in one order, so that neither waits for the other for ever.
_ADD = (
    FILL
    + f" ORDER BY {_GROUPED} ON CONFLICT (time_ms, {', '.join(_NAMES)}) DO UPDATE SET "
    + ", ".join(f"{name} = spend_hours.{name} + excluded.{name}" for name in SUMS)
)


def not_ended(connection: Statements, attempt_ids: Sequence[str]) -> list[str]:
    """Those of the attempts whose end is not stored yet."""
    ended: set[str] = set()
    for part in _parts(attempt_ids):
        marks = ", ".join("?" * len(part))
        sql = f"SELECT attempt_id FROM attempts WHERE state <> '{OPEN}' AND attempt_id IN ({marks})"  # noqa: S608
        ended.update(row[0] for row in connection.execute(sql, part).fetchall())
    return [attempt_id for attempt_id in dict.fromkeys(attempt_ids) if attempt_id not in ended]


def add(connection: Statements, attempt_ids: Sequence[str]) -> None:
    """Adds attempts that have just got their end."""
    for part in _parts(attempt_ids):
        connection.execute(_ADD.format(which=f"attempt_id IN ({', '.join('?' * len(part))})"), part)


def answers(where: AttemptFilter, dimension: str | None) -> bool:
    """Whether hours tell as much as the attempts themselves."""
    aligned = not ((where.since_ms or 0) % HOUR_MS or (where.until_ms or 0) % HOUR_MS)
    plain = where.label is None and not where.include_open and where.state != OPEN
    return aligned and plain and dimension not in _OF_ATTEMPTS


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _IDS_AT_ONCE] for start in range(0, len(ids), _IDS_AT_ONCE)]
