"""A team's list of workloads binds every key of the team, whichever way a workload is named."""

from __future__ import annotations

from typing import Any

import pytest

from harness import Box

BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def key(box: Box) -> str:
    """A key of team `support`, which may use the second workload only."""
    deployment = {"preset": "simulator", "environment": "here", "model": "sim-small", "price": "free"}
    config = {
        "environments": {"here": {"kind": "edge"}},
        "deployments": {"one": {**deployment, "base_url": f"{box.sim.url}/openai/v1"}},
        "workloads": {"claims": {}, "support-chat": {}},
        "aliases": {"c": "claims"},
        "teams": {"support": {"workloads": ["support-chat"]}},
    }
    assert await box.configure(config) == ""
    return await box.new_key(team="support")


@pytest.mark.parametrize("model", ["claims", "c"])
async def test_another_teams_workload_does_not_exist(box: Box, key: str, model: str) -> None:
    answer = await box.request("/v1/chat/completions", {**BODY, "model": model}, key=key)
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")


async def test_nor_by_header(box: Box, key: str) -> None:
    headers = {"x-signalbox-workload": "claims"}
    answer = await box.request("/v1/chat/completions", {**BODY, "model": "auto"}, key=key, headers=headers)
    assert (answer.status, answer.json["error"]["code"]) == (404, "workload_not_found")


async def test_auto_means_the_first_that_the_team_may_use(box: Box, key: str) -> None:
    answer = await box.request("/v1/chat/completions", {**BODY, "model": "auto"}, key=key)
    assert (answer.status, answer.headers["x-signalbox-reason"]) == (200, "fixed:support-chat")


async def test_a_keys_own_list_never_widens_its_teams(box: Box, key: str) -> None:
    wider = await box.new_key(team="support", workloads=("claims",))
    answer = await box.request("/v1/chat/completions", {**BODY, "model": "auto"}, key=wider)
    assert (answer.status, answer.json["error"]["code"]) == (404, "workload_not_found")


async def test_models_lists_the_teams_only_and_other_keys_see_all(box: Box, key: str) -> None:
    listed = {row["id"] for row in (await box.request("/v1/models", key=key)).json["data"]}
    assert {"support-chat", "auto"} <= listed
    assert not {"claims", "c"} & listed
    everything = {row["id"] for row in (await box.request("/v1/models", key=await box.new_key())).json["data"]}
    assert {"claims", "c", "support-chat"} <= everything
