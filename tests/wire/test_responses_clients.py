"""What we write for Responses clients, read by the official SDK over a real socket, and by its published types."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import openai
import pytest
from openai.types.responses import Response as SdkResponse
from openai.types.responses import ResponseCustomToolCall, ResponseFunctionToolCall

from signalbox.core.errors import UpstreamTimeout
from signalbox.core.hub import (
    Event,
    Finished,
    Part,
    PartDone,
    Refusal,
    RefusalDelta,
    Request,
    Response,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolDelta,
    ToolStarted,
)
from signalbox.core.stream import SseEvent
from signalbox.core.usage import NO_USAGE, Usage
from signalbox.wire.openai_responses import RESPONSES

USAGE = Usage(tokens_in=70, cache_read=20, cache_write_5m=10, tokens_out=30, reasoning=5)
PATCH = '*** Begin Patch\n+"grün"'
REQUEST = Request(messages=(), tools=(Tool("apply_patch", None, {}, freeform=True), Tool("shell", None, {})))
TURN: list[Event] = [
    Started("msg_x", "claude-x", 1),
    ThinkingDelta(0, "Let me "),
    ThinkingDelta(0, "see."),
    ThinkingDelta(0, signature="Sig.9+/=", origin="anthropic"),
    PartDone(0),
    ThinkingDelta(1, redacted="EmwK", origin="anthropic"),
    PartDone(1),
    TextDelta(2, "Grüße "),
    TextDelta(2, "🚂"),
    PartDone(2),
    ToolStarted(3, "toolu_1", "shell"),
    ToolDelta(3, '{"cmd":'),
    ToolStarted(4, "toolu_2", "apply_patch"),
    ToolDelta(3, ' "ls"}'),
    ToolDelta(4, '{"input": "*** Begin Patch\\n+\\"grün\\"'),
    ToolDelta(4, '"}'),
    Finished("tool_calls"),
]


def stream_of(events: list[Event], usage: Usage = USAGE) -> bytes:
    writer = RESPONSES.writer(REQUEST, "resp_abc", 1_700_000_000)
    return b"".join(writer.write([event]) for event in events) + writer.end(usage)


@contextmanager
def served(body: bytes, content_type: str) -> Iterator[openai.OpenAI]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        with openai.OpenAI(base_url=url, api_key="sk-test", max_retries=0) as client:
            yield client
        server.shutdown()
        thread.join()


def accumulated(body: bytes) -> SdkResponse:
    with served(body, "text/event-stream") as client, client.responses.stream(model="m", input="x") as stream:
        return stream.get_final_response()


def test_the_sdk_accumulates_a_whole_agent_turn() -> None:
    final = accumulated(stream_of(TURN))
    assert (final.id, final.status, final.model, final.output_text) == ("resp_abc", "completed", "claude-x", "Grüße 🚂")
    assert [item.type for item in final.output] == [
        "reasoning",
        "reasoning",
        "message",
        "function_call",
        "custom_tool_call",
    ]
    thought, _, _, call, patch = final.output
    assert thought.type == "reasoning"
    assert thought.summary[0].text == "Let me see."
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.call_id, call.name, call.arguments) == ("toolu_1", "shell", '{"cmd": "ls"}')
    assert isinstance(patch, ResponseCustomToolCall)
    assert (patch.call_id, patch.name, patch.input) == ("toolu_2", "apply_patch", PATCH)
    assert final.usage is not None
    assert (final.usage.input_tokens, final.usage.input_tokens_details.cached_tokens) == (100, 20)
    assert (final.usage.output_tokens, final.usage.output_tokens_details.reasoning_tokens) == (35, 5)
    assert final.usage.total_tokens == 135


def test_signed_thoughts_come_back_as_they_were() -> None:
    """A client returns the items it was given; the provider that signed a thought must get it unchanged."""
    final = accumulated(stream_of(TURN))
    items = [item.model_dump(exclude_none=True) for item in final.output]
    outputs = [{"type": "function_call_output", "call_id": c, "output": "ok"} for c in ("toolu_1", "toolu_2")]
    request = RESPONSES.read_request({"model": "m", "input": [{"role": "user", "content": "x"}, *items, *outputs]})
    thought, hidden, text, call, patch = request.messages[1].parts
    assert thought == Thinking("Let me see.", "Sig.9+/=", None, "rs_abc_0", "anthropic")
    assert hidden == Thinking("", None, "EmwK", "rs_abc_1", "anthropic")
    assert text == Text("Grüße 🚂")
    assert call == ToolCall("toolu_1", "shell", '{"cmd": "ls"}')
    assert isinstance(patch, ToolCall)
    assert RESPONSES.write_response(Response("r", "m", (patch,), "stop", freeform=frozenset({"apply_patch"})), NO_USAGE)
    assert request.dropped == []


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("stop_sequence", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_ends(reason: str, status: str, details: str | None) -> None:
    body = stream_of([Started("a", "m"), TextDelta(0, "x"), Finished(reason)])
    with served(body, "text/event-stream") as client:
        last = list(client.responses.create(model="m", input="x", stream=True))[-1]
    assert last.type == f"response.{status}"
    assert last.response.status == status
    assert last.response.output_text == "x"
    assert (last.response.incomplete_details.reason if last.response.incomplete_details else None) == details


CUT: list[list[Event]] = [
    [TextDelta(0, "Let"), PartDone(0), ToolStarted(1, "c", "shell"), ToolDelta(1, '{"cm'), PartDone(1)],
    [TextDelta(0, "Let"), ToolStarted(1, "c", "shell"), ToolDelta(1, '{"cm')],
    [ThinkingDelta(0, "Hm"), PartDone(0), TextDelta(1, "Le"), PartDone(1)],
    [TextDelta(0, "Let"), PartDone(0), ThinkingDelta(1, "Hm"), PartDone(1)],
]


@pytest.mark.parametrize("events", CUT)
@pytest.mark.parametrize("reason", ["length", "content_filter", "stop"])
def test_what_a_limit_cut_is_an_incomplete_item(events: list[Event], reason: str) -> None:
    """The end of a part comes before the reason for it, so each item's status must wait for it."""
    with served(stream_of([Started("a", "m"), *events, Finished(reason)]), "text/event-stream") as client:
        end = list(client.responses.create(model="m", input="x", stream=True))[-1]
    assert end.type in ("response.completed", "response.incomplete")
    final = end.response
    told = [getattr(item, "status", None) for item in final.output]
    last = "incomplete" if reason != "stop" else None if final.output[1].type == "reasoning" else "completed"
    assert told == [None if final.output[0].type == "reasoning" else "completed", last]


