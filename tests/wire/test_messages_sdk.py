"""The official SDK parses what the Messages dialect writes: streams, whole answers, errors and token counts."""

from __future__ import annotations

from pathlib import Path

import anthropic
import httpx2
import pytest

from signalbox.core.errors import BadRequest, BodyTooLarge, CallError, Overloaded, Unauthenticated
from signalbox.core.hub import (
    Event,
    Finished,
    PartDone,
    Request,
    Response,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolDelta,
    ToolStarted,
)
from signalbox.core.usage import Usage
from signalbox.wire.anthropic_messages import COUNT_TOKENS, MESSAGES

USAGE = Usage(tokens_in=11, cache_read=7, cache_write_5m=2, cache_write_1h=3, tokens_out=20, reasoning=5)


def _client(body: bytes, *, status: int = 200, stream: bool = False) -> anthropic.Anthropic:
    kind = "text/event-stream" if stream else "application/json"

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body, headers={"content-type": kind})

    transport = httpx2.MockTransport(answer)
    return anthropic.Anthropic(api_key="k", http_client=httpx2.Client(transport=transport), max_retries=0)


def _stream(body: bytes) -> anthropic.types.Message:
    with _client(body, stream=True).messages.stream(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
    ) as stream:
        for _ in stream:
            pass
        return stream.get_final_message()


def _write(events: list[Event]) -> bytes:
    writer = MESSAGES.writer(Request(messages=()), "msg_ours", 0)
    return writer.write(events) + writer.end(USAGE)


def test_the_stream_accumulator() -> None:
    events: list[Event] = [
        Started("up", "llama"),
        ThinkingDelta(0, "let me ", origin="anthropic"),
        ThinkingDelta(0, "see", origin="anthropic"),
        ThinkingDelta(0, signature="c2ln", origin="anthropic"),
        PartDone(0),
        ThinkingDelta(1, redacted="cmVk", origin="anthropic"),
        PartDone(1),
        TextDelta(2, "Hel"),
        TextDelta(2, "lo 👋"),
        ToolStarted(3, "call_1", "f"),
        ToolStarted(4, "call:2", "g"),
        ToolDelta(4, '{"b":'),
        ToolDelta(3, '{"a": "1"}'),
        ToolDelta(4, "[1, 2]}"),
        Finished("tool_calls"),
    ]
    message = _stream(_write(events))
    assert message.id == "msg_ours"
    assert message.model == "llama"
    assert message.stop_reason == "tool_use"
    assert [block.type for block in message.content] == [
        "thinking",
        "redacted_thinking",
        "text",
        "tool_use",
        "tool_use",
    ]
    thinking, redacted, text, first, second = message.content
    assert (thinking.thinking, thinking.signature, redacted.data) == ("let me see", "c2ln", "cmVk")  # type: ignore[union-attr]
    assert text.text == "Hello 👋"  # type: ignore[union-attr]
    assert (first.id, first.input) == ("call_1", {"a": "1"})  # type: ignore[union-attr]
    assert second.input == {"b": [1, 2]}  # type: ignore[union-attr]
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (11, 7, 5)
    assert usage.output_tokens == 25
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 5


def test_the_stream_accumulator_reads_our_recording_and_pings() -> None:
    recorded = (Path(__file__).parent / "golden" / "messages_streams" / "tools.sse").read_bytes()
    message = _stream(MESSAGES.heartbeat() + recorded)
    assert message.usage.output_tokens == 89


@pytest.mark.parametrize("finish", ["stop", "length", "stop_sequence", "refusal", "pause", "content_filter", "error"])
def test_every_finish_is_a_stop_reason_that_the_sdk_knows(finish: str) -> None:
    message = _stream(_write([Started("a", "m"), TextDelta(0, "x"), Finished(finish)]))
    anthropic.types.Message.model_validate(message.model_dump(), strict=True)


def test_an_error_in_the_stream_is_raised() -> None:
    body = _write([Started("a", "m"), TextDelta(0, "x")]) + MESSAGES.error_event(Overloaded("busy"), "req_1")
    with pytest.raises(anthropic.APIStatusError, match="busy"):
        _stream(body)


def test_a_whole_answer() -> None:
    parts = (
        Thinking("why", signature="c2ln", origin="anthropic"),
        Thinking("foreign"),
        Text("ok"),
        ToolCall("call_1", "f", ' {"n": 1.50} '),
        ToolCall("call_2", "g", ""),
    )
    body = MESSAGES.write_response(Response("msg_1", "llama", parts, "stop"), USAGE)
    assert b'{"n": 1.50}' in body
    message = _client(body).messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}])
    anthropic.types.Message.model_validate(message.model_dump(), strict=True)
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.stop_reason == "tool_use"
    assert message.usage.cache_creation is not None
    assert message.usage.cache_creation.ephemeral_1h_input_tokens == 3
    seen = MESSAGES.seen(body)
    assert seen.usage == USAGE
    back = MESSAGES.read_response(body)
    assert back.parts == (parts[0], parts[2], ToolCall("call_1", "f", '{"n": 1.50}'), ToolCall("call_2", "g", "{}"))


def test_broken_tool_arguments_are_no_answer() -> None:
    response = Response("m", "x", (ToolCall("c", "f", '{"a":'),), "tool_calls")
    with pytest.raises(ValueError, match="no JSON object"):
        MESSAGES.write_response(response, USAGE)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BadRequest("bad"), anthropic.BadRequestError),
        (Unauthenticated("who"), anthropic.AuthenticationError),
        (BodyTooLarge("big"), anthropic.RequestTooLargeError),
        (Overloaded("busy"), anthropic.APIStatusError),
    ],
)
def test_error_bodies(error: CallError, expected: type[anthropic.APIStatusError]) -> None:
    client = _client(MESSAGES.error_body(error, "req_7"), status=error.status)
    with pytest.raises(expected) as raised:
        client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}])
    assert raised.value.body["request_id"] == "req_7"  # type: ignore[index]
    assert error.message in raised.value.message


def test_token_counts() -> None:
    body = COUNT_TOKENS.write_response(Response("", "", (), "stop"), Usage(tokens_in=42))
    count = _client(body).messages.count_tokens(model="m", messages=[{"role": "user", "content": "x"}])
    assert count.input_tokens == 42
