"""Attempts by day: what is summed up of them, how they are dropped, and what older versions left in their own place."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

import postgres
from signalbox.core.attempts import DIMENSIONS, AttemptFilter, AttemptRow
from signalbox.core.ports import Retention, ShipMark, Store
from signalbox.core.records import Opened, Record, Refused, Settled
from signalbox.core.usage import Usage
from signalbox.store import STORES, migrations, open_store, sqlite
from signalbox.store.rows import ATTEMPT_COLUMNS, attempt_values
from signalbox.store.sql import SqlStore

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
TODAY_MS = 20_700 * DAY_MS
LABELS = (("public",), ("restricted", "phi"), ("confidential", "personal"))


@pytest.fixture(params=sorted(STORES))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return postgres.fresh_url() if request.param == "postgresql" else f"sqlite:{tmp_path}/s.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with contextlib.closing(open_store(url)) as opened:
        yield opened


def _attempts(count: int, days: int, seed: int = 3) -> list[tuple[Opened, Settled]]:
    """Over the last days, today included, of few users and sessions."""
    chance = Random(seed)
    made: list[tuple[Opened, Settled]] = []
    for number in range(count):
        time_ms = TODAY_MS - chance.randrange(days) * DAY_MS + chance.randrange(DAY_MS)
        opened = Opened(
            f"req_{seed}{number:05d}-1", f"req_{seed}{number:05d}", time_ms, "acme", f"t{number % 2}", f"k{number % 3}",
            chance.choice(("chat", "mail")), chance.choice(("d1", "d2")), "e1", "m", "chat", LABELS[number % 3],
            "fixed", "v", user=chance.choice(("", "ann", "bob")), session=chance.choice(("", "s1", "s2")),
            tags=chance.choice(((), ("red",), ("red", "blue"))),
        )  # fmt: skip
        cost = None if number % 9 == 0 else number * 10**6 + 1
        usage = Usage(tokens_in=number, tokens_out=2)
        made.append((opened, Settled(opened.attempt_id, time_ms + 5, "settled", usage, "provider", cost)))
    return made


def _ship(store: Store, records: list[Record], chain: str = "c") -> None:
    before = store.shipped(chain)
    seq = (before.seq if before else 0) + len(records)
    assert store.ship(before, ShipMark(chain, 1, seq, seq, f"{seq}"), records)


def _group(row: AttemptRow, dimension: str) -> str:
    if dimension == "day":
        return f"{row.time_ms // DAY_MS}"
    if dimension == "tag":
        return row.tags[0] if row.tags else ""
    return str(getattr(row, {"user": "end_user", "config_version": "config"}.get(dimension, dimension)))


def _by_hand(store: Store, where: AttemptFilter, dimension: str) -> list[tuple[int, int, int, int]]:
    """Attempts, input, cost and unpriced of each group, in no order: days are named in another way here."""
    sums: dict[str, list[int]] = {}
    for row in store.attempts(where):
        cell = sums.setdefault(_group(row, dimension), [0, 0, 0, 0])
        for place, value in enumerate((1, row.tokens_in, row.cost_pico or 0, int(row.cost_pico is None))):
            cell[place] += value
    return sorted((cell[0], cell[1], cell[2], cell[3]) for cell in sums.values())


SPANS = [
    {},
    {"since_ms": TODAY_MS - 3 * DAY_MS, "until_ms": TODAY_MS},
    {"since_ms": TODAY_MS - 3 * DAY_MS + 7, "until_ms": TODAY_MS + 12_345},
    {"since_ms": TODAY_MS - 2 * DAY_MS + HOUR_MS, "until_ms": TODAY_MS + 5 * HOUR_MS},
    {"since_ms": TODAY_MS + 10, "until_ms": TODAY_MS + HOUR_MS - 10},
    {"until_ms": TODAY_MS - DAY_MS + 1},
]
FILTERS: list[dict[str, Any]] = [{}, {"label": "phi"}, {"workload": "mail", "deployment": "d1"}, {"key_ids": ("k1",)}]


@pytest.mark.parametrize("span", SPANS, ids=str)
def test_sums_from_rollups_are_what_the_attempts_say(store: Store, span: dict[str, int]) -> None:
    made = _attempts(300, 5)
    _ship(store, [one for pair in made[:200] for one in pair])
    # Ends that come later, and attempts that stay open.
    _ship(store, [opened for opened, _ in made[200:]])
    _ship(store, [settled for _, settled in made[200:280]])
    for more in FILTERS:
        where = AttemptFilter(**span, **more)
        for dimension in DIMENSIONS:
            told = sorted(
                (s.attempts, s.tokens_in, s.cost_pico, s.unpriced) for s in store.sum_attempts(where, dimension)
            )
            assert told == _by_hand(store, where, dimension), (where, dimension)
        everything = msgspec.structs.replace(where, include_open=True)
        count = sum(s.attempts for s in store.sum_attempts(everything, "user"))
        assert count == len(list(store.attempts(everything)))


def test_what_is_past_its_retention_goes_and_sums_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "DROPPED_AT_ONCE", 7)
    made = _attempts(200, 10)
    records: list[Record] = [one for pair in made for one in pair]
    records += [
        Refused(f"no{day}", TODAY_MS - day * DAY_MS, "acme", "t", "k", "chat", (), "no_permitted_placement", "v")
        for day in range(10)
    ]
    lost = msgspec.structs.replace(made[0][0], attempt_id="lost-1", time_ms=TODAY_MS - 9 * DAY_MS)
    _ship(store, [*records, lost])
    before = store.sum_attempts(AttemptFilter(), "day")
    kept = Retention(attempts_days=4)
    steps = 0
    while store.tidy(TODAY_MS + HOUR_MS, kept):
        steps += 1
        assert steps < 200
    since_ms = TODAY_MS - 4 * DAY_MS
    rows = list(store.attempts(AttemptFilter(include_open=True)))
    assert {row.attempt_id for row in rows} == {o.attempt_id for o, _ in made if o.time_ms >= since_ms}
    assert {row.call_id for row in store.refused(AttemptFilter())} == {f"no{day}" for day in range(5)}
    # The money of days that are gone is still known.
    assert store.sum_attempts(AttemptFilter(), "day") == before
    while store.tidy(TODAY_MS + HOUR_MS, Retention(attempts_days=4, sums_days=6)):
        pass
    assert [one.group for one in store.sum_attempts(AttemptFilter(), "day")] == [one.group for one in before][-7:]
    # Whatever comes late has room.
    _ship(store, list(_attempts(1, 1, seed=8)[0]))
    late = msgspec.structs.replace(made[0][0], attempt_id="late-1", time_ms=5)
    _ship(store, [late, msgspec.structs.replace(made[0][1], attempt_id="late-1")])
    assert [row.attempt_id for row in store.attempts(AttemptFilter(until_ms=DAY_MS))] == ["late-1"]


def test_keeping_everything_drops_nothing(store: Store) -> None:
    _ship(store, [one for pair in _attempts(50, 400) for one in pair])
    while store.tidy(TODAY_MS, Retention()):
        pass
    assert len(list(store.attempts(AttemptFilter()))) == 50


def _like_an_older_version(store: SqlStore, pairs: list[tuple[Opened, Settled]]) -> None:
    """As versions before the table of days wrote attempts that had ended: all into one table, with what they summed."""
    marks = ", ".join("?" * len(ATTEMPT_COLUMNS))
    with store._transaction() as connection:
        rows = [attempt_values(*pair) for pair in pairs]
        connection.executemany(f"INSERT INTO attempts ({', '.join(ATTEMPT_COLUMNS)}) VALUES ({marks})", rows)
        for table, span_ms in (("spend_days", DAY_MS), ("spend_hours", HOUR_MS)):
            for opened, settled in pairs:
                connection.execute(
                    f"INSERT INTO {table} (time_ms, tenant, team, key_id, workload, deployment, environment, model,"
                    " api, tier, state, usage_source, config, attempts, tokens_in, cache_read, cache_write,"
                    " tokens_out, cost_micro, cost_rest, unpriced) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', 'settled',"
                    " 'provider', 'v', 1, ?, 0, 0, 2, ?, ?, ?) ON CONFLICT (time_ms, tenant, team, key_id, workload,"
                    " deployment, environment, model, api, tier, state, usage_source, config) DO UPDATE SET"
                    f" attempts = {table}.attempts + 1, tokens_in = {table}.tokens_in + excluded.tokens_in,"
                    f" tokens_out = {table}.tokens_out + 2, cost_micro = {table}.cost_micro + excluded.cost_micro,"
                    f" cost_rest = {table}.cost_rest + excluded.cost_rest,"
                    f" unpriced = {table}.unpriced + excluded.unpriced",
                    (
                        opened.time_ms // span_ms * span_ms, opened.tenant, opened.team, opened.key_id, opened.workload,
                        opened.deployment, opened.environment, opened.model, opened.api, settled.usage.tokens_in,
                        (settled.cost_pico or 0) // 10**6, (settled.cost_pico or 0) % 10**6, settled.cost_pico is None,
                    ),
                )  # fmt: skip


def test_what_older_versions_wrote_counts_once_before_and_after_it_is_moved(store: Store) -> None:
    assert isinstance(store, SqlStore)
    old, new = _attempts(120, 4, seed=1), _attempts(80, 4, seed=2)
    _like_an_older_version(store, old)
    _ship(store, [one for pair in new for one in pair])
    # An end that an older version has stored already, told once more.
    _ship(store, [msgspec.structs.replace(old[0][1], cost_pico=7)])

    def told() -> list[list[tuple[int, int, int, int]]]:
        return [
            sorted((s.attempts, s.tokens_in, s.cost_pico, s.unpriced) for s in store.sum_attempts(where, dimension))
            for where in (AttemptFilter(), AttemptFilter(since_ms=TODAY_MS - DAY_MS + 5), AttemptFilter(label="phi"))
            for dimension in DIMENSIONS
        ]

    before, page = told(), store.attempts_page(AttemptFilter(), None, 500)
    assert before[0] == _by_hand(store, AttemptFilter(), "tenant")
    assert sum(row[0] for row in before[0]) == 200
    while store.tidy(TODAY_MS, Retention()):
        pass
    assert told() == before
    assert store.attempts_page(AttemptFilter(), None, 500) == page
    with store._transaction() as connection:
        assert connection.execute("SELECT COUNT(*) FROM attempts").fetchone() == (0,)


def test_a_database_of_the_version_before_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its attempts are there at once; an older process that goes on writing is not disturbed."""
    step = next(n for n, (name, _) in enumerate(migrations.MIGRATIONS) if name.startswith("attempts that have ended"))
    path = tmp_path / "s.db"
    with monkeypatch.context() as older:
        for module in (migrations, sqlite):
            older.setattr(module, "MIGRATIONS", migrations.MIGRATIONS[:step])
        sqlite.SqliteStore(path).close()
    pairs = _attempts(10, 2)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        marks = ", ".join("?" * len(ATTEMPT_COLUMNS))
        statement = f"INSERT INTO attempts ({', '.join(ATTEMPT_COLUMNS)}) VALUES ({marks})"
        connection.executemany(statement, [attempt_values(*pair) for pair in pairs[:5]])
        connection.commit()
        with contextlib.closing(open_store(f"sqlite:{path}")) as store:
            connection.executemany(statement, [attempt_values(*pair) for pair in pairs[5:]])
            connection.commit()
            assert len(list(store.attempts(AttemptFilter()))) == 10
            assert sum(s.attempts for s in store.sum_attempts(AttemptFilter(), "user")) == 10


def test_a_partition_that_somebody_dropped_is_made_again(url: str) -> None:
    """One process has seen the day; another drops it; the first has something for it after all."""
    with contextlib.closing(open_store(url)) as one, contextlib.closing(open_store(url)) as other:
        old = [(o, s) for o, s in _attempts(60, 20) if o.time_ms < TODAY_MS - 10 * DAY_MS]
        _ship(one, list(old[0]))
        while other.tidy(TODAY_MS, Retention(attempts_days=5)):
            pass
        records: list[Record] = [*old[1]]
        with contextlib.suppress(Exception):
            _ship(one, records)
        if one.shipped("c") == ShipMark("c", 1, 2, 2, "2"):
            _ship(one, records)
        assert [row.attempt_id for row in one.attempts(AttemptFilter())] == [old[1][0].attempt_id]
