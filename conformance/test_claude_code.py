"""Claude Code, one shot through the gateway: over Messages natively, and over chat and Responses translated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stage import MODEL, MODULES, Ran, Stage, assert_books_agree, top_level_model_replaced

from signalbox.simulator.faults import Rule

CLAUDE = MODULES / "@anthropic-ai" / "claude-code" / "cli-wrapper.cjs"
TOOL_TURN = 'Say it. [[tool:Bash {"command":"echo signal-42","description":"Says it"}]]'
EVERY = ["claude-messages", "claude-chat", "claude-responses"]


async def claude(stage: Stage, workload: str, prompt: str) -> Ran:
    return await stage.run(
        "node", str(CLAUDE), "-p", prompt, "--model", workload, "--output-format", "json", "--allowedTools", "Bash",
        env={
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{stage.client.port}",
            "ANTHROPIC_AUTH_TOKEN": stage.box.key,
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": workload,
            "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
    )  # fmt: skip


def result(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.out + ran.err
    found: dict[str, Any] = json.loads(ran.out)
    assert found["is_error"] is False, ran.out
    return found


@pytest.mark.parametrize("workload", EVERY)
async def test_a_turn_with_a_tool(stage: Stage, workload: str) -> None:
    ran = await claude(stage, workload, TOOL_TURN)
    answered = result(ran)
    asked = [exchange for exchange in stage.client.exchanges if exchange.method == "POST"]
    assert [(exchange.path, exchange.status) for exchange in asked] == [("/v1/messages", 200)] * 2
    assert b"signal-42" in asked[1].body.split(b'"tool_result"')[1], "the tool ran, and its output went back"
    assert answered["result"].split() == streamed_text(asked[1].answer).split()
    assert len(answered["result"].split()) == 16
    rows = await stage.box.settled(2)
    assert [row["state"] for row in rows] == ["settled", "settled"]
    assert answered["usage"]["output_tokens"] == sum(row["tokens_out"] for row in rows)
    assert answered["usage"]["input_tokens"] == sum(row["tokens_in"] for row in rows)
    assert_books_agree(stage.box, rows)
    assert stage.outside.asked == []


async def test_natively_nothing_changes_but_the_model(stage: Stage) -> None:
    result(await claude(stage, "claude-messages", TOOL_TURN))
    asked = [exchange for exchange in stage.client.exchanges if exchange.path == "/v1/messages"]
    received = stage.box.sim.log.entries
    assert len(asked) == len(received) == 2
    for exchange, entry in zip(asked, received, strict=True):
        assert entry.body == top_level_model_replaced(exchange.body, MODEL)
        assert exchange.header("anthropic-beta")
        for name in ("anthropic-beta", "anthropic-version"):
            assert entry.header(name) == exchange.header(name)
        assert entry.path.endswith(exchange.target)
        told = [value for key, value in entry.headers if stage.box.key.encode() in value]
        assert told == [], "the virtual key stays here"


async def test_discovery_lists_what_the_key_may_use(stage: Stage) -> None:
    result(await claude(stage, "claude-messages", "[[text:Hello.]]"))
    (asked,) = [exchange for exchange in stage.client.exchanges if exchange.path == "/v1/models"]
    assert asked.status == 200
    listed = {model["id"] for model in json.loads(asked.answer.partition(b"\r\n\r\n")[2])["data"]}
    assert set(EVERY) <= listed


@pytest.mark.parametrize("workload", ["claude-messages", "claude-chat"])
async def test_tokens_are_counted_for_the_context_view(stage: Stage, workload: str) -> None:
    assert "Context Usage" in result(await claude(stage, workload, "/context"))["result"]
    counts = [exchange for exchange in stage.client.exchanges if exchange.path == "/v1/messages/count_tokens"]
    assert counts
    assert {exchange.status for exchange in counts} == {200}


@pytest.mark.parametrize("workload", EVERY)
@pytest.mark.parametrize(("fault", "first"), [("529;once", "failed"), ("eof@3;once", "unknown")])
async def test_it_recovers_from_one_failure(stage: Stage, workload: str, fault: str, first: str) -> None:
    """Overloaded before anything was said, and a stream that dies in the middle."""
    stage.box.sim.faults.add(Rule(fault=fault))
    answered = result(await claude(stage, workload, "[[text:All is well on the line.]]"))
    assert answered["result"] == "All is well on the line."
    rows = await stage.box.settled(2)
    assert [row["state"] for row in rows] == [first, "settled"]


async def test_a_wrong_key_is_told_plainly(stage: Stage) -> None:
    stage.box.key = "sb-wrong"
    ran = await claude(stage, "claude-messages", "hello")
    assert ran.code == 1
    assert "401" in ran.out
    assert stage.box.sim.log.entries == []


def streamed_text(answer: bytes) -> str:
    """The text of a Messages stream, chunked framing and all."""
    text = ""
    for line in answer.decode().splitlines():
        if line.startswith('data: {"type":"content_block_delta"'):
            text += json.loads(line[6:])["delta"].get("text", "")
    return text
