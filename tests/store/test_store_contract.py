"""What every store of table STORES must do, through the port alone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import postgres
from signalbox.core.attempts import DIMENSIONS, AttemptFilter
from signalbox.core.errors import StoreError
from signalbox.core.ports import SealedEntry, ShipMark, Store, VirtualKey
from signalbox.core.records import ConfigLoaded, Opened, Progress, Record, Refused, Settled
from signalbox.core.usage import Usage
from signalbox.store import STORES, open_store

# How a test makes a fresh database of each kind: scheme -> URL from an empty directory.
URLS: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda directory: f"sqlite:{directory}/state/signalbox.db",
    "postgresql": lambda directory: postgres.fresh_url(),
}
BASE_MS = 1_790_000_000_000


def test_every_store_is_under_this_contract() -> None:
    assert URLS.keys() == STORES.keys()


@pytest.fixture(params=sorted(STORES))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return URLS[request.param](tmp_path)


@pytest.fixture(params=sorted(STORES))
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes one new database after another."""
    numbers = count()
    return lambda: URLS[request.param](tmp_path / f"{next(numbers)}")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with contextlib.closing(open_store(url)) as opened:
        yield opened


def _opened(attempt_id: str, **changes: object) -> Opened:
    base = Opened(
        attempt_id, f"call-{attempt_id}", BASE_MS, "acme", "support", "k1", "chat", "mini", "dc-fra", "tiny", "chat",
        ("confidential", "personal"), "first", "v1",
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def _settled(attempt_id: str, **changes: object) -> Settled:
    usage = Usage(tokens_in=80, cache_read=20, cache_write_5m=3, cache_write_1h=4, tokens_out=40, reasoning=5)
    base = Settled(attempt_id, BASE_MS + 1000, "settled", usage, "provider", 123_456, 200, "", 120, 1000)
    return msgspec.structs.replace(base, **changes)


def _ship(store: Store, *records: Record, chain: str = "w0") -> ShipMark:
    before = store.shipped(chain)
    seq = (before.seq if before else 0) + len(records)
    after = ShipMark(chain, 1, seq * 100, seq, f"{seq:064x}")
    assert store.ship(before, after, records)
    return after


ALL = AttemptFilter()


def test_an_attempt_shows_when_it_has_its_end(store: Store) -> None:
    _ship(store, _opened("a"))
    assert list(store.attempts(ALL)) == []
    (live,) = store.attempts(AttemptFilter(include_open=True))
    assert (live.state, live.cost_pico, live.labels) == ("open", None, ("confidential", "personal"))
    _ship(store, Progress(1, (("a", 3),)), ConfigLoaded(1, "v"), _settled("a"))
    (row,) = store.attempts(ALL)
    assert msgspec.structs.asdict(row) == {
        **{name: getattr(_opened("a"), name) for name in _opened("a").__struct_fields__ if name not in
           ("rates", "in_max", "out_max", "body_bytes", "user", "paid_from")},
        "end_user": "", "rare": {}, "tier": "",
        "state": "settled", "tokens_in": 80, "cache_read": 20, "cache_write_5m": 3, "cache_write_1h": 4,
        "tokens_out": 40, "reasoning": 5, "audio_in": 0, "audio_out": 0, "usage_unknown": (),
        "usage_source": "provider", "cost_pico": 123_456, "status": 200, "error": "", "ttft_ms": 120,
        "duration_ms": 1000, "guards": {}, "saved_pico": 0,
    }  # fmt: skip


def test_one_batch_or_two_make_the_same_row(store: Store) -> None:
    _ship(store, _opened("a"), _settled("a"))
    _ship(store, _opened("b"))
    _ship(store, _settled("b"))
    a, b = store.attempts(ALL)
    assert msgspec.structs.replace(b, attempt_id="a", call_id="call-a") == a


def test_shipping_twice_changes_nothing(store: Store) -> None:
    first = ShipMark("w0", 1, 10, 2, "a" * 64)
    assert store.ship(None, first, [_opened("a"), _settled("a"), Refused("c", 1, "t", "", "k", "w", (), "no", "v")])
    assert not store.ship(None, first, [_opened("a"), _settled("a")])
    assert not store.ship(ShipMark("w0", 1, 9, 2, "a" * 64), first, [_opened("z"), _settled("z")])
    assert store.shipped("w0") == first
    assert len(list(store.attempts(ALL))) == 1
    assert len(list(store.refused(ALL))) == 1


def test_marks_are_per_chain(store: Store) -> None:
    assert store.shipped("w0") is None
    assert store.shipped_all() == []
    b = _ship(store, _opened("b"), chain="b")
    a = _ship(store, _opened("a"), chain="a")
    assert store.shipped_all() == [a, b]


def test_the_first_end_holds(store: Store) -> None:
    _ship(store, _opened("a"), _settled("a"))
    _ship(store, _settled("a", state="unknown", cost_pico=9), _opened("a", tenant="evil"))
    (row,) = store.attempts(ALL)
    assert (row.state, row.cost_pico, row.tenant) == ("settled", 123_456, "acme")


def test_an_end_without_a_beginning_keeps_its_money(store: Store) -> None:
    _ship(store, _settled("lost"))
    (row,) = store.attempts(ALL)
    assert (row.attempt_id, row.cost_pico, row.reason) == ("lost", 123_456, "its opening record is missing")


@pytest.mark.parametrize("changes", [{"cost_pico": 2**70}, {"usage": Usage(tokens_out=2**65)}, {"cost_pico": -1}])
def test_numbers_out_of_range_become_unpriced_and_say_so(store: Store, changes: dict[str, object]) -> None:
    _ship(store, _opened("a"), _settled("a", **changes), _opened("b"), _settled("b"))
    a, b = store.attempts(ALL)
    assert (a.cost_pico, a.usage_unknown) == (None, ("out_of_range",))
    assert b.cost_pico == 123_456


def test_hostile_text_is_only_text(store: Store) -> None:
    text = "'; DROP TABLE attempts; --\u202e\U0001f600%_"
    _ship(store, _opened("a", tenant=text, reason=text, labels=(text,), model=text), _settled("a", error=text))
    (row,) = store.attempts(AttemptFilter(tenant=text, label=text))
    assert (row.tenant, row.labels, row.error) == (text, (text,), text)
    assert list(store.attempts(AttemptFilter(tenant="' OR 1=1 --"))) == []


def _population(store: Store) -> None:
    records: list[Record] = []
    for number in range(40):
        changes = {
            "time_ms": BASE_MS + number * 3_600_000,
            "workload": f"w{number % 3}",
            "environment": ("dc-fra", "openai-us")[number % 2],
            "deployment": ("llama", "mini")[number % 2],
            "key_id": f"k{number % 4}",
            "labels": (("public",), ("confidential", "personal"), ("restricted", "phi"))[number % 3],
        }
        state = ("settled", "failed", "cancelled", "unknown")[number % 4]
        records += [_opened(f"a{number:02}", **changes)]
        if number != 39:
            cost_pico = None if number % 5 == 0 else number
            records += [_settled(f"a{number:02}", state=state, cost_pico=cost_pico)]
    _ship(store, *records)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (AttemptFilter(), list(range(39))),
        (AttemptFilter(include_open=True), list(range(40))),
        (AttemptFilter(since_ms=BASE_MS + 3_600_000, until_ms=BASE_MS + 3 * 3_600_000), [1, 2]),
        (AttemptFilter(workload="w1"), [n for n in range(39) if n % 3 == 1]),
        (AttemptFilter(label="phi"), [n for n in range(39) if n % 3 == 2]),
        (AttemptFilter(label="ph"), []),
        (AttemptFilter(environment="openai-us", key_id="k3"), [n for n in range(39) if n % 4 == 3]),
        (AttemptFilter(deployment="llama", state="unknown"), []),
        (AttemptFilter(state="unknown"), [n for n in range(39) if n % 4 == 3]),
        (AttemptFilter(state="open"), [39]),
        (AttemptFilter(tenant="other"), []),
        (AttemptFilter(team="support", tenant="acme", since_ms=BASE_MS + 37 * 3_600_000), [37, 38]),
    ],
)
def test_filters(store: Store, where: AttemptFilter, expected: list[int]) -> None:
    _population(store)
    assert [row.attempt_id for row in store.attempts(where)] == [f"a{number:02}" for number in expected]


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_sums_by_every_dimension_agree_with_the_rows(store: Store, dimension: str) -> None:
    _population(store)
    rows = list(store.attempts(ALL))
    sums = store.sum_attempts(ALL, dimension)
    assert [s.group for s in sums] == sorted(s.group for s in sums)
    assert sum(s.attempts for s in sums) == len(rows)
    assert sum(s.cost_pico for s in sums) == sum(row.cost_pico or 0 for row in rows)
    assert sum(s.unpriced for s in sums) == sum(row.cost_pico is None for row in rows)
    assert sum(s.tokens_out for s in sums) == sum(row.tokens_out + row.reasoning for row in rows)
    assert sum(s.cache_write for s in sums) == 7 * len(rows)


