"""Several workloads on one deployment: least shares stay free, weights decide while there is too little; no waste."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness import Box, running, simulated_config
from signalbox.core.shares import Share
from signalbox.routing.shares import WANTS_NS, Shares

SLOW = "Hello [[tokens:6]] [[delay_ms:500]]"


def body(workload: str, text: str = "Hello [[tokens:2]]") -> dict[str, Any]:
    return {"model": workload, "messages": [{"role": "user", "content": text}], "stream": True}


async def hold(box: Box, workload: str, calls: int) -> list[asyncio.Task[Any]]:
    """So many slow calls, once the provider has them."""
    before = len(box.sim.log.entries)
    tasks = [asyncio.create_task(box.request("/v1/chat/completions", body(workload, SLOW))) for _ in range(calls)]
    for _ in range(500):
        if len(box.sim.log.entries) - before + sum(task.done() for task in tasks) >= calls:
            break
        await asyncio.sleep(0.01)
    return tasks


async def test_a_crowd_of_one_workload_leaves_the_others_theirs(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        config = simulated_config(box.sim)
        shares = {"front": {"least_share": 0.5}, "batch": {"weight": 1}}
        config["deployments"]["chat"]["limits"] = {"concurrency": 4, "shares": shares}
        config["workloads"] |= {"front": {"placements": ["chat"]}, "batch": {"placements": ["chat"]}}
        assert not await box.configure(config)
        crowd = await hold(box, "batch", 8)
        turned = Counter(task.result().status for task in crowd if task.done())
        assert turned == {503: 6}
        assert (await box.request("/v1/chat/completions", body("front"))).status == 200
        assert Counter(answer.status for answer in await asyncio.gather(*crowd)) == {200: 2, 503: 6}
        # Alone it may have all that nobody is owed.
        assert {(await box.request("/v1/chat/completions", body("batch"))).status for _ in range(3)} == {200}


async def test_a_call_without_room_goes_where_there_is_some(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        config = simulated_config(box.sim)
        config["deployments"]["chat"]["limits"] = {"concurrency": 2, "shares": {"w-chat": {"least_share": 1}}}
        assert not await box.configure(config)
        answer = await box.request("/v1/chat/completions", body("w-fallback"))
        assert (answer.status, answer.headers["x-signalbox-placement"]) == (200, "local@vllm-env")


def test_weights_hold_while_both_want_and_nothing_is_wasted_else() -> None:
    shares = Shares(12, {"a": Share(weight=2), "b": Share(weight=1)})
    now_ns, held = 0, Counter[str]()
    while shares.room("a", now_ns):
        shares.begin("a")
        held["a"] += 1
    assert not shares.room("b", now_ns)
    # A slot that is given back goes to whom weight owes it, until both have theirs.
    for _ in range(12):
        now_ns += WANTS_NS // 10
        assert not shares.room("b", now_ns)
        shares.end("a")
        held["a"] -= 1
        taken = next(name for name in ("a", "b", "a") if shares.room(name, now_ns))
        shares.begin(taken)
        held[taken] += 1
    assert not shares.room("a", now_ns)
    assert (held["a"], held["b"]) == (8, 4)


def test_whoever_was_turned_away_is_owed_its_whole_share_for_a_while() -> None:
    """Not one slot only: its other callers wait as long as they were told to before they ask again."""
    shares = Shares(8, {"front": Share(weight=3), "batch": Share(weight=1)})
    for _ in range(8):
        assert shares.room("batch", 0)
        shares.begin("batch")
    assert not shares.room("front", 0)
    for held in range(6):
        shares.end("batch")
        assert not shares.room("batch", WANTS_NS // 2), held
        assert shares.room("front", WANTS_NS // 2)
        shares.begin("front")
    shares.end("front")
    assert not shares.room("batch", WANTS_NS - 1)
    # What nobody came for is not kept for longer.
    assert shares.room("batch", WANTS_NS + WANTS_NS // 2)


calls = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), st.integers(0, 2 * WANTS_NS)), max_size=200)


@given(
    st.integers(1, 20),
    st.dictionaries(st.sampled_from("abc"), st.tuples(st.sampled_from([0.0, 0.1, 0.3]), st.floats(0.1, 9))),
    calls,
)
def test_whatever_comes_least_shares_are_there_and_slots_are_never_exceeded(
    concurrency: int, declared: dict[str, tuple[float, float]], steps: list[tuple[str, bool, int]]
) -> None:
    shares = Shares(concurrency, {name: Share(*told) for name, told in declared.items()})
    least = {name: max(1, int(told[0] * concurrency)) for name, told in declared.items() if told[0]}
    enough = sum(least.values()) <= concurrency
    active: Counter[str] = Counter()
    now_ns = 0
    for name, ends, passed in steps:
        now_ns += passed
        if ends:
            if active[name]:
                shares.end(name)
                active[name] -= 1
            continue
        room = shares.room(name, now_ns)
        assert not room or sum(active.values()) < concurrency
        if enough and active[name] < least.get(name, 0):
            assert room
        if room:
            shares.begin(name)
            active[name] += 1
