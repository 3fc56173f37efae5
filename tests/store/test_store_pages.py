"""Pages, grids and label sums of every store: each agrees with what walking all attempts gives."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest

import postgres
from signalbox.core.attempts import HOUR, AttemptFilter, Mark
from signalbox.core.ports import ShipMark, Store
from signalbox.core.records import Opened, Record, Refused, Settled
from signalbox.core.usage import Usage
from signalbox.store import STORES, open_store, pages

BASE_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
LABELS = (("public",), ("restricted", "phi"), ("confidential", "personal"))


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = postgres.fresh_url() if request.param == "postgresql" else f"sqlite:{tmp_path}/s.db"
    with contextlib.closing(open_store(url)) as opened:
        _fill(opened)
        yield opened


def _fill(store: Store) -> None:
    """300 attempts of 200 calls in several hours and days, many at the same millisecond; some still open."""
    chance = Random(7)
    records: list[Record] = []
    for number in range(200):
        time_ms = BASE_MS + chance.choice((0, 1, 1, 2, HOUR_MS, 25 * HOUR_MS)) + number // 50
        workload = chance.choice(("a", "b"))
        for turn in range(1 + number % 2):
            attempt_id = f"req_{number:03d}-{turn + 1}"
            records.append(
                Opened(
                    attempt_id, f"req_{number:03d}", time_ms + turn, "acme" if number % 3 else "other", "t",
                    f"k{number % 5}", workload, "d1" if turn else "d2", "e1" if turn else "e2", "m", "chat",
                    LABELS[number % 3], "fixed", "v",
                    turn + 1,
                )
            )  # fmt: skip
            if number % 7:
                records.append(
                    Settled(attempt_id, time_ms + 9, "settled", Usage(tokens_in=number), "provider", number * 10**6)
                )
        if number % 4 == 0:
            records.append(
                Refused(
                    f"no_{number:03d}", time_ms, "acme", "t", "k1", workload, LABELS[number % 3],
                    "no_permitted_placement", "v",
                )
            )  # fmt: skip
    assert store.ship(None, ShipMark("c", 1, 1, 1, "h"), records)


def _all(store: Store, where: AttemptFilter, limit: int) -> list[str]:
    found: list[str] = []
    before: Mark | None = None
    for _ in range(1000):
        page = store.attempts_page(where, before, limit)
        found += [row.attempt_id for row in page.rows]
        assert len(page.rows) <= limit
        before = page.older
        if before is None:
            return found
    raise AssertionError("the pages do not end")


FILTERS = [
    AttemptFilter(),
    AttemptFilter(workload="a"),
    AttemptFilter(label="phi"),
    AttemptFilter(key_ids=("k1", "k2")),
    AttemptFilter(key_ids=()),
    AttemptFilter(tenant="other", state="open"),
    AttemptFilter(since_ms=BASE_MS + 1, until_ms=BASE_MS + HOUR_MS),
]


@pytest.mark.parametrize("where", FILTERS, ids=str)
@pytest.mark.parametrize("limit", [1, 7, 300])
def test_pages_hold_every_attempt_once_newest_first(store: Store, where: AttemptFilter, limit: int) -> None:
    walked = list(store.attempts(msgspec.structs.replace(where, include_open=True)))
    walked.sort(key=lambda row: (row.time_ms, row.attempt_id), reverse=True)
    assert _all(store, where, limit) == [row.attempt_id for row in walked]


@pytest.mark.parametrize("limit", [1, 5])
def test_a_search_that_finds_little_ends_and_goes_on(store: Store, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "SCANNED_MAX", 20)
    where = AttemptFilter(workload="a", deployment="d1", label="phi")
    page = store.attempts_page(AttemptFilter(workload="nobody"), None, limit)
    assert page.rows == []
    assert page.searched
    assert page.older is not None
    walked = list(store.attempts(msgspec.structs.replace(where, include_open=True)))
    assert walked
    assert sorted(_all(store, where, limit)) == sorted(row.attempt_id for row in walked)


def test_pages_of_refusals(store: Store) -> None:
    found: list[str] = []
    before: Mark | None = None
    while True:
        page = store.refused_page(AttemptFilter(workload="a"), before, 3)
        found += [row.call_id for row in page.rows]
        before = page.older
        if before is None:
            break
    walked = sorted(store.refused(AttemptFilter(workload="a")), key=lambda row: (row.time_ms, row.call_id))
    assert found == [row.call_id for row in reversed(walked)]


def test_the_attempts_of_one_call(store: Store) -> None:
    assert [row.attempt_id for row in store.attempts_of("req_003")] == ["req_003-1", "req_003-2"]
    assert [row.attempt_id for row in store.attempts_of("req_00")] == []


@pytest.mark.parametrize("dimensions", [("workload", "environment"), (HOUR, "deployment"), ("day", "tenant", "user")])
def test_grids_add_up(store: Store, dimensions: tuple[str, ...]) -> None:
    whole = store.sum_attempts(AttemptFilter(), None)[0]
    grid = store.sum_grid(AttemptFilter(), dimensions)
    assert len({cell.groups for cell in grid}) == len(grid) > 1
    for name in ("attempts", "tokens_in", "cost_pico"):
        assert sum(getattr(cell.sum, name) for cell in grid) == getattr(whole, name)
    if HOUR in dimensions:
        assert all(int(cell.groups[0]) % HOUR_MS == 0 for cell in grid)
        labelled = store.sum_grid(AttemptFilter(label="phi"), dimensions)
        assert 0 < sum(cell.sum.attempts for cell in labelled) < whole.attempts


def test_an_unknown_dimension_of_a_grid_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="summed"):
        store.sum_grid(AttemptFilter(), ("workload", "labels"))


def test_label_sums_are_what_attempts_say(store: Store) -> None:
    walked = Counter(
        (row.labels, row.workload, row.environment) for row in store.attempts(AttemptFilter(tenant="acme"))
    )
    sums: Counter[tuple[tuple[str, ...], str, str]] = Counter()
    for found in store.sum_labels(AttemptFilter(tenant="acme")):
        sums[found.labels, found.workload, found.environment] += found.attempts
    assert sums == walked
    assert store.sum_labels(AttemptFilter(until_ms=BASE_MS - 48 * HOUR_MS)) == []
