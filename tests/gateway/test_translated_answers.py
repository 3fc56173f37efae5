"""What a client sees of an answer that another protocol gave: a time it can show, nothing left out quietly."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from canned_upstream import CannedUpstream, http

from harness import Box, running

CALLS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
    "/v1/responses": {"input": "x"},
    "/v1/completions": {"prompt": "x"},
}


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "state") as made:
        yield made


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", CALLS)
async def test_a_translated_answer_says_when_it_was_made(box: Box, path: str, stream: bool) -> None:
    before_s = int(time.time())
    for model in ("w-chat", "w-responses", "w-messages"):
        answer = await box.request(path, {**CALLS[path], "model": model, "stream": stream})
        told = re.findall(rb'"created(?:_at)?":(\d+)', answer.body)
        assert answer.status == 200
        assert told, model
        assert all(before_s - 1 <= int(value) <= time.time() + 1 for value in told), model


@pytest.mark.parametrize("model", ["w-responses", "w-messages"])
@pytest.mark.parametrize("options", [{}, {"search_context_size": "low"}])
async def test_a_search_that_another_protocol_cannot_carry_is_refused(
    box: Box, model: str, options: dict[str, Any]
) -> None:
    body = {**CALLS["/v1/chat/completions"], "model": model, "web_search_options": options}
    answer = await box.request("/v1/chat/completions", body)
    assert answer.status == 400
    assert answer.json["error"]["param"] == "web_search_options"
    assert not box.bill()


# Path, what is sent, where to, and its name there, which is the client's own.
DROPPED: list[tuple[str, dict[str, Any], str, str]] = [
    ("/v1/messages", {"max_tokens": 9, "stop_sequences": ["x"]}, "w-responses", "stop_sequences"),
    ("/v1/messages", {"max_tokens": 9, "stop_sequences": [" "]}, "w-messages", ""),
    ("/v1/messages", {"max_tokens": 9, "stop_sequences": ["x"]}, "w-chat", ""),
    ("/v1/chat/completions", {"stop": ["x"]}, "w-responses", "stop"),
    ("/v1/completions", {"stop": ["x"]}, "w-responses", "stop"),
    ("/v1/responses", {"reasoning": {"effort": "low"}, "max_output_tokens": 16}, "w-messages", "reasoning.effort"),
    ("/v1/responses", {"text": {"verbosity": "low"}, "max_output_tokens": 16}, "w-chat", "text.verbosity"),
    ("/v1/responses", {"text": {"verbosity": "low"}, "max_output_tokens": 16}, "w-messages", "text.verbosity"),
    ("/v1/chat/completions", {"verbosity": "low", "max_tokens": 16}, "w-responses", ""),
    ("/v1/chat/completions", {"reasoning_effort": "low", "max_tokens": 16}, "w-messages", "reasoning_effort"),
]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "tuning", "workload", "name"), DROPPED)
async def test_what_is_dropped_has_the_name_that_the_client_wrote(
    tmp_path: Path, path: str, tuning: dict[str, Any], workload: str, name: str, stream: bool, strict: bool
) -> None:
    own = {"workloads": {workload: {"placements": [workload.removeprefix("w-")], "strict": strict}}}
    body = {**CALLS.get(path, CALLS["/v1/chat/completions"]), **tuning, "model": workload, "stream": stream}
    async with running(tmp_path / "state", own) as box:
        answer = await box.request(path, body)
    if strict and name:
        assert answer.status == 400
        assert f" cannot honour: {name}; the workload is strict." in answer.json["error"]["message"]
        assert answer.json["error"].get("param", name) == name
    else:
        assert (answer.status, answer.headers.get("x-signalbox-dropped", "")) == (200, name)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["w-chat", "w-responses", "w-messages"])
async def test_an_answer_that_its_limit_cut_says_so_on_its_last_item(box: Box, model: str, stream: bool) -> None:
    body = {"model": model, "input": "[[tokens:64]]", "max_output_tokens": 16, "stream": stream}
    answer = await box.request("/v1/responses", body)
    done = answer.json if not stream else json.loads(answer.events[-1].partition("data: ")[2])["response"]
    assert (done["status"], done["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert done["output"][-1]["status"] == "incomplete"


@pytest.mark.parametrize("model", ["w-chat", "w-responses"])
async def test_a_translated_stream_tells_expected_input_first_and_the_true_one_at_its_end(box: Box, model: str) -> None:
    """Clients of Messages show from `message_start` how full the context is; `message_delta` puts it right."""
    body = {"model": model, "max_tokens": 16, "stream": True, "messages": [{"role": "user", "content": "word " * 400}]}
    expected: list[int] = []
    for _ in range(24):
        answer = await box.request("/v1/messages", body)
        events = [json.loads(event.partition("data: ")[2]) for event in answer.events]
        begun = next(event["message"]["usage"] for event in events if event["type"] == "message_start")
        ended = next(event["usage"] for event in events if event["type"] == "message_delta")
        expected.append(begun["input_tokens"])
        assert ended["input_tokens"] == box.bill()[-1].tokens_in
    true = box.bill()[-1].tokens_in
    assert 0 < true <= expected[0] < 8 * true


def answered(arguments: str, finish: str) -> bytes:
    """A whole chat completion that thinks and calls a tool."""
    function = {"name": "f", "arguments": arguments}
    message = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
    }
    doc = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    return http(200, json.dumps(doc).encode())


MESSAGE = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}


async def test_arguments_that_are_no_json_are_the_providers_fault_and_another_is_asked(tmp_path: Path) -> None:
    async with CannedUpstream() as upstream, running(tmp_path / "state", upstream.config()) as box:
        upstream.answer = answered("not json", "tool_calls")
        alone = await box.request("/v1/messages", {"model": "canned", **MESSAGE})
        assert (alone.status, alone.json["error"]["type"]) == (502, "api_error")
        asked = len(upstream.asked)
        helped = await box.request("/v1/messages", {"model": "canned-then-local", **MESSAGE})
        assert (helped.status, len(upstream.asked) > asked) == (200, True)
        assert helped.headers["x-signalbox-placement"] == "local@vllm-env"


async def test_a_call_cut_by_its_limit_is_an_answer_and_a_foreign_thought_is_named(tmp_path: Path) -> None:
    async with CannedUpstream() as upstream, running(tmp_path / "state", upstream.config()) as box:
        upstream.answer = answered('{"a": ', "length")
        answer = await box.request("/v1/messages", {"model": "canned", **MESSAGE})
        assert (answer.status, answer.json["stop_reason"], answer.json["content"]) == (200, "max_tokens", [])
        assert answer.headers["x-signalbox-dropped"] == "thinking"
        (row,) = await box.settled(1)
        assert (row["state"], row["usage_source"]) == ("settled", "provider")
