"""Which replica knows the beginning of a prompt: matched, shared out, forgotten, bounded."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.core.snapshot import Health, Origin
from signalbox.routing.group import Credential, Group
from signalbox.routing.prefixes import BLOCK_BYTES, BLOCKS_MAX, HELD_MAX, HELD_NS, Held, blocks_of, nearest
from signalbox.routing.replica import Replica


def group(replicas: int) -> Group:
    origins = [Origin("http", f"10.0.0.{number}", 80, "") for number in range(replicas)]
    return Group([Replica(origin, Health()) for origin in origins], Credential(), random.Random(1).random)


@given(st.binary(max_size=5 * BLOCK_BYTES), st.binary(max_size=3 * BLOCK_BYTES), st.binary(max_size=3 * BLOCK_BYTES))
@settings(max_examples=100, deadline=None)
def test_blocks_stand_for_all_that_is_before_their_end(common: bytes, one: bytes, other: bytes) -> None:
    first, second = blocks_of(common + one, 7), blocks_of(common + other, 7)
    assert len(first) == len(common + one) // BLOCK_BYTES
    shared = len(common) // BLOCK_BYTES
    assert first[:shared] == second[:shared]
    for at, (left, right) in enumerate(zip(first, second, strict=False)):
        end = (at + 1) * BLOCK_BYTES
        assert (left == right) == ((common + one)[:end] == (common + other)[:end])
    assert set(blocks_of(common + one, 8)).isdisjoint(first)


def test_a_very_long_prompt_is_looked_at_so_far() -> None:
    assert len(blocks_of(b"x" * (BLOCKS_MAX + 5) * BLOCK_BYTES, 0)) == BLOCKS_MAX


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 40)), max_size=60), st.integers(0, 5), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_what_is_found_by_halving_is_what_is_held(calls: list[tuple[int, int]], asked: int, length: int) -> None:
    held = Held()
    chains = [[family * 1000 + at for at in range(40)] for family in range(6)]
    for now_ns, (family, size) in enumerate(calls, start=1):
        blocks = chains[family][:size]
        held.take(blocks, held.matched(blocks, now_ns), now_ns)
    wanted = chains[asked][:length]
    known = 0
    while known < length and wanted[known] in held.blocks:
        known += 1
    assert held.matched(wanted, len(calls) + 1) == known


def test_what_is_held_is_bounded_and_grows_old() -> None:
    held = Held()
    for family in range(40):
        held.take(range(family * 1000, family * 1000 + 1000), 0, 1)
    assert len(held.blocks) == HELD_MAX
    # The newest are whole, the oldest are gone.
    assert held.matched(range(39_000, 40_000), 2) == 1000
    assert held.matched(range(1000), 2) == 0
    assert held.matched(range(39_000, 40_000), 1 + HELD_NS) == 0
    assert held.work(1) > 1000 > held.work(1 + HELD_NS)


def test_a_conversation_stays_and_many_are_spread() -> None:
    pool = group(4)
    first: dict[int, Replica] = {}
    for turn in range(1, 6):
        for talk in range(40):
            blocks = [talk * 1000 + at for at in range(8 * turn)]
            replica = pool.pick(turn, key=talk + 1, blocks=blocks)
            assert replica is not None
            assert first.setdefault(talk, replica) is replica
    counts = [list(first.values()).count(replica) for replica in pool.replicas]
    assert max(counts) <= 1.5 * 40 / 4


def test_one_hot_beginning_is_spread_and_a_quiet_one_is_not() -> None:
    pool = group(4)
    quiet = {pool.pick(1, key=5, blocks=range(100)) for _ in range(3)}
    assert len(quiet) == 1
    # What is under way is shared out, however well one of them knows the beginning.
    under_way: list[Replica] = []
    for now_ns in range(2, 400):
        replica = pool.pick(now_ns, key=5, blocks=range(100))
        assert replica is not None
        replica.begin(now_ns)
        under_way.append(replica)
        if len(under_way) > 80:
            under_way.pop(0).end()
    assert max(replica.in_flight for replica in pool.replicas) <= 1.5 * 82 / 4 + 5


def test_whoever_has_clearly_more_under_way_is_passed_over() -> None:
    pool = group(3)
    home = pool.pick(1, key=9, blocks=range(50))
    assert home is not None
    for _ in range(10):
        home.begin(1)
    assert pool.pick(2, key=9, blocks=range(50)) is not home


def test_two_processes_agree_on_what_neither_has_seen() -> None:
    one, other = group(5), group(5)
    for talk in range(200):
        blocks = [talk * 100 + at for at in range(4)]
        here, there = one.pick(1, key=talk * 31 + 1, blocks=blocks), other.pick(1, key=talk * 31 + 1, blocks=blocks)
        assert here is not None
        assert there is not None
        assert here.origin == there.origin


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=20), min_size=1, max_size=30), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_somebody_is_always_chosen(calls: list[list[int]], replicas: int) -> None:
    held = [Held() for _ in range(replicas)]
    for now_ns, blocks in enumerate(calls, start=1):
        assert 0 <= nearest(held, range(replicas), blocks, now_ns) < replicas
