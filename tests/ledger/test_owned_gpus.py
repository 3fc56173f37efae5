"""GPUs of one's own: the rows of a deployment's day add up to GPU-hours × price, to the pico-dollar, in every store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import postgres
from signalbox.config.load import load_text
from signalbox.control.true_up import CHAIN, CLOSE_AFTER_MS, TAKE_OVER_MS, Closing
from signalbox.core.attempts import AttemptFilter
from signalbox.core.days import DAY_MS, HOUR_MS, day_of, ms_of
from signalbox.core.errors import ConfigError
from signalbox.core.ports import Store
from signalbox.core.records import Opened, Settled
from signalbox.core.usage import PICO, Usage
from signalbox.ledger import apart
from signalbox.ledger.owned import OwnedDay, busy, note, owned_days
from signalbox.ledger.provider_export import Charge
from signalbox.ledger.reconcile import reconcile
from signalbox.ledger.ship import Shipping
from signalbox.ledger.verify import verify
from signalbox.policy.prices import held_gpus
from signalbox.pricing.owned import Holding, Step, gpu_ms, merged, owed_pico
from signalbox.store import STORES, open_store

DAY = date(2026, 10, 25)  # clocks in Europe go back: a day of 25 hours there, of 24 in the ledger
START_MS = ms_of(DAY)
CLOSES_MS = START_MS + DAY_MS + CLOSE_AFTER_MS
STEP = Step(0, 16, 2_750_000_000_001)
OWED = 16 * 24 * 2_750_000_000_001


@pytest.fixture(params=sorted(STORES))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:{tmp_path}/s.db" if request.param == "sqlite" else postgres.fresh_url()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with contextlib.closing(open_store(url)) as opened:
        yield opened


class Books:
    """One machine's journal over the store, with a deployment that holds GPUs since the day before DAY."""

    def __init__(self, store: Store, journals: Path) -> None:
        self.store = store
        self.journals = journals
        self.closing = Closing(journals)
        note(store, {"llama": ("dc", "llama-70b", (STEP,))}, START_MS - DAY_MS)

    def call(self, name: str, pico: int, at_ms: int = START_MS + 1) -> None:
        opened = Opened(name, name, at_ms, "acme", "t", "k", "w", "llama", "dc", "llama-70b", "chat", (), "first", "v")
        apart.write(self.journals, "w0", [opened, Settled(name, at_ms, "settled", Usage(7), "provider", pico)])

    def close(self, now_ms: int = CLOSES_MS) -> int:
        """One turn, with what it wrote shipped."""
        self.ship()
        written = self.closing.close(self.store, now_ms)
        self.ship()
        return written

    def ship(self) -> None:
        Shipping(self.store, self.journals).ship_once()

    def day(self) -> OwnedDay:
        (found,) = owned_days(self.store, DAY, DAY)
        return found

    def total(self) -> int:
        where = AttemptFilter(since_ms=START_MS, until_ms=START_MS + DAY_MS, deployment="llama")
        (found,) = self.store.sum_attempts(where, None)
        assert sum(row.cost_pico or 0 for row in self.store.attempts(where)) == found.cost_pico
        return found.cost_pico


def test_what_nobody_used_is_idle_and_late_rows_are_met_by_a_true_up(store: Store, tmp_path: Path) -> None:
    books = Books(store, tmp_path / "journal")
    books.call("a", 1_234_567_890_123)
    assert books.close(CLOSES_MS - 1) == 1  # the day before is over, this one is not yet
    assert books.close() == 1
    assert books.total() == OWED
    assert (books.day().idle_pico, books.day().true_up_pico) == (OWED - 1_234_567_890_123, 0)
    assert books.close() == 0
    books.call("late", 77)
    assert books.close(CLOSES_MS + DAY_MS) == 2  # the correction, and the next day
    assert books.total() == OWED
    assert books.day().true_up_pico == -77
    assert books.close(CLOSES_MS + DAY_MS) == 0
    assert books.day().rest_pico == 0
    assert books.day().attempts == 2
    (idle,) = store.attempts(AttemptFilter(state="idle", since_ms=START_MS, until_ms=START_MS + DAY_MS))
    assert (idle.tenant, idle.workload, idle.deployment, idle.usage_source) == ("infra", "infra", "llama", "none")
    assert "384 GPU-hours" in idle.reason
    assert verify(books.journals, store.shipped_all()).ok


