"""Filter, Score, Pick as a pure function: whoever is permitted and able is reached, and nobody else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.core.choosing import Cascade, Choosing
from signalbox.core.labels import NONE
from signalbox.core.snapshot import Deployment, Environment, Retries, Snapshot, Workload
from signalbox.core.usage import Rates, Tariff, Usage, Window
from signalbox.policy import rule_index
from signalbox.pricing.cost import gpu_rates
from signalbox.routing.router import Needs, Router, serves
from signalbox.routing.strategies import LOOK_EVERY, STRATEGIES, TIMED_MIN, Paces, Situation, expected_pico
from signalbox.routing.trails import STAY_NS, TRAILS_MAX, WARM_NS, Trails, cached_tokens

KINDS = ("edge", "on-prem", "private-cloud", "cloud")


def deployment(index: int, **more: object) -> Deployment:
    place = Environment(f"e{index}", KINDS[index % 4], "eu", "eu", "sim", "", ())
    plain = Deployment(index, f"d{index}", place, "openai", "m", (), None, frozenset(("chat",)))
    return msgspec.structs.replace(plain, **more)


def workload(**more: object) -> Workload:
    plain = Workload("w", NONE, frozenset(), (), "fixed", Retries(), NONE)
    return msgspec.structs.replace(plain, **more)


def router(deployments: list[Deployment], task: Workload) -> Router:
    empty = rule_index.index_of((), {"w": task}, len(deployments))
    named = {one.name: one for one in deployments}
    snapshot = Snapshot("v", 1, (), tuple(deployments), {"w": task}, "w", {}, {}, named, (), empty, 1, 1.0, infra=task)
    return Router(snapshot)


def names(decision: object) -> list[str]:
    return [one.name for one in decision.choices]  # type: ignore[attr-defined]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Router, Workload, int, Needs, Situation]:
    count = draw(st.integers(1, 6))
    deployments = [
        deployment(
            index,
            tools=draw(st.booleans()),
            json_schema=draw(st.booleans()),
            context_tokens=draw(st.sampled_from([0, 100, 1000])),
            rates=draw(st.sampled_from([Rates(priced=False), Rates(tokens_in=3, tokens_out=9), Rates(tokens_in=1)])),
            apis=frozenset(draw(st.sampled_from([("chat",), ("messages",), ("embeddings",)]))),
        )
        for index in range(count)
    ]
    listed = tuple(draw(st.permutations(range(count)))[: draw(st.integers(0, count))])
    shares = tuple((index, draw(st.sampled_from([0.5, 1.0, 7.0]))) for index in range(0, count, 2))
    quality = tuple(draw(st.sampled_from([None, 0.4, 0.9])) for _ in range(count))
    task = workload(
        placements=listed,
        strategy=draw(st.sampled_from(sorted(STRATEGIES))),
        quality_min=draw(st.sampled_from([0.0, 0.5])),
        ttft_p95_ms=draw(st.sampled_from([0, 50])),
        choosing=Choosing(shares, draw(st.booleans()), quality),
        cascade=Cascade(0, count - 1, 0.5),
    )
    paces = [Paces(draw(st.integers(1, 10**9)), draw(st.integers(1, 10**9)), draw(st.integers(0, 20))) for _ in listed]
    known = Situation(
        choosing=task.choosing,
        cascade=task.cascade,
        seed=draw(st.integers(0, 2**64 - 1)),
        stayed=draw(st.sampled_from(["", "d0", "d3", "gone"])),
        cached=draw(st.integers(0, 5000)),
        paces=lambda index: paces[index] if index < len(paces) else Paces(),
    )
    needs = Needs("chat", draw(st.booleans()), False, draw(st.booleans()), draw(st.integers(0, 1)))
    world = router(deployments, task)
    if needs.window > len(world._windows):
        needs = msgspec.structs.replace(needs, window=0)
    return world, task, draw(st.integers(0, 2**count - 1)), needs, known


@given(worlds())
@settings(max_examples=300, deadline=None)
def test_all_that_are_permitted_and_able_are_reached_and_nobody_else(
    world: tuple[Router, Workload, int, Needs, Situation],
) -> None:
    judge, task, permitted, needs, known = world
    decision = judge.decide(task, permitted, needs, None, lambda: known)
    every = judge._snapshot.deployments
    listed = [every[index] for index in task.placements] or list(every)
    able = {one.name for one in listed if permitted >> one.index & 1 and serves(one, needs)}
    assert sorted(names(decision)) == sorted(able)
    # The same question has the same answer, of this router and of another one.
    assert judge.decide(task, permitted, needs, None, lambda: known) == decision
    assert Router(judge._snapshot).decide(task, permitted, needs, None, lambda: known) == decision
    # Without anything known at this moment, the same deployments are reached.
    assert sorted(names(judge.decide(task, permitted, needs, None))) == sorted(able)


@given(worlds())
@settings(max_examples=150, deadline=None)
def test_a_pinned_deployment_is_used_or_nothing_is(world: tuple[Router, Workload, int, Needs, Situation]) -> None:
    judge, task, permitted, needs, known = world
    pinned = judge._snapshot.deployments[0]
    good = permitted & 1 and serves(pinned, needs)
    assert names(judge.decide(task, permitted, needs, pinned, lambda: known)) == (["d0"] if good else [])


def test_shares_are_kept_over_many_calls_and_a_conversation_has_one_place() -> None:
    three = [deployment(index) for index in range(3)]
    task = workload(strategy="weighted", choosing=Choosing(((0, 60.0), (1, 30.0), (2, 10.0))))
    judge = router(three, task)
    first = [0, 0, 0]
    for seed in range(20_000):
        known = Situation(choosing=task.choosing, seed=seed * 7919)
        ranked = judge.decide(task, 7, Needs("chat"), None, lambda known=known: known).choices
        first[ranked[0].index] += 1
        assert judge.decide(task, 7, Needs("chat"), None, lambda known=known: known).choices == ranked
    for count, share in zip(first, (0.6, 0.3, 0.1), strict=True):
        assert abs(count / 20_000 - share) < 0.02
    # When one is gone, its calls go to the others in their shares, and everybody else stays.
    moved = [0, 0, 0]
    for seed in range(5_000):
        known = Situation(choosing=task.choosing, seed=seed * 7919)
        before = judge.decide(task, 7, Needs("chat"), None, lambda known=known: known).choices
        after = judge.decide(task, 5, Needs("chat"), None, lambda known=known: known).choices
        assert [one for one in before if one.index != 1] == list(after)
        if before[0].index == 1:
            moved[after[0].index] += 1
    assert moved[0] > 3 * moved[2]


def test_who_has_no_share_is_a_fallback_only() -> None:
    task = workload(strategy="weighted", choosing=Choosing(((1, 1.0),)))
    judge = router([deployment(index) for index in range(3)], task)
    for seed in range(50):
        known = Situation(choosing=task.choosing, seed=seed)
        assert names(judge.decide(task, 7, Needs("chat"), None, lambda known=known: known)) == ["d1", "d0", "d2"]


def test_the_fastest_is_who_was_seen_to_be() -> None:
    task = workload(strategy="fastest")
    judge = router([deployment(index) for index in range(3)], task)
    paces = [Paces(300, 900, 50), Paces(100, 200, 50), Paces(0, 0, 0)]
    firsts = []
    for seed in range(500):
        known = Situation(seed=seed, paces=lambda index: paces[index])
        firsts.append(names(judge.decide(task, 7, Needs("chat"), None, lambda known=known: known)))
    assert firsts.count(["d2", "d1", "d0"]) > 400  # nobody has timed it yet
    paces[2] = Paces(200, 300, TIMED_MIN)
    looked = 0
    for seed in range(4_000):
        known = Situation(seed=seed, paces=lambda index: paces[index])
        ranked = names(judge.decide(task, 7, Needs("chat"), None, lambda known=known: known))
        if ranked[0] == "d1":
            assert ranked == ["d1", "d2", "d0"]
        else:
            looked += 1
            assert ranked == ["d2", "d1", "d0"]
    assert 0 < looked < 3 * 4_000 / LOOK_EVERY


def test_calls_that_do_not_stream_are_timed_by_whole_answers() -> None:
    task = workload(strategy="fastest")
    judge = router([deployment(index) for index in range(2)], task)
    paces = [Paces(100, 100, 50, 900, 50), Paces(900, 900, 50, 100, 50)]
    known = Situation(seed=1, streams=False, paces=lambda index: paces[index])
    assert names(judge.decide(task, 3, Needs("chat"), None, lambda: known)) == ["d1", "d0"]
    known = Situation(seed=1, streams=True, paces=lambda index: paces[index])
    assert names(judge.decide(task, 3, Needs("chat"), None, lambda: known)) == ["d0", "d1"]


def test_a_latency_floor_moves_back_who_is_late_and_never_empties_the_set() -> None:
    task = workload(ttft_p95_ms=1)
    judge = router([deployment(index) for index in range(3)], task)
    paces = [Paces(1, 5_000_000, 50), Paces(1, 500_000, 50), Paces(1, 9_000_000, TIMED_MIN - 1)]
    known = Situation(paces=lambda index: paces[index])
    decision = judge.decide(task, 7, Needs("chat"), None, lambda: known)
    assert names(decision) == ["d1", "d2", "d0"]
    assert decision.reason == "fixed:w slow"
    late = Situation(paces=lambda _: Paces(1, 5_000_000, 50))
    decision = judge.decide(task, 7, Needs("chat"), None, lambda: late)
    assert (names(decision), decision.reason) == (["d0", "d1", "d2"], "fixed:w")


@pytest.mark.parametrize(
    ("quality", "order", "reason"),
    [
        ((0.9, 0.9, 0.9), ["d0", "d1", "d2"], "fixed:w"),
        ((0.5, 0.9, 0.9), ["d1", "d2", "d0"], "fixed:w quality"),
        ((None, 0.9, 0.5), ["d1", "d0", "d2"], "fixed:w quality?"),
        ((0.5, 0.6, 0.7), ["d0", "d1", "d2"], "fixed:w"),
        ((), ["d0", "d1", "d2"], "fixed:w"),
    ],
)
def test_a_quality_floor_moves_back_who_is_below_it(
    quality: tuple[float | None, ...], order: list[str], reason: str
) -> None:
    task = workload(quality_min=0.8, choosing=Choosing(quality=quality))
    decision = router([deployment(index) for index in range(3)], task).decide(task, 7, Needs("chat"), None)
    assert (names(decision), decision.reason) == (order, reason)


def test_a_call_goes_where_it_has_room() -> None:
    windows = [deployment(0, context_tokens=4096), deployment(1, context_tokens=128_000), deployment(2)]
    task = workload()
    judge = router(windows, task)
    assert names(judge.decide(task, 7, Needs("chat", window=0), None)) == ["d0", "d1", "d2"]
    decision = judge.decide(task, 7, Needs("chat", window=1), None)
    assert (names(decision), decision.reason) == (["d1", "d2", "d0"], "fixed:w context")


def test_who_cannot_keep_to_a_schema_is_not_asked_to() -> None:
    task = workload()
    judge = router([deployment(0, json_schema=False), deployment(1)], task)
    assert names(judge.decide(task, 3, Needs("chat", json_schema=True), None)) == ["d1"]
    assert names(judge.decide(task, 3, Needs("chat"), None)) == ["d0", "d1"]


def test_the_cheapest_is_cheapest_for_this_call_with_its_cached_beginning() -> None:
    dear = Rates(tokens_in=1000, cache_read=100, tokens_out=2000)
    cheap = Rates(tokens_in=600, cache_read=600, tokens_out=2000)
    task = workload(strategy="cheapest")
    judge = router([deployment(0, rates=dear), deployment(1, rates=cheap), deployment(2)], task)

    def order(**known: object) -> list[str]:
        told = msgspec.structs.replace(Situation(tokens_in=10_000, tokens_out=100), **known)
        return names(judge.decide(task, 7, Needs("chat"), None, lambda: told))

    assert order() == ["d1", "d0", "d2"]
    assert order(stayed="d0", cached=8_000) == ["d0", "d1", "d2"]
    assert order(stayed="d0", cached=1_000) == ["d1", "d0", "d2"]
    assert order(stayed="d1", cached=8_000) == ["d1", "d0", "d2"]
    exact = 2_000 * 1000 + 8_000 * 100 + 100 * 2000
    told = Situation(tokens_in=10_000, tokens_out=100, stayed="d0", cached=8_000)
    assert expected_pico(deployment(0, rates=dear), told) == exact


def test_gpus_of_ones_own_count_as_what_a_call_adds_to_their_bill() -> None:
    """Their hours are paid for whether they serve it or not."""
    owned = gpu_rates("9.75", 8, 100)
    task = workload(strategy="cheapest")
    judge = router([deployment(0, rates=Rates(tokens_in=1, tokens_out=1)), deployment(1, rates=owned)], task)
    assert owned.tokens_in > 1
    assert names(judge.decide(task, 3, Needs("chat"), None)) == ["d1", "d0"]


def test_long_prompts_and_hours_have_their_own_prices() -> None:
    tiered = Rates(tokens_in=100, tiers=((5_000, Rates(tokens_in=900)),))
    night = Tariff(windows=(Window(0, 60, Rates(tokens_in=1)),))
    task = workload(strategy="cheapest")
    judge = router(
        [
            deployment(0, rates=tiered),
            deployment(1, rates=Rates(tokens_in=300)),
            deployment(2, rates=Rates(tokens_in=500), tariff=night),
        ],
        task,
    )

    def first(tokens_in: int, minute: int) -> str:
        told = Situation(tokens_in=tokens_in, time_ms=minute * 60_000)
        return names(judge.decide(task, 7, Needs("chat"), None, lambda: told))[0]

    assert first(1_000, 600) == "d0"
    assert first(8_000, 600) == "d1"
    assert first(8_000, 30) == "d2"


def test_a_sticky_conversation_stays_until_that_is_late() -> None:
    task = workload(choosing=Choosing(sticky=True), ttft_p95_ms=1)
    judge = router([deployment(index) for index in range(3)], task)
    known = Situation(choosing=task.choosing, stayed="d2")
    decision = judge.decide(task, 7, Needs("chat"), None, lambda: known)
    assert (names(decision), decision.reason) == (["d2", "d0", "d1"], "fixed:w stays")
    assert names(judge.decide(task, 3, Needs("chat"), None, lambda: known)) == ["d0", "d1"]
    slow = msgspec.structs.replace(known, paces=lambda index: Paces(1, 9_000_000 if index == 2 else 1, 50))
    assert names(judge.decide(task, 7, Needs("chat"), None, lambda: slow)) == ["d0", "d1", "d2"]


def test_a_trail_tells_where_a_conversation_was_and_forgets() -> None:
    rates = Rates(tokens_in=10, cache_read=1)
    here = deployment(0, rates=rates)
    trails = Trails()
    trails.follow(7, here, Usage(tokens_in=2000), 100)
    trail = trails.find(7, 100)
    assert trail is not None
    assert (trail.deployment, trail.warm(100), trail.warm(100 + WARM_NS)) == ("d0", 2000, 0)
    assert trails.find(7, 100 + STAY_NS) is None
    for number in range(TRAILS_MAX + 50):
        trails.follow(number, here, Usage(tokens_in=2000), 100)
    assert len(trails.by_conversation) == TRAILS_MAX
    assert trails.find(0, 100) is None


def test_what_a_provider_holds_of_a_prompt() -> None:
    automatic = deployment(0, rates=Rates(tokens_in=10, cache_read=1))
    asked = deployment(1, protocol="anthropic", rates=Rates(tokens_in=10, cache_read=1))
    assert cached_tokens(automatic, Usage(tokens_in=500)) == 0
    assert cached_tokens(automatic, Usage(tokens_in=500, cache_read=1500)) == 2000
    assert cached_tokens(asked, Usage(tokens_in=5000)) == 0
    assert cached_tokens(asked, Usage(tokens_in=500, cache_read=1000, cache_write_5m=200)) == 1200
