"""Sums and attempts never disagree: whatever is shipped, killed, dropped and read in between, and by which version."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import postgres
from signalbox.core.attempts import DIMENSIONS, AttemptFilter, AttemptRow, AttemptSum
from signalbox.core.days import DAY_MS, HOUR_MS
from signalbox.core.errors import StoreError
from signalbox.core.ports import Retention, ShipMark, Store
from signalbox.core.records import Opened, Record, Settled
from signalbox.core.usage import Usage
from signalbox.store import STORES, cubes, ended, names, open_store, rollups, rows, summing, tally
from signalbox.store.sql import SqlStore

BASE_MS = 20_700 * DAY_MS
LABELS = (("public",), ("restricted", "phi"))


@pytest.fixture(params=sorted(STORES))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return postgres.fresh_url() if request.param == "postgresql" else f"sqlite:{tmp_path}/s.db"


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    with contextlib.closing(open_store(url)) as opened:
        assert isinstance(opened, SqlStore)
        yield opened


def _pair(number: int, chance: Random, **changes: Any) -> tuple[Opened, Settled]:
    time_ms = BASE_MS - chance.randrange(3) * DAY_MS + chance.randrange(DAY_MS)
    opened = Opened(
        f"req_{number:06d}-1", f"req_{number:06d}", time_ms, "acme", f"t{number % 2}", f"k{chance.randrange(4)}",
        chance.choice(("chat", "mail")), chance.choice(("d1", "d2")), "e1", "m", "chat", LABELS[number % 2], "fixed",
        "v", user=chance.choice(("", "ann", "b\0b", "b\ufffdb")), session=chance.choice(("", "s1", f"s{number}")),
        tags=chance.choice(((), ("red",), ("", "blue"))),
    )  # fmt: skip
    cost = None if number % 9 == 0 else number * 10**6 + 1
    usage = Usage(tokens_in=number, cache_read=3, tokens_out=2, tier=chance.choice(("", "flex")))
    settled = Settled(opened.attempt_id, time_ms + 5, "settled", usage, "provider", cost)
    return msgspec.structs.replace(opened, **changes), settled


def _ship(store: Store, records: list[Record], chain: str = "c") -> None:
    before = store.shipped(chain)
    seq = (before.seq if before else 0) + len(records)
    assert store.ship(before, ShipMark(chain, 1, seq, seq, f"{seq}"), records)


def _name(row: AttemptRow, dimension: str) -> str:
    if dimension == "day":
        return f"{row.time_ms // DAY_MS}"
    if dimension == "tag":
        return row.tags[0] if row.tags else ""
    return str(getattr(row, {"user": "end_user", "config_version": "config"}.get(dimension, dimension)))


def _figures(one: AttemptSum) -> tuple[int, ...]:
    return one.attempts, one.tokens_in, one.cache_read, one.tokens_out, one.cost_pico, one.unpriced


def _by_hand(found: list[AttemptRow], dimension: str) -> dict[str, tuple[int, ...]]:
    """Names as sums keep them: NUL is none that every database can hold."""
    sums: dict[str, tuple[int, ...]] = {}
    for row in found:
        name = _name(row, dimension).replace("\0", "\ufffd")
        told = (1, row.tokens_in, row.cache_read, row.tokens_out, row.cost_pico or 0, int(row.cost_pico is None))
        sums[name] = tuple(map(sum, zip(sums.get(name, (0,) * 6), told, strict=True)))
    return sums


def _agree(store: Store, where: AttemptFilter, dimensions: tuple[str, ...] = DIMENSIONS) -> None:
    found = list(store.attempts(where))
    for dimension in dimensions:
        by_hand = _by_hand(found, dimension)
        told: dict[str, tuple[int, ...]] = {}
        for one in store.sum_attempts(where, dimension):
            name = one.group.replace("\0", "\ufffd")
            told[name] = tuple(map(sum, zip(told.get(name, (0,) * 6), _figures(one), strict=True)))
        # Days are named in another way here.
        same = sorted(told.values()) == sorted(by_hand.values()) if dimension == "day" else told == by_hand
        assert same, (where, dimension)
        top = store.sum_top(where, dimension, 3)
        assert _figures(top.total) == tuple(map(sum, zip(*by_hand.values(), strict=True))) if by_hand else True
        costs = sorted((one.cost_pico for one in store.sum_attempts(where, dimension)), reverse=True)
        assert [one.cost_pico for one in top.top] == costs[:3], (where, dimension)


WHERES = [
    AttemptFilter(),
    AttemptFilter(since_ms=BASE_MS - DAY_MS + 7, until_ms=BASE_MS + 5 * HOUR_MS + 1, workload="mail", label="phi"),
    AttemptFilter(since_ms=BASE_MS - DAY_MS, until_ms=BASE_MS + DAY_MS, key_ids=("k1", "k2")),
    AttemptFilter(since_ms=BASE_MS + HOUR_MS - 3, until_ms=BASE_MS + 19 * HOUR_MS + 1),
    AttemptFilter(since_ms=BASE_MS - DAY_MS + 20 * HOUR_MS, until_ms=BASE_MS + 5 * HOUR_MS, team="t1"),
]
# former: what is there is as if version 16 of the schema had shipped it.
STEPS = ("ship", "kill", "read", "restart", "former")
LOOKED_AT = ("tenant", "key_id", "deployment", "user", "tag", "session", "day")


@pytest.mark.parametrize("where", WHERES, ids=str)
def test_every_dimension_agrees_with_the_attempts(store: SqlStore, where: AttemptFilter) -> None:
    chance = Random(5)
    for start in (0, 60):
        _ship(store, [one for number in range(start, start + 60) for one in _pair(number, chance)])
    _agree(store, where)


class Killed(Exception):
    """What a process that is killed in the middle of a transaction leaves: nothing of it."""


@given(data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("scheme", sorted(STORES))
def test_any_order_of_ships_kills_and_readers_gives_the_same_sums(
    tmp_path_factory: pytest.TempPathFactory, scheme: str, data: st.DataObject
) -> None:
    chance = Random(data.draw(st.integers(0, 10**6)))
    url = postgres.fresh_url() if scheme == "postgresql" else f"sqlite:{tmp_path_factory.mktemp('sums')}/s.db"
    # Two processes: what one remembers, the other does not.
    with contextlib.closing(open_store(url)) as one, contextlib.closing(open_store(url)) as other:
        stores = (one, other)
        left: dict[str, list[Record]] = {"a": [], "b": []}
        for number in range(40):
            left["ab"[number % 2]] += _pair(number, chance)
        for step in data.draw(st.lists(st.sampled_from(STEPS), min_size=4, max_size=14)):
            at, chain = data.draw(st.integers(0, 1)), data.draw(st.sampled_from("ab"))
            store = stores[at]
            assert isinstance(store, SqlStore)
            if step == "restart":
                store._numbers = names.Numbers()
            elif step == "read":
                _agree(store, data.draw(st.sampled_from(WHERES)), LOOKED_AT)
            elif step == "former":
                with store._transaction() as connection:
                    _as_version_16(connection)
            else:
                part = left[chain][: data.draw(st.integers(1, 14))]
                if step == "ship":
                    _ship(store, part, chain)
                    del left[chain][: len(part)]
                elif part:
                    _killed(store, part, chain)
        for chain, part in left.items():
            _ship(other, part, chain)
        _agree(one, AttemptFilter(), LOOKED_AT)
        assert one.sum_attempts(AttemptFilter(), None)[0].attempts == 40


def _killed(store: SqlStore, records: list[Record], chain: str) -> None:
    """All is written but the mark."""
    naming = names.Naming(store._numbers)
    batch = ended.Batch(ShipMark(chain, 1, 1, 1, "x"), records)
    with contextlib.suppress(Killed), store._transaction() as connection:
        batch.store(connection, store._room, naming)
        raise Killed


def test_what_the_version_before_ships_meanwhile_is_counted_once(store: SqlStore) -> None:
    chance = Random(11)
    _ship(store, [one for number in range(50) for one in _pair(number, chance, user="ann")])
    old = [rows.attempt_values(*_pair(number, chance, user="bob")) for number in range(100, 150)]
    with store._transaction() as connection:
        _as_before(store, connection, old)
    _ship(store, [one for number in range(50, 80) for one in _pair(number, chance, user="ann")])
    for where in WHERES:
        _agree(store, where)
    assert sum(one.attempts for one in store.sum_labels(AttemptFilter())) == 130


def _as_version_16(connection: Any) -> None:
    """Sums of sessions by day, and nothing of what came in their place."""
    new, old, of_all = (one.table for one in (cubes.SESSION_HOURS, cubes.SESSION_DAYS, cubes.IN_SESSION_DAYS))
    keys = f"time_ms / {DAY_MS} * {DAY_MS}, session, who, what"
    more = ", ".join(f"{name} = {old}.{name} + excluded.{name}" for name in rollups.SUMS)
    connection.execute(
        f"INSERT INTO {old} (time_ms, session, who, what, {', '.join(rollups.SUMS)})"
        f" SELECT {keys}, {', '.join(f'SUM({name})' for name in rollups.SUMS)} FROM {new} WHERE 1 = 1 GROUP BY {keys}"
        f" ON CONFLICT (time_ms, session, who, what) DO UPDATE SET {more}"
    )
    connection.execute(f"DELETE FROM {new}")
    connection.execute(f"DELETE FROM {of_all}")


@pytest.mark.parametrize("where", WHERES, ids=str)
def test_sessions_that_version_16_and_this_one_summed_up_are_counted_once(
    store: SqlStore, where: AttemptFilter
) -> None:
    chance = Random(7)
    _ship(store, [one for number in range(50) for one in _pair(number, chance)])
    with store._transaction() as connection:
        _as_version_16(connection)
    # Half of the days have both.
    for number in range(50, 90):
        _ship(store, list(_pair(number, chance, time_ms=BASE_MS + number * HOUR_MS // 2)))
    _agree(store, where)
    for grid in (("session", "tenant"), ("session", "day"), ("session", "hour")):
        by_hand = sorted(one.attempts for one in store.sum_attempts(where, "session"))
        told: dict[str, int] = {}
        for one in store.sum_grid(where, grid):
            told[one.groups[0]] = told.get(one.groups[0], 0) + one.sum.attempts
        assert sorted(told.values()) == by_hand, grid


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40), st.integers(0, 47)), min_size=1, max_size=60))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_costliest_sessions_are_those_of_the_whole_ranking(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, int, int]]
) -> None:
    """Many that cost the same, some in several hours, at the edges and beyond them."""
    chance = Random(1)
    with contextlib.closing(open_store(f"sqlite:{tmp_path_factory.mktemp('top')}/s.db")) as store:
        records: list[Record] = []
        for number, (session, cost, half_hours) in enumerate(calls):
            at = BASE_MS + half_hours * HOUR_MS // 2
            opened, settled = _pair(number, chance, session=f"s{session}" if session else "", time_ms=at)
            records += [opened, msgspec.structs.replace(settled, time_ms=at + 5, cost_pico=cost * 333_333)]
        _ship(store, records)
        for since, until in ((None, None), (HOUR_MS, 20 * HOUR_MS), (1, 23 * HOUR_MS + 1), (HOUR_MS // 3, None)):
            where = AttemptFilter(
                since_ms=None if since is None else BASE_MS + since, until_ms=None if until is None else BASE_MS + until
            )
            every = sorted(store.sum_attempts(where, "session"), key=lambda one: -one.cost_pico)
            for limit in (1, 3, 200):
                top = store.sum_top(where, "session", limit).top
                assert [one.cost_pico for one in top] == [one.cost_pico for one in every[:limit]]
                assert all(one in every for one in top)


def _as_before(store: SqlStore, connection: Any, old: list[tuple[object, ...]]) -> None:
    """As version 15 shipped attempts that had ended."""
    store._room(connection, {int(str(row[2])) // DAY_MS for row in old})
    connection.executemany(rows.INSERT_ENDED, old)
    rollups.add_late(connection, old)
    for rollup in rollups.ROLLUPS:
        if not rollup.late:
            connection.executemany(rollups._onto(rollup), tally.Tally(rollup.names).of(old, rollup.span_ms))
    named = [rows.ATTEMPT_COLUMNS.index(name) for name in ("tenant", "workload", "environment", "deployment", "labels")]
    onto = (
        "INSERT INTO label_days (time_ms, tenant, workload, environment, deployment, labels, attempts)"
        " VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT (time_ms, tenant, workload, environment, deployment, labels)"
        " DO UPDATE SET attempts = label_days.attempts + 1"
    )
    for row in old:
        connection.execute(onto, (int(str(row[2])) // DAY_MS * DAY_MS, *(row[at] for at in named)))


def test_names_are_forgotten_with_the_last_sums_that_speak_of_them(store: SqlStore) -> None:
    chance = Random(2)
    old = [_pair(number, chance, user="ann", session="old", time_ms=BASE_MS - 9 * DAY_MS) for number in range(5)]
    new = [_pair(number, chance, user="bob", session="new", time_ms=BASE_MS + 1) for number in range(5, 9)]
    _ship(store, [one for pair in old for one in pair])
    _ship(store, [one for pair in new for one in pair])
    while store.tidy(BASE_MS + HOUR_MS, Retention(attempts_days=4, sums_days=4)):
        pass
    with store._transaction() as connection:
        assert connection.execute("SELECT session FROM sum_session").fetchall() == [("new",)]
        assert connection.execute("SELECT DISTINCT end_user FROM sum_whom").fetchall() == [("bob",)]
    _agree(store, AttemptFilter())
    # Somebody who remembers the number of a name that is gone: the sums stay equal, and nobody else is charged.
    late = _pair(20, chance, user="ann", session="old", time_ms=BASE_MS - 9 * DAY_MS)
    _ship(store, list(late))
    assert sum(one.attempts for one in store.sum_attempts(AttemptFilter(), "session")) == 5
    assert {one.group for one in store.sum_attempts(AttemptFilter(), "session")} <= {"", "new", "old"}


def test_hours_that_are_over_are_settled_little_by_little(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summing, "SETTLED_AT_ONCE", 17)
    chance = Random(11)
    # The last of these hours is not over yet.
    now_ms = BASE_MS + DAY_MS + summing.SETTLED_AFTER_MS - HOUR_MS

    def unsettled() -> list[int]:
        return [row[0] for row in store._connection().execute("SELECT time_ms FROM sum_fresh").fetchall()]

    for first in (0, 60):
        # The second time what ends late, in hours that are settled.
        last_hour = _pair(first, chance, time_ms=BASE_MS + DAY_MS - 1)
        _ship(store, [*last_hour, *(one for number in range(first + 1, first + 60) for one in _pair(number, chance))])
        before, steps = len(unsettled()), 0
        while store.tidy(now_ms, Retention()):
            steps += 1
            if steps == 2:
                assert 1 < len(unsettled()) < before
                _agree(store, WHERES[3], LOOKED_AT)
        assert steps >= 3
        assert {*unsettled()} == {BASE_MS + DAY_MS - HOUR_MS}
        assert sum(one.attempts for one in store.sum_labels(AttemptFilter())) == first + 60
    for where in WHERES:
        _agree(store, where, LOOKED_AT)
    days = {row[0] for row in store._connection().execute("SELECT time_ms FROM sum_days").fetchall()}
    assert days == {BASE_MS, BASE_MS - DAY_MS, BASE_MS - 2 * DAY_MS}
    store.tidy(now_ms + HOUR_MS, Retention())
    assert not unsettled()
    _agree(store, WHERES[3])


def test_a_store_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    chance = Random(3)
    with contextlib.closing(open_store(f"sqlite:{tmp_path}/s.db")) as store:
        _ship(store, list(_pair(1, chance)))
        with contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as other:
            other.execute("ALTER TABLE sum_fresh RENAME TO gone")
            with pytest.raises(StoreError):
                _ship(store, list(_pair(2, chance)))
            other.execute("ALTER TABLE gone RENAME TO sum_fresh")
        _ship(store, list(_pair(2, chance)))
        _agree(store, AttemptFilter())
