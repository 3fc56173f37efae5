"""Beta features that a client's headers name: sent to who knows them, else named in the answer, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from canned_upstream import CannedUpstream, http

from harness import running, simulated_config

TURN = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 16}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/messages": TURN,
    "/v1/messages/count_tokens": {"messages": TURN["messages"]},
    "/v1/chat/completions": TURN,
    "/v1/responses": {"input": "x", "store": False},
}
SENT = "context-1m-2025-08-07, interleaved-thinking-2025-05-14,effort-2025-11-24"
ALL = [f"anthropic-beta.{one.strip()}" for one in SENT.split(",")]
# Which endpoint, the client's header, the deployment, what it knows; the header it gets, and what the answer names.
CASES: dict[str, tuple[str, str, str, list[str] | None, str | None, list[str]]] = {
    "all": ("/v1/messages", "anthropic-beta", "messages", None, SENT, []),
    "known": ("/v1/messages", "anthropic-beta", "messages", [one.strip() for one in SENT.split(",")], SENT, []),
    "some": (
        "/v1/messages",
        "anthropic-beta",
        "messages",
        ["effort-2025-11-24", "interleaved-thinking-2025-05-14"],
        "interleaved-thinking-2025-05-14,effort-2025-11-24",
        ALL[:1],
    ),
    "none": ("/v1/messages", "anthropic-beta", "messages", [], None, ALL),
    "counted": (
        "/v1/messages/count_tokens",
        "anthropic-beta",
        "messages",
        ["effort-2025-11-24"],
        "effort-2025-11-24",
        ALL[:2],
    ),
    "translated": ("/v1/messages", "anthropic-beta", "chat", None, None, ALL),
    "to-responses": ("/v1/messages", "anthropic-beta", "responses", None, None, ALL),
    "openai": ("/v1/responses", "openai-beta", "responses", None, SENT, []),
    "openai-some": (
        "/v1/chat/completions",
        "openai-beta",
        "chat",
        ["effort-2025-11-24"],
        "effort-2025-11-24",
        [one.replace("anthropic", "openai") for one in ALL[:2]],
    ),
    "openai-translated": (
        "/v1/chat/completions",
        "openai-beta",
        "messages",
        None,
        None,
        [one.replace("anthropic", "openai") for one in ALL],
    ),
}

STREAMING = [name for name, case in CASES.items() if not case[0].endswith("count_tokens")]


@pytest.mark.parametrize("role", ["primary", "fallback"])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("case", "stream"), [(one, False) for one in CASES] + [(one, True) for one in STREAMING])
async def test_a_beta_goes_to_who_knows_it_and_is_named_where_it_does_not(
    tmp_path: Path, case: str, strict: bool, stream: bool, role: str
) -> None:
    path, header, name, betas, there, named = CASES[case]
    counts = path.endswith("count_tokens")
    async with CannedUpstream() as down, running(tmp_path / "state") as box:
        down.answer = http(503, b"{}")
        config = simulated_config(
            box.sim,
            deployments={"down": down.deployment("anthropic", ["messages", "count_tokens"])}
            if header == "anthropic-beta"
            else {"down": down.deployment("openai", ["chat", "responses"])},
            workloads={"w": {"placements": [name] if role == "primary" else ["down", name], "strict": strict}},
        )
        if betas is not None:
            config["deployments"][name]["capabilities"]["betas"] = betas
        assert not await box.configure(config)
        body = {**BODIES[path], "model": "w"} | ({"stream": True} if stream else {})
        answer = await box.request(path, body, headers={header: SENT})
        if role == "fallback":
            assert f"{header}: {SENT}\r\n".encode() in down.asked[0], "who comes first is told by its own list"
        if strict and named:
            assert not box.sim.log.entries
            if role == "primary":
                assert answer.status == 400, answer.body
                assert f"cannot honour: {', '.join(sorted(named))}; " in answer.json["error"]["message"]
            else:  # told as what befell the one that could
                assert answer.status == (200 if counts else 503), answer.body
            return
        assert answer.status == 200, answer.body
        assert answer.headers.get("x-signalbox-dropped", "") == ", ".join(sorted(named))
        asked = box.sim.log.entries[-1]
        assert asked.header(header) == there
        if name == "messages" and not counts:
            assert asked.header("anthropic-version") == "2023-06-01"


async def test_the_operators_own_betas_stay_and_a_name_that_is_no_name_is_told_by_its_header(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        config["deployments"]["messages"] |= {
            "headers": {"anthropic-beta": "own-1"},
            "capabilities": {"apis": ["messages"], "betas": ["known-1"]},
        }
        assert not await box.configure(config)
        body = {**TURN, "model": "w-messages"}
        answer = await box.request("/v1/messages", body, headers={"anthropic-beta": "known-1,a b\tc,"})
        assert (answer.status, answer.headers["x-signalbox-dropped"]) == (200, "anthropic-beta")
        sent = [value for name, value in box.sim.log.entries[-1].headers if name == b"anthropic-beta"]
        assert sent == [b"own-1", b"known-1"]


@pytest.mark.parametrize("bad", ["a,b", "", "a b", "x" * 129])
async def test_a_list_of_betas_holds_one_name_each(tmp_path: Path, bad: str) -> None:
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        config["deployments"]["messages"]["capabilities"]["betas"] = [bad]
        assert "betas" in await box.configure(config)
