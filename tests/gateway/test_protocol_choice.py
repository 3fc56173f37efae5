"""A deployment of several protocols is called in the one that carries what the caller said, on every endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from canned_upstream import CannedUpstream, http

from conversations import PATHS
from harness import running, simulated_config

TURN = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 16}
ASKED: dict[str, dict[str, Any]] = {"chat": TURN, "responses": {"input": "x"}, "messages": TURN}
# Who calls, what is said, what the deployment speaks, in what it is called, how that is said there.
CHOICES: list[tuple[str, dict[str, Any], list[str], str, dict[str, Any]]] = [
    ("messages", {}, ["chat", "responses"], "responses", {}),
    ("messages", {"stop_sequences": ["END"]}, ["chat", "responses"], "chat", {"stop": ["END"]}),
    ("messages", {"stop_sequences": ["END"]}, ["chat", "responses", "messages"], "messages", {}),
    ("chat", {"stop": "END"}, ["responses", "messages"], "messages", {"stop_sequences": ["END"]}),
    ("chat", {"metadata": {"a": "b"}}, ["responses", "messages"], "responses", {"metadata": {"a": "b"}}),
    ("responses", {"temperature": 0.5}, ["chat", "messages"], "chat", {"temperature": 0.5}),
]
IDS = [f"{api}-{'-'.join(said) or 'nothing'}-as-{taken}-of-{len(apis)}" for api, said, apis, taken, _ in CHOICES]


@pytest.mark.parametrize("role", ["primary", "fallback"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("api", "said", "apis", "taken", "there"), CHOICES, ids=IDS)
async def test_nothing_is_left_out_that_a_protocol_of_the_deployment_carries(
    tmp_path: Path,
    api: str,
    said: dict[str, Any],
    apis: list[str],
    taken: str,
    there: dict[str, Any],
    strict: bool,
    stream: bool,
    role: str,
) -> None:
    async with CannedUpstream() as down, running(tmp_path / "state") as box:
        down.answer = http(503, b"{}")
        several = {
            **down.deployment("openai", apis),
            "base_url": box.sim.base_url("openai"),
            "model": "sim-small",
            "price": "free",
        }
        placements = ["several"] if role == "primary" else ["down", "several"]
        config = simulated_config(
            box.sim,
            deployments={"several": several, "down": down.deployment("openai", [api])},
            workloads={"w": {"placements": placements, "strict": strict}},
        )
        assert not await box.configure(config)
        answer = await box.request(PATHS[api], {**ASKED[api], **said, "model": "w", "stream": stream})
        assert (answer.status, answer.headers.get("x-signalbox-dropped")) == (200, None), answer.body
        asked = box.sim.log.entries[-1]
        assert (asked.endpoint, bool(down.asked)) == (taken, role == "fallback")
        assert json.loads(asked.body).items() >= there.items()
        if taken == api:
            assert json.loads(asked.body).items() >= said.items()
        row = (await box.settled(len(placements)))[-1]
        assert (row["deployment"], row["state"]) == ("several", "settled")