def test_sum_by_day_and_nothing(store: Store) -> None:
    assert store.sum_attempts(ALL, "day") == []
    _population(store)
    assert [s.group for s in store.sum_attempts(ALL, "day")] == ["2026-09-21", "2026-09-22", "2026-09-23"]
    with pytest.raises(ValueError, match="cannot be summed"):
        store.sum_attempts(ALL, "time_ms; DROP TABLE attempts")


OF_HOURS = [name for name in DIMENSIONS if name not in ("user", "session", "tag")]


def test_hours_and_days_say_what_the_attempts_say_however_the_ends_arrive(store: Store) -> None:
    """Ends in a later batch, twice, by another process with another cost, and without a beginning: each counts once."""
    _population(store)
    _ship(store, _settled("a39", cost_pico=7, state="unknown"))
    _ship(store, _settled("a39", cost_pico=9), _settled("a01", cost_pico=1000), _settled("a01", cost_pico=1000))
    _ship(store, _opened("b", time_ms=BASE_MS), chain="other")
    _ship(store, _settled("b", cost_pico=5), _settled("b", cost_pico=6), _settled("lost", cost_pico=11))
    # A time within an hour cannot be answered by hours, and here it asks for the very same attempts.
    everything = AttemptFilter(since_ms=1, until_ms=BASE_MS * 2 + 1)
    for dimension in (*OF_HOURS, None):
        assert store.sum_attempts(ALL, dimension) == store.sum_attempts(everything, dimension), dimension
    assert sum(s.attempts for s in store.sum_attempts(ALL, "state")) == 42
    hour_ms = 3_600_000
    start_ms = BASE_MS // hour_ms * hour_ms
    for where in (
        {"tenant": "acme"}, {"workload": "w1"}, {"key_id": "k2", "environment": "dc-fra"}, {"state": "unknown"},
        {"tenant": "nobody"},
    ):  # fmt: skip
        aligned = AttemptFilter(since_ms=start_ms + 4 * hour_ms, until_ms=start_ms + 20 * hour_ms, **where)
        # No attempt begins on the full hour, let alone at midnight.
        same = AttemptFilter(since_ms=start_ms + 4 * hour_ms + 1, until_ms=start_ms + 20 * hour_ms - 1, **where)
        assert store.sum_attempts(aligned, "day") == store.sum_attempts(same, "day"), where
        day_ms = 24 * hour_ms
        midnight_ms = BASE_MS // day_ms * day_ms
        one_day = AttemptFilter(since_ms=midnight_ms, until_ms=midnight_ms + day_ms, **where)
        same_day = AttemptFilter(since_ms=midnight_ms + 1, until_ms=midnight_ms + day_ms - 1, **where)
        assert store.sum_attempts(one_day, "team") == store.sum_attempts(same_day, "team"), where