@pytest.mark.parametrize("reason", ["length", "content_filter", "stop"])
@pytest.mark.parametrize("part", [Text("Le"), ToolCall("c", "shell", '{"cm'), Thinking("Hm")])
def test_what_a_limit_cut_is_an_incomplete_item_of_a_whole_answer(part: Part, reason: str) -> None:
    final = SdkResponse.model_validate_json(
        RESPONSES.write_response(Response("r", "m", (Text("Let"), part), reason), USAGE)
    )
    last = "incomplete" if reason != "stop" else None if isinstance(part, Thinking) else "completed"
    assert [getattr(item, "status", None) for item in final.output] == ["completed", last]


def test_what_ended_before_a_break_is_whole() -> None:
    writer = RESPONSES.writer(REQUEST, "abc", 5)
    told: list[Event] = [Started("a", "m"), TextDelta(0, "x"), PartDone(0)]
    body = writer.write(told) + writer.end(NO_USAGE)
    assert b'"status":"completed"' in body
    writer = RESPONSES.writer(REQUEST, "abc", 5)
    body = writer.write(told[:-1]) + writer.end(NO_USAGE)
    assert b'"status":"completed"' not in body


def test_a_stream_that_was_never_finished_has_failed() -> None:
    writer = RESPONSES.writer(REQUEST, "abc", 5)
    body = writer.write([Started("a", "m"), TextDelta(0, "x")]) + writer.end(NO_USAGE)
    assert b"event: response.failed\n" in body
    assert b"response.completed" not in body


def test_an_empty_answer_is_a_valid_stream() -> None:
    assert accumulated(stream_of([Finished("stop")])).output == []


def test_a_refusal_is_a_refusal() -> None:
    final = accumulated(
        stream_of([Started("a", "m"), RefusalDelta(0, "No"), RefusalDelta(0, "."), Finished("refusal")])
    )
    message = final.output[0]
    assert message.type == "message"
    assert message.content[0].type == "refusal"
    assert message.content[0].refusal == "No."


@pytest.mark.parametrize("before", [b"", RESPONSES.writer(REQUEST, "abc", 5).write([Started("a", "m")])])
def test_the_sdk_raises_on_our_error_event(before: bytes) -> None:
    body = before + RESPONSES.heartbeat() + RESPONSES.error_event(UpstreamTimeout("Too slow."), "req_1")

    def consume(read: Callable[[openai.OpenAI], Any]) -> None:
        with served(body, "text/event-stream") as client, pytest.raises(openai.APIError, match="Too slow"):
            read(client)

    consume(lambda client: list(client.responses.create(model="m", input="x", stream=True)))


PARTS: tuple[Part, ...] = (
    Thinking("Hm.", "Sig", None, None, "anthropic"),
    Text("Hello"),
    Refusal("No."),
    ToolCall("toolu_1", "shell", "{}"),
    ToolCall("toolu_2", "apply_patch", '{"input":"x"}'),
)


def test_the_sdk_reads_our_unary_answer() -> None:
    response = Response("msg_1", "m", PARTS, "tool_calls", None, 17, frozenset({"apply_patch"}))
    body = RESPONSES.write_response(response, USAGE)
    SdkResponse.model_validate_json(body)
    with served(body, "application/json") as client:
        told = client.responses.create(model="m", input="x")
    assert (told.id, told.status, told.created_at, told.output_text) == ("resp_msg_1", "completed", 17, "Hello")
    types = ["reasoning", "message", "message", "function_call", "custom_tool_call"]
    assert [item.type for item in told.output] == types
    seen = RESPONSES.seen(body)
    assert (seen.ok, seen.end, seen.finished, seen.usage) == (True, True, True, USAGE)


def test_our_unary_answer_read_again() -> None:
    response = Response("resp_1", "m", (Text("Hello"), ToolCall("c", "shell", "{ }")), "tool_calls", None, 17)
    assert RESPONSES.read_response(RESPONSES.write_response(response, USAGE)) == response


def test_our_own_stream_passes_our_own_observer() -> None:
    observer = RESPONSES.observer()
    blocks = stream_of(TURN).split(b"\n\n")[:-1]
    seen = [observer.observe(SseEvent(b"", "", block.partition(b"\ndata: ")[2])) for block in blocks]
    assert all(s.ok for s in seen)
    assert [s.end for s in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[-1].usage == USAGE