def test_of_a_day_that_is_not_over_what_is_owed_by_now_is_told(store: Store, tmp_path: Path) -> None:
    Books(store, tmp_path / "journal")
    tomorrow = DAY + timedelta(days=1)
    (today, before) = owned_days(store, DAY - timedelta(days=1), tomorrow, now_ms=START_MS + 6 * HOUR_MS)
    assert (today.day, today.gpu_hours, today.owed_pico) == (DAY, 16 * 6, OWED // 4)
    assert before.gpu_hours == 16 * 24
    assert len(owned_days(store, DAY, tomorrow)) == 2


def test_no_providers_bill_is_explained_by_what_is_idle(store: Store, tmp_path: Path) -> None:
    books = Books(store, tmp_path / "journal")
    books.call("a", PICO)
    books.close()
    bill = [Charge(2, DAY.isoformat(), "llama-70b", Decimal(5))]
    found = reconcile(bill, store.attempts(AttemptFilter()))
    assert (found.ledger_usd, found.explained_usd) == ("1", "1")


def test_calls_that_were_charged_more_than_the_gpus_cost_get_it_back(store: Store, tmp_path: Path) -> None:
    books = Books(store, tmp_path / "journal")
    books.call("a", OWED + 5)
    books.close()
    assert books.total() == OWED
    assert (books.day().idle_pico, books.day().true_up_pico) == (0, -5)


def test_two_machines_and_a_crash_book_it_once(store: Store, tmp_path: Path) -> None:
    one, other = Books(store, tmp_path / "one"), Books(store, tmp_path / "other")
    one.ship()
    assert one.closing.close(store, CLOSES_MS) == 2
    assert other.closing.close(store, CLOSES_MS) == 0  # agreed, and on its way
    # The first one is gone before it could ship: whoever finds that later writes what was agreed.
    assert other.closing.close(store, CLOSES_MS + TAKE_OVER_MS) == 2
    assert Closing(other.journals).close(store, CLOSES_MS + TAKE_OVER_MS) == 0  # a new process knows its journal
    other.ship()
    assert one.total() == OWED
    one.ship()  # it comes back with the same rows
    assert one.total() == OWED
    assert one.day().rows == 1
    assert one.close(CLOSES_MS + TAKE_OVER_MS) == 0


def test_amounts_beyond_a_row_take_several(store: Store, tmp_path: Path) -> None:
    books = Books(store, tmp_path / "journal")
    note(store, {"llama": ("dc", "llama-70b", (Step(0, 100_000, 10 * PICO),))}, START_MS)
    for _ in range(8):
        books.close()
    assert books.total() == 100_000 * 24 * 10 * PICO
    assert books.day().rest_pico == 0


def test_what_is_held_follows_the_configurations_that_were_in_force(store: Store, tmp_path: Path) -> None:
    books = Books(store, tmp_path / "journal")
    noon_ms = START_MS + 12 * HOUR_MS
    assert not note(store, {"llama": ("dc", "llama-70b", (STEP,))}, noon_ms)
    assert note(store, {}, noon_ms)  # it is gone from the file
    books.close()
    assert books.total() == OWED // 2
    assert books.day().gpu_hours == 16 * 12
    assert owned_days(store, DAY + timedelta(days=1), DAY + timedelta(days=1)) == []


def test_a_day_of_other_deployments_is_left_alone(store: Store, tmp_path: Path) -> None:
    journals = tmp_path / "journal"
    apart.write(
        journals, "w0", [Opened("a", "a", START_MS, "t", "", "k", "w", "cloud", "e", "m", "chat", (), "r", "v")]
    )
    assert Closing(journals).close(store, CLOSES_MS) == 0
    assert not (journals / CHAIN).exists()


def test_replicas_that_go_when_nobody_calls_are_owed_while_they_are_there(store: Store, tmp_path: Path) -> None:
    """To the pico-dollar: from the beginning of each call to five minutes after its end, over midnight too."""
    books = Books(store, tmp_path / "journal")
    minute = 60_000
    goes = Step(0, 16, 2_750_000_000_001, idle_ms=5 * minute)
    note(store, {"llama": ("dc", "llama-70b", (goes,))}, START_MS - DAY_MS)

    def ran(name: str, at_ms: int, duration_ms: int) -> None:
        opened = Opened(name, name, at_ms, "acme", "t", "k", "w", "llama", "dc", "llama-70b", "chat", (), "first", "v")
        end = Settled(name, at_ms + duration_ms, "settled", Usage(7), "provider", 1000, duration_ms=duration_ms)
        apart.write(books.journals, "w0", [opened, end])

    def owed(held_ms: int) -> int:
        return -(-16 * 2_750_000_000_001 * held_ms // HOUR_MS)

    assert books.close() == 0, "nobody called, so that nothing was there"
    assert (books.day().owed_pico, books.day().gpu_hours) == (0, 0)
    ran("before", START_MS - 2 * minute, 1 * minute)  # there until four minutes after midnight
    ran("a", START_MS + 60 * minute, 30_001)
    ran("b", START_MS + 63 * minute, 10_000)  # the same time there
    ran("c", START_MS + 600 * minute, 0)
    ran("over", START_MS + DAY_MS - minute, 10 * minute)  # the next day pays for the rest
    held_ms = 4 * minute + (3 * minute + 10_000 + 5 * minute) + 5 * minute + minute
    assert books.close() == 2
    assert books.total() == owed(held_ms)
    assert books.close() == 0
    ran("late", START_MS + 700 * minute, 1)
    assert books.close() == 1
    assert books.total() == owed(held_ms + 5 * minute + 1)
    # The attempts are dropped after a while; what was there stays known.
    assert busy(store, "llama", DAY, 0) == busy(store, "llama", DAY, 5)
    assert len(busy(store, "llama", DAY, 5)) >= 4
    books.close(CLOSES_MS + DAY_MS)
    (after,) = owned_days(store, DAY + timedelta(days=1), DAY + timedelta(days=1))
    assert after.owed_pico == owed(9 * minute + 5 * minute)
    assert after.rest_pico == 0
    assert verify(books.journals, store.shipped_all()).ok


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40)), max_size=8), st.integers(1, 60), st.data())
def test_time_there_is_what_counting_gives(calls: list[tuple[int, int]], idle: int, data: st.DataObject) -> None:
    start, middle, end = sorted(data.draw(st.lists(st.integers(0, 400), min_size=3, max_size=3)))
    ran = merged(sorted((begun, begun + took) for begun, took in calls), idle)
    there = {at for begun, took in calls for at in range(begun, begun + took + idle)}
    holdings = (Holding(0, (Step(0, 2, 10**13, idle_ms=idle),)),)
    assert gpu_ms(holdings, start, end, ran) == 2 * len(there & set(range(start, end)))
    parts = gpu_ms(holdings, start, middle, ran) + gpu_ms(holdings, middle, end, ran)
    assert gpu_ms(holdings, start, end, ran) == parts
    assert owed_pico(holdings, start, end, ran) == -(-(10**13) * gpu_ms(holdings, start, end, ran) // HOUR_MS)


def test_only_gpus_by_the_hour_come_and_go() -> None:
    text = """
environments: {e: {kind: on-prem}}
deployments: {d: {environment: e, protocol: openai, model: m, base_url: 'http://127.0.0.1:1/v1', price: {%s}}}
"""
    declared = load_text(text % "gpu_hour_usd: 2, scales_to_zero_after_s: 300", "f")
    (step,) = held_gpus("d", declared.deployments["d"], declared.config)
    assert step.idle_ms == 300_000
    with pytest.raises(ConfigError, match="scales_to_zero_after_s"):
        load_text(text % "input_mtok: 1, output_mtok: 1, scales_to_zero_after_s: 300", "f")
    with pytest.raises(ConfigError, match="scales_to_zero_after_s"):
        load_text(text % "gpu_hour_usd: 2, scales_to_zero_after_s: 5", "f")


Steps = st.lists(
    st.tuples(
        st.integers(0, 10**6), st.integers(0, 64), st.integers(0, 10**13), st.sampled_from([(1, 1), (9, 10), (1, 3)])
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda one: one[0],
)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), Steps), min_size=1, max_size=4, unique_by=lambda one: one[0]), st.data()
)
def test_the_parts_of_a_time_cost_what_the_whole_does(drawn: list[Any], data: st.DataObject) -> None:
    holdings = [
        Holding(since, tuple(Step(*step) for step in sorted(steps)))
        for since, steps in sorted(drawn, key=lambda one: one[0])
    ]
    start, middle, end = sorted(data.draw(st.lists(st.integers(0, 2 * 10**6), min_size=3, max_size=3)))
    assert gpu_ms(holdings, start, end) == gpu_ms(holdings, start, middle) + gpu_ms(holdings, middle, end)
    parts = owed_pico(holdings, start, middle) + owed_pico(holdings, middle, end)
    assert 0 <= parts - owed_pico(holdings, start, end) <= 1
    by_ms = Fraction(0)
    for at in {start, end - 1}:
        step = _at(holdings, at)
        by_ms += Fraction(step.gpus * step.hour_pico, HOUR_MS) * Fraction(*step.share) if step else 0
    if end - start == 1:
        assert owed_pico(holdings, start, end) == -(-by_ms.numerator // by_ms.denominator)


def _at(holdings: list[Holding], at: int) -> Step | None:
    """What is held at one moment, looked up the plain way."""
    holding = [one for one in holdings if one.since_ms <= at]
    steps = [step for step in holding[-1].steps if step.from_ms <= at] if holding else []
    return steps[-1] if steps else None


def test_dated_prices_replicas_and_contracts_are_read_from_the_file() -> None:
    text = """
environments: {e: {kind: on-prem}}
deployments:
  llama:
    environment: e
    protocol: openai
    model: m
    replicas: ["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"]
    price:
      - {gpu_hour_usd: 2.75, gpus_per_replica: 8, tokens_per_s: 2400}
      - {since: 2026-10-25, gpu_hour_usd: 2.5, gpus_per_replica: 8, tokens_per_s: 2400}
  cloud: {environment: e, protocol: openai, model: m, base_url: "http://127.0.0.1:3/v1", price: free}
contracts:
  house: {deployments: [llama], discount_share: 0.1, since: 2026-10-26}
"""
    declared = load_text(text, "t.yaml")
    steps = held_gpus("llama", declared.deployments["llama"], declared.config)
    second = ms_of(DAY + timedelta(days=1))
    assert steps == (
        Step(0, 16, 2_750_000_000_000),
        Step(START_MS, 16, 2_500_000_000_000),
        Step(second, 16, 2_500_000_000_000, (9, 10)),
    )
    assert held_gpus("cloud", declared.deployments["cloud"], declared.config) == ()
    holdings = [Holding(0, steps)]
    assert owed_pico(holdings, START_MS - DAY_MS, START_MS) == 16 * 24 * 2_750_000_000_000
    assert owed_pico(holdings, second, second + DAY_MS) == 16 * 24 * 2_250_000_000_000


def test_a_day_in_the_ledger_has_24_hours_whatever_clocks_do() -> None:
    for day in (DAY, date(2026, 3, 29)):
        assert gpu_ms([Holding(0, (Step(0, 1, 1),))], ms_of(day), ms_of(day + timedelta(days=1))) == 24 * HOUR_MS
        assert datetime.fromtimestamp(ms_of(day) / 1000, UTC).date() == day
        assert day_of(ms_of(day) - 1) == day - timedelta(days=1)


def test_what_is_kept_reads_back_as_it_was() -> None:
    step = Step(5, 2, 3, (9, 10))
    assert msgspec.json.decode(msgspec.json.encode(step), type=Step) == step
