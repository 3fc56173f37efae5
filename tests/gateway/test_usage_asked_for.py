"""Who asks for usage in a stream is told one: the provider's, else the ledger's estimate, which says that it is one."""

import json
from pathlib import Path
from typing import Any

import pytest
from canned_upstream import CannedUpstream, http
from openai import AsyncOpenAI

from harness import Box, running

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
SAYS_SO = ": signalbox: the provider told no usage; this one is estimated"


def _chunk(path: str, text: str, finish: str | None = None, **more: Any) -> str:
    inner: dict[str, Any] = {"delta": {"content": text}} if path == CHAT else {"text": text, "logprobs": None}
    object_ = "chat.completion.chunk" if path == CHAT else "text_completion"
    choice = {"index": 0, "finish_reason": finish, **inner}
    doc = {"id": "c7", "object": object_, "created": 5, "model": "theirs", "choices": [choice], **more}
    return f"data: {json.dumps(doc)}\n\n"


def _stream(path: str, *, usage: bool = False, done: bool = True) -> bytes:
    told = _chunk(path, "", usage={"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}).replace(
        '"choices": [', '"choices": [] , "was": ['
    )
    parts = [_chunk(path, "one two "), _chunk(path, "three"), _chunk(path, "", "stop")]
    return "".join([*parts, told if usage else "", "data: [DONE]\n\n" if done else ""]).encode()


async def _ask(box: Box, path: str, workload: str = "canned", *, include: bool) -> bytes:
    asked: dict[str, Any] = {"model": workload, "stream": True, "max_tokens": 9}
    asked |= {"messages": [{"role": "user", "content": "hi"}]} if path == CHAT else {"prompt": "hi"}
    if include:
        asked["stream_options"] = {"include_usage": True}
    answer = await box.request(path, asked)
    assert answer.status == 200, answer.body
    return answer.body


@pytest.mark.parametrize("guards", [[], ["no-secrets"]], ids=["bare", "guarded"])
@pytest.mark.parametrize("done", [True, False], ids=["done", "cut off"])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_usage_that_a_provider_does_not_tell_is_estimated(
    tmp_path: Path, path: str, done: bool, guards: list[str]
) -> None:
    async with CannedUpstream() as upstream:
        config = upstream.config()
        config["workloads"]["canned"]["guards"] = guards
        async with running(tmp_path / "state", config) as box:
            sent = _stream(path, done=done)
            upstream.answer = http(200, sent, b"content-type: text/event-stream\r\n")
            answer = (await _ask(box, path, include=True)).decode()
            events = [event for event in answer.split("\n\n") if event]
            assert events[-1] == "data: [DONE]"
            assert events[-3] == SAYS_SO
            assert answer.count('"usage"') == 1
            told = json.loads(events[-2].removeprefix("data: "))
            assert (told["choices"], told["id"], told["model"], told["created"]) == ([], "c7", "theirs", 5)
            (row,) = await box.settled(1)
            assert row["usage_source"] == "estimated"
            counted = (told["usage"]["prompt_tokens"], told["usage"]["completion_tokens"])
            assert counted == (row["tokens_in"], row["tokens_out"])
            assert min(counted) > 0


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_nothing_is_added_where_nothing_is_missing(tmp_path: Path, path: str) -> None:
    """A client that did not ask, and a provider that tells: the provider's own bytes."""
    async with CannedUpstream() as upstream, running(tmp_path / "state", upstream.config()) as box:
        for include, usage in ((False, False), (True, True)):
            sent = _stream(path, usage=usage)
            upstream.answer = http(200, sent, b"content-type: text/event-stream\r\n")
            assert await _ask(box, path, include=include) == sent


async def test_openais_client_reads_it(tmp_path: Path) -> None:
    async with CannedUpstream() as upstream, running(tmp_path / "state", upstream.config()) as box:
        upstream.answer = http(200, _stream(CHAT), b"content-type: text/event-stream\r\n")
        async with AsyncOpenAI(base_url=box.url + "/v1", api_key=box.key) as client:
            stream = await client.chat.completions.create(
                model="canned",
                messages=[{"role": "user", "content": "hi"}],
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]
        assert [bool(chunk.usage) for chunk in chunks] == [False, False, False, True]
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_thoughts_that_no_chat_client_can_be_told_are_named(tmp_path: Path, stream: bool) -> None:
    """In the head of a whole answer; of a stream the head left before, so in a comment before its end."""
    async with CannedUpstream() as upstream, running(tmp_path / "state", upstream.config()) as box:
        block = {"type": "redacted_thinking", "data": "AAAA"}
        text = {"type": "text", "text": "yes"}
        usage = {"input_tokens": 4, "output_tokens": 5}
        message: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "usage": usage}
        message |= {"content": [block, text], "stop_reason": "end_turn", "stop_sequence": None}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "yes"}},
            {"type": "content_block_stop", "index": 1},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
            {"type": "message_stop"},
        ]
        told = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        if stream:
            upstream.answer = http(200, told.encode(), b"content-type: text/event-stream\r\n")
        else:
            upstream.answer = http(200, json.dumps(message).encode())
        asked = {"model": "canned-messages", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        answer = await box.request(CHAT, asked)
        assert answer.status == 200, answer.body
        if stream:
            assert answer.events[-2:] == [": x-signalbox-dropped: thinking", "data: [DONE]"]
        else:
            assert answer.headers["x-signalbox-dropped"] == "thinking"