def test_sums_stay_exact_beyond_64_bits(store: Store) -> None:
    big = 2**63 - 1
    _ship(store, *(record for n in range(5) for record in (_opened(f"a{n}"), _settled(f"a{n}", cost_pico=big))))
    (total,) = store.sum_attempts(ALL, None)
    assert total.cost_pico == 5 * big


def test_an_abandoned_iterator_blocks_nobody(store: Store) -> None:
    _population(store)
    rows = store.attempts(ALL)
    next(rows)
    del rows
    _ship(store, _opened("later"), _settled("later"))
    assert len(list(store.attempts(ALL))) == 40


def _key(**changes: object) -> VirtualKey:
    base = VirtualKey("pub1", "name", b"\0\xffhmac", "acme", "support", BASE_MS)
    return msgspec.structs.replace(base, **changes)


def test_keys_come_back_as_they_were(store: Store) -> None:
    keys = [
        _key(),
        _key(
            id="pub2", created_ms=BASE_MS + 1, workloads=("a", "b"), deployments_granted=("mini",),
            default_workload="a", labels=("phi",), budget_usd=Decimal("20.10"), expires_ms=BASE_MS * 2,
        ),
        _key(id="pub3", created_ms=BASE_MS + 2, workloads=(), budget_usd=Decimal(0)),
    ]  # fmt: skip
    for key in reversed(keys):
        store.insert_key(key)
    assert store.list_keys() == keys


