"""Answers tell a caller its own limits, in the words of its dialect, and not those that we have with a provider."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from harness import Answer, Box, running
from limit_cells import APIS, CALLS, CELLS, PROVIDERS_LIMIT, Cell, config_of_cells, limited_providers, told

GENERATING = ("chat", "messages", "responses")
OTHERS = {"chat": "messages", "messages": "chat", "responses": "chat"}


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "state", settings=limited_providers()) as box:
        yield box


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cells(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    async with running(tmp_path_factory.mktemp("cells") / "state", settings=limited_providers()) as box:
        assert not await box.configure(config_of_cells(box.sim))
        yield box


async def ask(box: Box, api: str, workload: str, key: str, **more: Any) -> Answer:
    path, body = APIS[api]
    return await box.request(path, {"model": workload, **body, **more}, key=key)


def seconds_left(reset: str) -> float:
    if reset.endswith("Z"):
        return datetime.fromisoformat(reset).timestamp() - time.time()
    spelled = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(\d+)s", reset)
    assert spelled is not None, reset
    hours, minutes, seconds = (int(part or 0) for part in spelled.groups())
    return hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize("translated", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", GENERATING)
async def test_the_tightest_of_the_callers_own_limits_is_told(
    limited: Box, api: str, stream: bool, translated: bool
) -> None:
    workload = {"placements": [OTHERS[api] if translated else api], "budget": {"requests_per_day": 50}}
    team = {"budget": {"requests_per_hour": 3, "tokens_per_day": 90_000}}
    config = {**limited.config, "teams": {"t": team}}
    config["workloads"] = {**config["workloads"], "w": workload}
    assert not await limited.configure(config)
    key = await limited.new_key(team="t", workloads=("w",))
    answers = [await ask(limited, api, "w", key, stream=stream) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    limits = [told(api, answer) for answer in answers]
    assert [limit["requests"]["limit"] for limit in limits] == ["3"] * 4
    assert [limit["requests"]["remaining"] for limit in limits] == ["2", "1", "0", "0"]
    tokens = [int(limit["tokens"]["remaining"]) for limit in limits]
    assert [limit["tokens"]["limit"] for limit in limits] == ["90000"] * 4
    assert 90_000 > tokens[0] > tokens[1] > tokens[2] > 80_000
    for answer, limit in zip(answers, limits, strict=True):
        assert -2 < seconds_left(limit["requests"]["reset"]) <= 3_601
        assert -2 < seconds_left(limit["tokens"]["reset"]) <= 86_401
        assert PROVIDERS_LIMIT not in answer.headers.values()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", GENERATING)
async def test_callers_without_a_limit_are_told_the_providers(limited: Box, api: str, stream: bool) -> None:
    """A deployment's limit is not theirs, and one in dollars is told nowhere."""
    placed = {"placements": [api], "budget": {"usd_per_day": 50}}
    config = {**limited.config, "budgets": [{"for": "deployment", "name": api, "requests_per_hour": 30}]}
    config["workloads"] = {**config["workloads"], "w": placed}
    assert not await limited.configure(config)
    answer = await ask(limited, api, "w", limited.key, stream=stream)
    assert answer.status == 200, answer.body
    assert PROVIDERS_LIMIT in answer.headers.values()
    assert "30" not in answer.headers.values()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
async def test_at_every_seam_callers_are_told_their_own_limit_and_not_the_providers(cells: Box, cell: Cell) -> None:
    answers = [await cells.request(cell.path, cell.body) for _ in range(CALLS + 2)]
    assert [answer.status for answer in answers] == [200] * CALLS + [429, 429], answers[0].body
    for answer, left in zip(answers, (*range(CALLS - 1, -1, -1), 0, 0), strict=True):
        assert (limit := told(cell.api, answer)).keys() == {"requests"}
        assert (limit["requests"]["limit"], limit["requests"]["remaining"]) == (str(CALLS), str(left))
        assert -2 < seconds_left(limit["requests"]["reset"]) <= 3_601
        assert PROVIDERS_LIMIT not in answer.headers.values()


async def test_a_count_that_is_estimated_because_its_provider_failed_tells_them_too(limited: Box) -> None:
    """It was counted as a call: an attempt was made."""
    assert not await limited.configure({**limited.config, "budgets": [{"for": "key", "requests_per_hour": 10}]})
    limited.sim.fault("503", provider="anthropic")
    path, body = APIS["count_tokens"]
    answer = await limited.request(path, {"model": "w-messages", **body})
    assert (answer.status, answer.headers["x-signalbox-reason"]) == (200, "estimated")
    assert told("count_tokens", answer)["requests"]["remaining"] == "9"


async def test_each_user_is_told_its_own(limited: Box) -> None:
    config = {**limited.config, "budgets": [{"for": "user", "requests_per_hour": 10}]}
    assert not await limited.configure(config)
    users = ("ann", "ben", "ann")
    answers = [await ask(limited, "chat", "w-chat", limited.key, user=user) for user in users]
    assert [told("chat", answer)["requests"]["remaining"] for answer in answers] == ["9", "9", "8"]


async def test_an_error_of_a_provider_carries_the_callers_own_limits_too(limited: Box) -> None:
    config = {**limited.config, "budgets": [{"for": "key", "requests_per_hour": 10}]}
    assert not await limited.configure(config)
    for fault in ("400", "429", "503"):
        limited.sim.fault(fault, provider="openai")
        answer = await ask(limited, "chat", "w-chat", limited.key)
        assert answer.status >= 400, answer.body
        assert told("chat", answer)["requests"]["limit"] == "10"
