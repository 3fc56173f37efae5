"""Attempts as a Parquet file, for whoever asks more of them than this program answers."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from signalbox.core.errors import ConfigError

ROWS_PER_GROUP = 50_000
# cost_usd is exact: up to 26 digits before the point, 12 behind it, which is a pico-dollar.
_COST = (38, 12)
_INTEGERS = frozenset({"tokens_in", "tokens_cache_read", "tokens_cache_write", "tokens_out", "attempt", "status",
                       "ttft_ms", "duration_ms"})  # fmt: skip
_LISTS = frozenset({"labels", "tags", "usage_unknown"})
_TEXTS = (
    "attempt_id", "call_id", "tenant", "team", "key_id", "workload", "deployment", "environment", "model", "api",
    "state", "usage_source", "service_tier", "user", "session", "reason", "config_version", "error",
)  # fmt: skip


def export(rows: Iterator[dict[str, object]], path: Path) -> int:
    """Writes rows as `ledger.query` gives them and returns how many. Raises ConfigError without the extra."""
    arrow, parquet = _extra()
    text = arrow.string()
    fields: list[Any] = [arrow.field("time", arrow.timestamp("ms", "UTC")), arrow.field("stream", arrow.bool_())]
    fields += [arrow.field(name, text) for name in _TEXTS]
    fields += [arrow.field(name, arrow.int64()) for name in sorted(_INTEGERS)]
    fields += [arrow.field(name, arrow.list_(text)) for name in sorted(_LISTS)]
    fields.append(arrow.field("cost_usd", arrow.decimal128(*_COST)))
    schema: Any = arrow.schema(fields)
    fresh = path.with_name(f".{path.name}.new")
    count = 0
    try:
        with parquet.ParquetWriter(fresh, schema, compression="zstd") as writer:
            while batch := list(islice(rows, ROWS_PER_GROUP)):
                writer.write_table(arrow.Table.from_pydict(_columns(batch, schema.names), schema=schema))
                count += len(batch)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be written ({error.strerror})."]) from None
    finally:
        fresh.unlink(missing_ok=True)
    return count


def sums(by: str, rows: Iterable[tuple[date, str, Decimal]]) -> bytes:
    """A small table of costs by day and one dimension, as a file. Raises ConfigError without the extra."""
    arrow, parquet = _extra()
    fields = [("day", arrow.date32()), (by, arrow.string()), ("cost_usd", arrow.decimal128(*_COST))]
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    sink: Any = arrow.BufferOutputStream()
    table: Any = arrow.Table.from_arrays(
        [arrow.array(column, kind) for column, (_, kind) in zip(columns, fields, strict=True)],
        schema=arrow.schema(fields),
    )
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _extra() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError(["Parquet needs an extra: install signalbox[parquet]."]) from None


def _columns(batch: list[dict[str, object]], names: list[str]) -> dict[str, list[object]]:
    return {name: [_cell(name, row) for row in batch] for name in names}


def _cell(name: str, row: dict[str, object]) -> object:
    value = row.get(name)
    if name == "time":
        return datetime.fromisoformat(str(value))
    if name == "cost_usd":
        return None if value is None else Decimal(str(value))
    if value is None:
        return [] if name in _LISTS else ""
    return value
