"""The answers of `ledger query`: the fields others rely on, filters, sums."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from signalbox.core.attempts import DIMENSIONS
from signalbox.core.errors import ConfigError
from signalbox.core.ports import ShipMark, Store
from signalbox.core.records import Refused
from signalbox.core.usage import Usage
from signalbox.ledger.query import FILTERS, iso_time, query, query_refused, read_filters
from signalbox.store import open_store


@pytest.fixture
def store(tmp_path: Path, opened, settled) -> Iterator[Store]:
    usage = Usage(
        tokens_in=1, audio_in=2, cache_read=4, cache_write_5m=8, cache_write_1h=16, tokens_out=32, reasoning=64,
        audio_out=128,
    )  # fmt: skip
    records = [
        opened("a", time_ms=1_790_000_000_123),
        settled("a", usage=usage, cost_pico=1_500_000),
        opened("b", time_ms=1_790_000_100_000, workload="other", environment="openai-us", labels=("public",)),
        settled("b", state="cancelled", source="estimated", cost_pico=None, error="client_gone", status=0),
        opened("c", time_ms=1_790_000_200_000),
    ]
    with contextlib.closing(open_store(f"sqlite:{tmp_path}/s.db")) as found:
        assert found.ship(None, ShipMark("w", 1, 1, len(records), "0" * 64), records)
        yield found


def test_the_contract(store: Store) -> None:
    first = next(query(store, {}))
    assert json.loads(json.dumps(first)) == {
        "attempt_id": "a",
        "call_id": "call-a",
        "time": "2026-09-21T14:13:20.123Z",
        "tenant": "default",
        "team": "support",
        "key_id": "k1",
        "workload": "support-chat",
        "deployment": "mini",
        "environment": "dc-fra",
        "model": "tiny-1",
        "labels": ["confidential", "personal"],
        "state": "settled",
        "tokens_in": 3,
        "tokens_cache_read": 4,
        "tokens_cache_write": 24,
        "tokens_out": 224,
        "cost_usd": "0.0000015",
        "usage_source": "provider",
        "reason": "first of 3 permitted",
        "config_version": "c0ffee",
        "attempt": 1,
        "api": "chat",
        "stream": False,
        "status": 200,
        "error": "",
        "ttft_ms": 120,
        "duration_ms": 1000,
        "usage_unknown": [],
    }


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, "ab"),
        ({"since": "2026-09-21"}, "ab"),
        ({"until": "2026-09-21"}, "ab"),
        ({"until": "2026-09-20"}, ""),
        ({"since": "2026-09-21T14:14:00Z"}, "b"),
        ({"since": "2026-09-21T16:14:00+02:00"}, "b"),
        ({"until": "2026-09-21T14:14:00"}, "a"),
        ({"workload": "other"}, "b"),
        ({"label": "personal", "environment": "dc-fra", "deployment": "mini", "key": "k1"}, "a"),
        ({"state": "cancelled"}, "b"),
        ({"state": "open"}, "c"),
        ({"key": "nobody"}, ""),
    ],
)
def test_filters(store: Store, filters: dict[str, str], expected: str) -> None:
    assert "".join(str(row["attempt_id"]) for row in query(store, filters)) == expected


def test_open_attempts_on_request(store: Store) -> None:
    rows = list(query(store, {}, include_open=True))
    assert [(row["attempt_id"], row["state"], row["cost_usd"]) for row in rows][-1] == ("c", "open", None)


def test_an_unpriced_attempt_has_no_price(store: Store) -> None:
    assert [row["cost_usd"] for row in query(store, {"workload": "other"})] == [None]


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_group_by(store: Store, dimension: str) -> None:
    rows = list(query(store, {}, group_by=dimension))
    assert sum(int(str(row["attempts"])) for row in rows) == 2
    assert all(set(row) == {dimension, "attempts", "tokens_in", "tokens_cache_read", "tokens_cache_write",
                            "cached_share", "tokens_out", "cost_usd", "unpriced"} for row in rows)  # fmt: skip


def test_a_group_counts_what_it_cannot_price(store: Store) -> None:
    rows = {row["environment"]: row for row in query(store, {}, group_by="environment")}
    assert (rows["dc-fra"]["cost_usd"], rows["dc-fra"]["unpriced"]) == ("0.0000015", 0)
    assert (rows["openai-us"]["cost_usd"], rows["openai-us"]["unpriced"]) == ("0", 1)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"since": "yesterday"}, "since: 'yesterday' is no time"),
        ({"since": "2026-13-01"}, "is no time"),
        ({"until": "9999-12-31"}, "is no time"),
        ({"since": ""}, "is no time"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, "is not before"),
        ({"state": "done"}, "is no state"),
        ({"label": "fun"}, "is no data class"),
        ({"wrokload": "x"}, "no such filter"),
    ],
)
def test_filters_that_cannot_be_meant(store: Store, filters: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        query(store, filters)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read_filters({"since": "x", "state": "y", "label": "z", "nope": "n"})
    assert len(caught.value.problems) == 4


def test_an_unknown_dimension(store: Store) -> None:
    with pytest.raises(ConfigError, match="no dimension"):
        query(store, {}, group_by="secret_hmac")


def test_filters_are_all_used(store: Store) -> None:
    values = dict.fromkeys(FILTERS, "x") | {"since": "2026-01-01", "until": "2026-01-02", "state": "failed",
                                                "label": "phi"}  # fmt: skip
    where = read_filters(values)
    # What only programs ask for has no word on the command line.
    asked = [name for name in where.__struct_fields__ if name not in ("include_open", "key_ids")]
    assert None not in [getattr(where, name) for name in asked]


@pytest.mark.parametrize("time_ms", [-(2**62), -1, 0, 2**62])
def test_any_time_has_a_form(time_ms: int) -> None:
    assert iso_time(time_ms).endswith("Z")


def test_refused_calls_are_told_apart_from_attempts(store: Store) -> None:
    call = Refused("call-r", 1_790_000_000_500, "acme", "", "k1", "triage", ("restricted", "phi"), "no_capable", "c0de")
    assert store.ship(None, ShipMark("x", 1, 1, 1, "0" * 64), [call])
    (row,) = query_refused(store, {"label": "phi"})
    assert row == {
        "call_id": "call-r",
        "time": "2026-09-21T14:13:20.500Z",
        "tenant": "acme",
        "team": "",
        "key_id": "k1",
        "workload": "triage",
        "labels": ["restricted", "phi"],
        "reason": "no_capable",
        "config_version": "c0de",
        "rules": [],
    }
    assert list(query_refused(store, {"tenant": "other"})) == []
    with pytest.raises(ConfigError, match="deployment: a refused call has none"):
        query_refused(store, {"deployment": "mini"})
