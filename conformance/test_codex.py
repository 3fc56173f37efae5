"""Codex, one shot through the gateway: over Responses natively, and over chat and Messages translated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stage import MODEL, MODULES, Ran, Stage, assert_books_agree, top_level_model_replaced

from signalbox.simulator.faults import Rule

CODEX = MODULES / ".bin" / "codex"
TOOL_TURN = 'Say it. [[tool:exec_command {"cmd":"echo signal-42"}]]'
# Not "OpenAI": for that name Codex compacts remotely, at an endpoint of OpenAI's own.
CONFIG = """\
model_provider = "signalbox"
model = "{model}"
model_context_window = 200000
approval_policy = "never"
sandbox_mode = "read-only"
check_for_update_on_startup = false
{more}
[analytics]
enabled = false

[model_providers.signalbox]
name = "Signalbox"
base_url = "http://127.0.0.1:{port}/v1"
env_key = "SIGNALBOX_KEY"
wire_api = "responses"
"""
# What has no counterpart outside Responses: namespaces of tools, and tools that the provider runs.
PORTABLE = """\
web_search = "disabled"

[features]
multi_agent = false
"""
EVERY = ["codex-responses", "codex-chat", "codex-messages"]


async def codex(stage: Stage, workload: str, prompt: str, more: str = PORTABLE) -> Ran:
    home = stage.home / "codex"
    home.mkdir()
    (home / "config.toml").write_text(CONFIG.format(model=workload, port=stage.client.port, more=more))
    env = {"CODEX_HOME": str(home), "SIGNALBOX_KEY": stage.box.key}
    return await stage.run(str(CODEX), "exec", "--strict-config", "--skip-git-repo-check", "--json", prompt, env=env)


def events(ran: Ran) -> list[dict[str, Any]]:
    assert ran.code == 0, ran.out + ran.err
    return [json.loads(line) for line in ran.out.splitlines() if line.startswith("{")]


def items(ran: Ran, kind: str) -> list[dict[str, Any]]:
    return [e["item"] for e in events(ran) if e["type"] == "item.completed" and e["item"]["type"] == kind]


@pytest.mark.parametrize("workload", EVERY)
async def test_a_turn_with_a_tool(stage: Stage, workload: str) -> None:
    ran = await codex(stage, workload, TOOL_TURN)
    (command,) = items(ran, "command_execution")
    assert (command["aggregated_output"], command["exit_code"]) == ("signal-42\n", 0)
    (message,) = items(ran, "agent_message")
    assert len(message["text"].split()) == 16
    assert [(exchange.path, exchange.status) for exchange in stage.client.exchanges] == [("/v1/responses", 200)] * 2
    rows = await stage.box.settled(2)
    assert [row["state"] for row in rows] == ["settled", "settled"]
    usage = events(ran)[-1]["usage"]
    assert usage["input_tokens"] == sum(row["tokens_in"] for row in rows)
    assert usage["output_tokens"] == sum(row["tokens_out"] for row in rows)
    assert_books_agree(stage.box, rows)


async def test_natively_nothing_changes_but_the_model(stage: Stage) -> None:
    """With everything that Codex sends by default, tools of every kind included."""
    items(await codex(stage, "codex-responses", TOOL_TURN, more=""), "agent_message")
    asked, received = stage.client.exchanges, stage.box.sim.log.entries
    assert len(asked) == len(received) == 2
    for exchange, entry in zip(asked, received, strict=True):
        assert b'"type":"namespace"' in exchange.body
        assert entry.body == top_level_model_replaced(exchange.body, MODEL)
        told = [value for key, value in entry.headers if stage.box.key.encode() in value]
        assert told == [], "the virtual key stays here"


async def test_what_cannot_be_carried_is_refused_once_and_named(stage: Stage) -> None:
    ran = await codex(stage, "codex-chat", "hello", more="")
    assert ran.code == 1
    assert "namespace" in ran.out
    assert [exchange.status for exchange in stage.client.exchanges] == [400]
    assert stage.box.sim.log.entries == []


@pytest.mark.parametrize("workload", EVERY)
@pytest.mark.parametrize(("fault", "first"), [("529;once", "failed"), ("eof@3;once", "unknown")])
async def test_it_recovers_from_one_failure(stage: Stage, workload: str, fault: str, first: str) -> None:
    """Overloaded before anything was said, and a stream that dies in the middle."""
    stage.box.sim.faults.add(Rule(fault=fault))
    ran = await codex(stage, workload, "[[text:All is well on the line.]]")
    assert items(ran, "agent_message")[-1]["text"] == "All is well on the line."
    rows = await stage.box.settled(2)
    assert [row["state"] for row in rows] == [first, "settled"]
