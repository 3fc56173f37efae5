"""Live strategies through the whole gateway: shares, stays, speeds, cached beginnings; and files that contradict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import Box, running

BODY = {"messages": [{"role": "user", "content": "Hello"}]}


async def chat(box: Box, workload: str, **more: Any) -> str:
    headers = more.pop("headers", None)
    answer = await box.request("/v1/chat/completions", {"model": workload, **BODY, **more}, headers=headers)
    assert answer.status == 200, answer.body
    return answer.headers["x-signalbox-placement"].partition("@")[0]


async def test_weighted_calls_are_shared_and_conversations_stay(tmp_path: Path) -> None:
    weights = {"chat": 1, "local": 1}
    placed = ["chat", "local"]
    workloads = {
        "shares": {"placements": placed, "strategy": "weighted", "weights": weights},
        "stays": {"placements": placed, "strategy": "weighted", "weights": weights, "sticky": True},
    }
    async with running(tmp_path, {"workloads": workloads}) as box:
        seen = {await chat(box, "shares") for _ in range(40)}
        assert seen == {"chat", "local"}
        for session in ("a", "b", "c", "d"):
            headers = {"x-signalbox-session": session}
            assert len({await chat(box, "stays", headers=headers) for _ in range(5)}) == 1
        rows = await box.settled(60)
        assert {row["reason"] for row in rows} <= {"weighted:shares", "weighted:stays", "weighted:stays stays"}


async def test_the_fastest_is_learnt_from_answers(tmp_path: Path) -> None:
    workloads = {"quick": {"placements": ["chat", "local"], "strategy": "fastest"}}
    async with running(tmp_path, {"workloads": workloads}) as box:
        for _ in range(20):
            await chat(box, "quick", stream=True)
        groups = dict(box.plane._fleets.groups())
        for name, took_ns in (("chat", 900_000_000), ("local", 100_000)):
            for _ in range(400):
                groups[name].replicas[0].first_token.observe(took_ns)
            groups[name].care(1)
        first = [await chat(box, "quick", stream=True) for _ in range(20)]
        assert first.count("local") >= 17


async def test_the_cheapest_counts_what_is_cached(tmp_path: Path) -> None:
    prices = {
        "dear": {"input_mtok": 10, "output_mtok": 1, "cache_read_mtok": 0.1, "cache_write_mtok": 10},
        "cheap": {"input_mtok": 8, "output_mtok": 1, "cache_read_mtok": 8, "cache_write_mtok": 8},
    }
    async with running(tmp_path) as box:
        config = box.config
        config["deployments"] |= {
            name: {**config["deployments"]["chat"], "price": price} for name, price in prices.items()
        }
        placed = ["dear", "cheap"]
        config["workloads"] |= {
            "low": {"placements": placed, "strategy": "cheapest"},
            "warm": {"placements": ["dear"], "strategy": "cheapest"},
        }
        assert not await box.configure(config)
        long = [{"role": "user", "content": "word " * 4000}]
        headers = {"x-signalbox-session": "s1"}
        assert await chat(box, "low", messages=long, headers=headers) == "cheap"
        headers = {"x-signalbox-session": "s2"}
        assert await chat(box, "warm", messages=long, headers=headers) == "dear"
        # That conversation's beginning is cached where it was, and so it is cheaper there than anywhere else.
        assert await chat(box, "low", messages=long, headers=headers) == "dear"


async def test_a_late_deployment_is_passed_over_and_an_unfit_one_too(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        config = box.config
        config["deployments"]["chat"] |= {"context_tokens": 1000, "quality": 0.5}
        config["deployments"]["local"] |= {"context_tokens": 100_000, "quality": 0.9}
        placed = ["chat", "local"]
        config["workloads"] |= {
            "room": {"placements": placed},
            "good": {"placements": placed, "quality_min": 0.8},
            "own": {"placements": placed, "quality_min": 0.8, "quality": {"chat": 0.95}},
        }
        assert not await box.configure(config)
        assert await chat(box, "room") == "chat"
        assert await chat(box, "room", messages=[{"role": "user", "content": "word " * 3000}]) == "local"
        assert await chat(box, "good") == "local"
        assert await chat(box, "own") == "chat"
        rows = await box.settled(4)
        assert sorted(row["reason"] for row in rows) == [
            "fixed:good quality",
            "fixed:own",
            "fixed:room",
            "fixed:room context",
        ]


@pytest.mark.parametrize(
    ("workload", "said"),
    [
        ({"strategy": "weighted"}, "no deployment has a share"),
        ({"weights": {"chat": 1}}, "is for strategy weighted"),
        ({"strategy": "weighted", "weights": {"chta": 1}}, "there is no deployment"),
        (
            {"strategy": "weighted", "placements": ["local"], "weights": {"chat": 1}},
            "not among the workload's placements",
        ),
        ({"quality": {"nobody": 1}}, "there is no deployment"),
        ({"strategy": "cascade"}, "names no weak and strong"),
        ({"strategy": "cascade", "placements": ["chat"]}, "names no weak and strong"),
        ({"cascade": {"weak": "chat"}}, "is for strategy cascade"),
        ({"strategy": "cascade", "cascade": {"weak": "chat", "strong": "chat"}}, "the same deployment"),
        ({"strategy": "cascade", "placements": ["chat", "local"]}, "times as dear"),
        ({"strategy": "cascade", "placements": ["chat", "local"], "cascade": {"threshold": 2}}, "threshold"),
    ],
)
async def test_contradictions_are_found_at_load(tmp_path: Path, workload: dict[str, Any], said: str) -> None:
    async with running(tmp_path) as box:
        error = await box.configure({**box.config, "workloads": {**box.config["workloads"], "wrong": workload}})
        assert said in error
        assert await chat(box, "w-chat") == "chat"