def test_a_key_id_exists_once(store: Store) -> None:
    store.insert_key(_key())
    version = store.keys_version()
    with pytest.raises(ValueError, match="exists"):
        store.insert_key(_key(name="other"))
    assert store.keys_version() == version
    assert [key.name for key in store.list_keys()] == ["name"]


def test_a_key_is_made_only_where_nobody_changed_any(store: Store) -> None:
    version = store.keys_version()
    assert store.insert_key(_key(), version)
    assert not store.insert_key(_key(id="pub2"), version)
    assert [key.id for key in store.list_keys()] == ["pub1"]
    version = store.keys_version()
    store.revoke_key("pub1", 5)
    assert not store.insert_key(_key(id="pub2"), version)
    assert store.insert_key(_key(id="pub2"), store.keys_version())


def test_revoking(store: Store) -> None:
    store.insert_key(_key())
    assert store.revoke_key("pub1", 5)
    assert store.revoke_key("pub1", 6)
    assert store.list_keys()[0].revoked_ms == 5
    assert not store.revoke_key("nobody", 5)


def test_key_changes_are_seen_by_others(url: str, store: Store) -> None:
    with contextlib.closing(open_store(url)) as other:
        seen = [other.keys_version()]
        store.insert_key(_key())
        seen.append(other.keys_version())
        store.revoke_key("pub1", 5)
        seen.append(other.keys_version())
        assert seen == sorted(set(seen))
        assert other.keys_version() == seen[-1]


def test_facts(store: Store) -> None:
    assert store.fact("pepper") is None
    assert store.settle_fact("pepper", b"one") == b"one"
    assert store.settle_fact("pepper", b"two") == b"one"
    store.replace_fact("pepper", b"three")
    assert store.fact("pepper") == b"three"


