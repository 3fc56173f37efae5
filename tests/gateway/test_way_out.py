"""Without a way out, permitted local deployments answer: the first call after a look at two hosts, the next at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from harness import Box, running

BODY = {"model": "w", "messages": [{"role": "user", "content": "x"}]}
# Names that no resolver knows (RFC 2606).
CLOUDS = {"a1": "one", "a2": "one", "a3": "one", "b": "two", "c": "three"}


def config() -> dict[str, Any]:
    clouds = {
        name: {
            "environment": "openai-env",
            "protocol": "openai",
            "model": "m",
            "base_url": f"https://{host}.invalid/v1",
        }
        for name, host in CLOUDS.items()
    }
    return {
        "deployments": clouds,
        "workloads": {
            "w": {"placements": [*CLOUDS, "local"]},
            "clouds": {"placements": [*CLOUDS]},
            "one": {"placements": ["a1", "local"]},
        },
    }


@pytest_asyncio.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "state", config()) as made:
        yield made


async def tried(box: Box, model: str = "w") -> list[str]:
    answer = await box.request("/v1/chat/completions", {**BODY, "model": model})
    rows = [row["deployment"] for row in box.rows() if row["call_id"] == answer.headers["x-request-id"]]
    assert (answer.status == 200) == ("local" in rows), answer.body
    return rows


async def test_what_cannot_be_reached_is_passed_over(box: Box) -> None:
    """Not the same host three times, which would be all the attempts that a call has; and then no cloud at all."""
    assert await tried(box) == ["a1", "b", "local"]
    assert await tried(box) == ["local"]
    assert await tried(box, "one") == ["local"]


async def test_clouds_are_still_tried_where_there_is_nothing_else(box: Box) -> None:
    for _ in range(2):
        rows = await tried(box, "clouds")
        assert rows
        assert set(rows) <= set(CLOUDS)


async def test_one_name_that_does_not_exist_says_nothing_of_others(box: Box) -> None:
    assert await tried(box, "one") == ["a1", "local"]
    error = await box.configure({**box.config, "workloads": {"two": {"placements": ["b", "local"]}}})
    assert not error
    assert await tried(box, "two") == ["b", "local"]
