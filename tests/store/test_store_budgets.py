"""Leases in the store: what every database must hold to, whoever asks and whenever."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import postgres
from signalbox.core.budgets import LeaseAsk, share_out
from signalbox.core.ports import Store
from signalbox.store import STORES, open_store

LIMIT = 1000


@pytest.fixture(params=sorted(STORES))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:{tmp_path}/s.db" if request.param == "sqlite" else postgres.fresh_url()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with contextlib.closing(open_store(url)) as opened:
        yield opened


def _ask(
    keep: int = 0, need: int = 0, want: int = 0, *, spent: int = 0, lease: int = 1, done: bool = False
) -> LeaseAsk:
    return LeaseAsk("key/k/usd/total", 0, 1 << 62, LIMIT, lease, keep, spent, need, want, done)


def test_what_is_lent_is_never_more_than_there_is(store: Store) -> None:
    (first,) = store.lend("a", [_ask(need=10, want=400)], 2)
    assert 10 <= first.extra <= 400
    (second,) = store.lend("b", [_ask(need=LIMIT, want=LIMIT)], 2)
    assert (second.extra, second.scarce) == (0, True)
    (third,) = store.lend("b", [_ask(need=LIMIT - first.extra, want=LIMIT)], 2)
    assert third.extra == LIMIT - first.extra
    assert sum(lease.granted for lease in store.leases()) == LIMIT


def test_what_is_given_back_is_there_for_others(store: Store) -> None:
    (first,) = store.lend("a", [_ask(need=LIMIT, want=LIMIT)], 1)
    assert first.extra == LIMIT
    store.lend("a", [_ask(keep=300, spent=100)], 1)
    (second,) = store.lend("b", [_ask(need=700)], 1)
    assert second.extra == 700


def test_a_lease_ends_once_and_what_was_spent_stays_spent(store: Store) -> None:
    store.lend("a", [_ask(need=100, want=100)], 1)
    for _ in range(3):
        store.lend("a", [_ask(keep=60, spent=60, done=True)], 1)
    assert store.leases() == []
    (balance,) = store.balances(5)
    assert (balance.spent, balance.leased, balance.used) == (60, 0, 0)
    (rest,) = store.lend("b", [_ask(need=LIMIT - 60)], 1)
    assert rest.extra == LIMIT - 60


def test_a_dead_holder_books_what_its_journal_says(store: Store) -> None:
    store.lend("dead", [_ask(need=100, want=100)], 1)
    store.lend("dead", [_ask(keep=100, spent=40)], 1)
    (lease,) = store.leases(["key/k/usd/total"])
    store.end_leases([(lease, 70)])
    store.end_leases([(lease, 70)])
    (balance,) = store.balances(5)
    assert (balance.spent, balance.leased) == (70, 0)


def test_periods_are_apart_and_old_minutes_are_forgotten(store: Store) -> None:
    for start in (0, 60_000):
        ask = LeaseAsk("key/k/requests/minute", start, start + 60_000, 5, 1, 0, 0, 5)
        assert store.lend("a", [ask], 1)[0].extra == 5
        done = LeaseAsk("key/k/requests/minute", start, start + 60_000, 5, 1, 5, 5, done=True)
        store.lend("a", [done], 1)
    assert [balance.start_ms for balance in store.balances(30_000)] == [0]
    store.forget_balances(61_000)
    assert store.balances(30_000) == []
    assert len(store.balances(70_000)) == 1


def test_many_at_once_never_hold_more_than_there_is(url: str) -> None:
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            with contextlib.closing(open_store(url)) as mine:
                kept = 0
                for _ in range(10):
                    (lent,) = mine.lend(f"h{number}", [_ask(keep=kept, need=7, want=40)], 6)
                    kept += lent.extra
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with contextlib.closing(open_store(url)) as store:
        total = sum(lease.granted for lease in store.leases())
    assert LIMIT - 7 < total <= LIMIT


@given(
    limit=st.integers(0, 10**15),
    taken=st.integers(0, 10**15),
    keep=st.integers(0, 10**15),
    need=st.integers(0, 10**15),
    want=st.integers(0, 10**16),
    processes=st.integers(0, 64),
)
@settings(deadline=None)
def test_a_share_is_useful_or_nothing_and_within_what_is_left(
    limit: int, taken: int, keep: int, need: int, want: int, processes: int
) -> None:
    lent = share_out(limit, taken, LeaseAsk("a", 0, 1, limit, 1, keep, 0, need, want), processes)
    assert lent.extra == 0 or max(need, 1) <= lent.extra <= max(0, limit - taken - keep)
    assert lent.extra <= max(need, want)