def test_many_threads_and_first_starts_at_once(url: str) -> None:
    """All open, migrate and settle the same fact at the same moment; one value holds for all."""
    start = threading.Barrier(8)
    held: list[bytes] = []
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait()
            with contextlib.closing(open_store(url)) as mine:
                held.append(mine.settle_fact("pepper", b"%d" % number))
                for turn in range(5):
                    _ship(mine, _opened(f"{number}-{turn}"), _settled(f"{number}-{turn}"), chain=f"w{number}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(held)) == 1
    with contextlib.closing(open_store(url)) as store:
        assert store.sum_attempts(ALL, None)[0].attempts == 40


def test_one_store_serves_many_threads(store: Store) -> None:
    failed: list[BaseException] = []
    together = threading.Barrier(6)

    def run(number: int) -> None:
        try:
            for turn in range(10):
                # The first rows of a day, from all nearly at once: some find it being made, some just made.
                together.wait()
                time.sleep(number * turn / 1000)
                at_ms = BASE_MS + (400 + turn) * 86_400_000
                opened = _opened(f"{number}-{turn}", time_ms=at_ms)
                _ship(store, opened, _settled(f"{number}-{turn}", time_ms=at_ms), chain=f"w{number}")
                list(store.attempts(ALL))
        except BaseException as error:
            failed.append(error)
            together.abort()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(list(store.attempts(ALL))) == 60


def test_a_closed_store_says_so(url: str) -> None:
    store = open_store(url)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.list_keys()


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_batching_gives_the_same_ledger(fresh: Callable[[], str], data: st.DataObject) -> None:
    records: list[Record] = []
    for number in range(8):
        records += [_opened(f"a{number}"), _settled(f"a{number}", cost_pico=number)]
    # Any order in which every attempt begins before it ends.
    order = data.draw(st.permutations(range(len(records))))
    place = {index: at for at, index in enumerate(order)}
    for number in range(8):
        begin, end = 2 * number, 2 * number + 1
        if place[begin] > place[end]:
            place[begin], place[end] = place[end], place[begin]
    shuffled = [records[index] for index in sorted(place, key=lambda index: place[index])]
    chain = f"c{data.draw(st.integers(0, 10**9))}"
    with contextlib.closing(open_store(fresh())) as store:
        while shuffled:
            size = data.draw(st.integers(1, len(shuffled)))
            _ship(store, *shuffled[:size], chain=chain)
            del shuffled[:size]
        assert [(row.attempt_id, row.cost_pico) for row in store.attempts(ALL)] == [(f"a{n}", n) for n in range(8)]


# --- what conversations keep sealed


def _sealed(number: int, name: int | None = None) -> SealedEntry:
    return SealedEntry(b"m%d" % number, b"n%d" % (number if name is None else name), b"s%d" % number)


def test_what_conversations_keep_is_settled_once_and_expires(store: Store) -> None:
    now = BASE_MS
    assert store.sealed_entries(b"c", now, now + 10) == []
    assert store.seal_entries(b"c", [_sealed(1), _sealed(2)], now, now + 10, 9) == [b"s1", b"s2"]
    # The first with a mark or a name wins, and everybody is told the same.
    other = SealedEntry(b"m2", b"n9", b"other")
    assert store.seal_entries(b"c", [other, _sealed(3, name=1), _sealed(4)], now, now + 10, 9) == [b"s1", b"s2", b"s4"]
    assert store.sealed_entries(b"d", now, now + 10) == []
    with pytest.raises(ValueError, match="too much"):
        store.seal_entries(b"c", [_sealed(5)], now, now + 10, 3)
    # Whoever reads it keeps it alive.
    assert len(store.sealed_entries(b"c", now + 9, now + 20)) == 3
    assert len(store.sealed_entries(b"c", now + 19, now + 21)) == 3
    assert store.sealed_entries(b"c", now + 21, now + 40) == []
    assert store.seal_entries(b"c", [_sealed(7)], now + 21, now + 30, 9) == [b"s7"]
    store.forget_sealed(now + 30)
    assert store.sealed_entries(b"c", now, now + 40) == []


def test_those_who_seal_at_the_same_time_agree(store: Store) -> None:
    told: list[list[bytes]] = []

    def seal(own: int) -> None:
        new = [SealedEntry(b"m%d" % at, b"n%d-%d" % (at, own), b"s%d-%d" % (at, own)) for at in range(20)]
        told.append(store.seal_entries(b"c", new, BASE_MS, BASE_MS + 1000, 99))

    threads = [threading.Thread(target=seal, args=(own,)) for own in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 4
    assert all(one == told[0] for one in told)
    assert len(told[0]) == 20
