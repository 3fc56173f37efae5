"""The Messages event stream: metered in passing, read into hub events, and written for clients of this API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from signalbox.core.errors import BadRequest, PlacementUnavailable
from signalbox.core.hub import (
    Event,
    Finished,
    PartDone,
    RefusalDelta,
    Request,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStarted,
)
from signalbox.core.stream import Seen, SseEvent
from signalbox.core.usage import Usage
from signalbox.wire.anthropic_messages import MESSAGES
from signalbox.wire.sse import SseDecoder

TOOLS_STREAM = (Path(__file__).parent / "golden" / "messages_streams" / "tools.sse").read_bytes()
TOOLS_EVENTS: list[Event] = [
    Started("msg_01", "claude-sonnet-4-5-20250929"),
    ThinkingDelta(0, origin="anthropic"),
    ThinkingDelta(0, "Two cities: Zürich, 東京.", origin="anthropic"),
    ThinkingDelta(0, signature="EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk", origin="anthropic"),
    PartDone(0),
    TextDelta(1, "Grüezi 👋"),
    PartDone(1),
    ToolStarted(2, "toolu_01", "weather"),
    ToolDelta(2, '{"city": "Zü'),
    ToolDelta(2, 'rich"}'),
    PartDone(2),
    ToolStarted(3, "toolu_02", "weather"),
    ToolDelta(3, '{"city":"東京"}'),
    PartDone(3),
    Finished("tool_calls"),
]
TOOLS_USAGE = Usage(tokens_in=472, cache_read=7, cache_write_1h=30, tokens_out=69, reasoning=20)


def _event(data: Any) -> SseEvent:
    raw = data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False).encode()
    return SseEvent(b"data: " + raw + b"\n\n", "", raw)


def _read(pieces: list[bytes]) -> tuple[list[Event], list[Seen]]:
    decoder, reader = SseDecoder(), MESSAGES.reader()
    events: list[Event] = []
    told: list[Seen] = []
    for piece in pieces:
        for event in decoder.feed(piece):
            new, seen = reader.read(event)
            events += new
            told.append(seen)
    return events, told


def _last_usage(told: list[Seen]) -> Usage | None:
    return [seen.usage for seen in told if seen.usage is not None][-1]


def test_a_recorded_stream_is_read_whole() -> None:
    events, told = _read([TOOLS_STREAM])
    assert events == TOOLS_EVENTS
    assert _last_usage(told) == TOOLS_USAGE
    assert all(seen.ok for seen in told)
    assert [seen.finished for seen in told].count(True) == 1
    assert told[-1].end
    assert told[0].model == "claude-sonnet-4-5-20250929"


def test_every_split_gives_the_same_events() -> None:
    for at in range(1, len(TOOLS_STREAM)):
        events, _ = _read([TOOLS_STREAM[:at], TOOLS_STREAM[at:]])
        assert events == TOOLS_EVENTS, at
    events, told = _read([TOOLS_STREAM[i : i + 1] for i in range(len(TOOLS_STREAM))])
    assert events == TOOLS_EVENTS
    assert _last_usage(told) == TOOLS_USAGE


def test_the_observer_tells_what_the_reader_tells() -> None:
    observer = MESSAGES.observer()
    observed = [observer.observe(event) for event in SseDecoder().feed(TOOLS_STREAM)]
    assert observed == _read([TOOLS_STREAM])[1]


def test_content_begins_with_the_first_visible_byte() -> None:
    observer = MESSAGES.observer()
    seen = [observer.observe(event) for event in SseDecoder().feed(TOOLS_STREAM)]
    assert [s.content for s in seen[:4]] == [False, False, False, True]
    assert seen[3].content_chars == len("Two cities: Zürich, 東京.")
    assert not seen[-1].content


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "ping"}, Seen()),
        ({"type": "content_block_stop", "index": 0}, Seen()),
        ({"type": "message_stop"}, Seen(end=True)),
        ({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, Seen()),
        (
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}},
            Seen(content=True, content_chars=2),
        ),
        (
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "tool_use", "id": "t", "name": "get", "input": {}},
            },
            Seen(content=True, content_chars=3),
        ),
        (
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
            Seen(content=True, content_chars=2),
        ),
        (
            {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "abcd"}},
            Seen(content=True, content_chars=4),
        ),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            Seen(error=("overloaded_error", "Overloaded")),
        ),
        ({"type": "message_delta", "delta": {"stop_reason": None}}, Seen()),
        ({"type": "message_delta", "delta": {"stop_reason": "refusal"}}, Seen(finished=True)),
        ({"type": "event_of_a_later_version", "x": [1]}, Seen(content=True)),
    ],
)
def test_what_one_event_means(event: Any, expected: Seen) -> None:
    assert MESSAGES.observer().observe(_event(event)) == expected


@pytest.mark.parametrize("kind", ["citations_delta", "compaction_delta", "delta_of_a_later_version"])
def test_deltas_of_other_kinds_are_content_metered_by_size(kind: str) -> None:
    event = _event({"type": "content_block_delta", "index": 0, "delta": {"type": kind, "x": {"y": "z"}}})
    assert MESSAGES.observer().observe(event) == Seen(content=True, content_chars=len(event.data))


@pytest.mark.parametrize(
    "data",
    [
        b"[DONE]",
        b"{",
        b'"text"',
        b"{}",
        b'{"type":5}',
        b'{"type":"ping"}{}',
        b'{"type":"ping","x":"\\q"}',
        b'{"type":"ping","x":"\xff"}',
        b'{"type":"ping","x":NaN}',
        b'{"type":"ping","x":' + b"[" * 100_000,
        b'{"type":"content_block_delta","index":0}',
        b'{"type":"content_block_delta","index":0,"delta":{"text":7}}',
        b'{"type":"content_block_start","index":0}',
        b'{"type":"message_start"}',
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":-4}}',
    ],
)
def test_what_is_not_this_protocol_is_never_passed_on(data: bytes) -> None:
    assert not MESSAGES.observer().observe(_event(data)).ok
    events, seen = MESSAGES.reader().read(_event(data))
    assert events == []
    assert not seen.ok


def test_comments_say_nothing() -> None:
    comment = SseEvent(b": keepalive\n\n", "", b"", comment=True)
    assert MESSAGES.observer().observe(comment) == Seen()
    assert MESSAGES.reader().read(comment) == ([], Seen())


START = {"type": "message_start", "message": {"id": "m", "model": "x"}}
TEXT = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}


@pytest.mark.parametrize(
    "events",
    [
        [TEXT],
        [START, START],
        [START, TEXT, TEXT],
        [START, {"type": "content_block_delta", "index": 0, "delta": {"text": "x"}}],
        [START, {"type": "content_block_stop", "index": 0}],
        [START, TEXT, {"type": "content_block_delta", "index": 0, "delta": {"partial_json": "x"}}],
        [START, {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "name": "n"}}],
    ],
)
def test_events_out_of_order_are_a_broken_stream(events: list[Any]) -> None:
    reader = MESSAGES.reader()
    assert [reader.read(_event(event))[1].ok for event in events] == [True] * (len(events) - 1) + [False]


@pytest.mark.parametrize(
    ("stop_reason", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("stop_sequence", "stop_sequence"),
        ("tool_use", "tool_calls"),
        ("refusal", "refusal"),
        ("pause_turn", "pause"),
        ("compaction", "pause"),
        ("reason_of_a_later_version", "error"),
    ],
)
def test_stop_reasons(stop_reason: str, finish: str) -> None:
    delta = {"type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": "X"}}
    assert MESSAGES.reader().read(_event(delta))[0] == [Finished(finish, "X")]


# --- writing ---


def _written(events: list[Event], usage: Usage = Usage()) -> list[dict[str, Any]]:
    """Each batch boundary is a write of its own, so that no state is lost between them."""
    writer = MESSAGES.writer(Request(messages=()), "msg_ours", 0)
    data = b"".join(writer.write([event]) for event in events) + writer.end(usage)
    decoded = SseDecoder().feed(data)
    documents = [json.loads(event.data) for event in decoded]
    assert [event.event for event in decoded] == [document["type"] for document in documents]
    return documents


def test_an_anthropic_stream_survives_reading_and_writing() -> None:
    documents = _written(TOOLS_EVENTS, TOOLS_USAGE)
    decoder, reader = SseDecoder(), MESSAGES.reader()
    stream = b"".join(b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents)
    again = [reader.read(event) for event in decoder.feed(stream)]
    assert [event for events, _ in again for event in events][1:] == TOOLS_EVENTS[1:]
    assert again[-2][1].usage == TOOLS_USAGE


def test_one_message_start_however_many_upstreams() -> None:
    events: list[Event] = [Started("a", "m1"), Started("b", "m2"), TextDelta(0, "x"), Finished("stop")]
    kinds = [document["type"] for document in _written(events)]
    assert kinds.count("message_start") == 1
    assert kinds[-2:] == ["message_delta", "message_stop"]


def test_blocks_are_numbered_and_closed() -> None:
    events: list[Event] = [
        Started("a", "m"),
        TextDelta(0, ""),
        ToolStarted(1, "call_1", "f"),
        ToolStarted(2, "call_2", "g"),
        ToolDelta(2, "{}"),
        ToolDelta(1, '{"a":1}'),
        PartDone(1),
        TextDelta(3, "done"),
        Finished("tool_calls"),
    ]
    documents = _written(events)
    shape = [(document["type"].removeprefix("content_block_"), document.get("index")) for document in documents]
    assert shape == [
        ("message_start", None),
        ("start", 0),
        ("start", 1),
        ("delta", 1),
        ("delta", 0),
        ("stop", 0),
        ("start", 2),
        ("delta", 2),
        ("stop", 1),
        ("stop", 2),
        ("message_delta", None),
        ("message_stop", None),
    ]


def test_an_empty_answer_is_still_a_whole_stream() -> None:
    documents = _written([Finished("stop")], Usage(tokens_in=3))
    assert [document["type"] for document in documents] == ["message_start", "message_delta", "message_stop"]
    assert documents[1]["delta"]["stop_reason"] == "end_turn"
    assert documents[1]["usage"]["input_tokens"] == 3


def test_foreign_thoughts_are_left_out_and_told() -> None:
    writer = MESSAGES.writer(Request(messages=()), "msg", 0)
    data = writer.write([Started("a", "m"), ThinkingDelta(0, "hm"), ThinkingDelta(0, redacted="x", origin="openai")])
    assert b"thinking" not in data
    assert writer.dropped == ["thinking"]


@pytest.mark.parametrize(
    ("events", "stop_reason"),
    [
        ([Finished("stop")], "end_turn"),
        ([Finished("length")], "max_tokens"),
        ([Finished("content_filter")], "refusal"),
        ([ToolStarted(0, "c", "f"), Finished("stop")], "tool_use"),
        ([RefusalDelta(0, "no"), Finished("stop")], "refusal"),
        ([Finished("error")], "max_tokens"),
        ([], "max_tokens"),
    ],
)
def test_an_answer_never_claims_more_than_happened(events: list[Event], stop_reason: str) -> None:
    assert _written(events)[-2]["delta"]["stop_reason"] == stop_reason


def test_arguments_without_a_tool_are_refused() -> None:
    writer = MESSAGES.writer(Request(messages=()), "msg", 0)
    with pytest.raises(ValueError, match="no open tool call"):
        writer.write([ToolDelta(0, "{}")])


def test_errors_and_heartbeats() -> None:
    error = PlacementUnavailable("All placements are down.")
    body = {"type": "error", "error": {"type": "api_error", "message": error.message}, "request_id": "req_1"}
    assert json.loads(MESSAGES.error_body(error, "req_1")) == body
    assert json.loads(MESSAGES.error_body(BadRequest("x"), "r"))["error"]["type"] == "invalid_request_error"
    (event,) = SseDecoder().feed(MESSAGES.error_event(error, "req_1"))
    assert event.event == "error"
    assert MESSAGES.observer().observe(event).error == ("api_error", error.message)
    (ping,) = SseDecoder().feed(MESSAGES.heartbeat())
    assert MESSAGES.observer().observe(ping) == Seen()
    (end,) = SseDecoder().feed(MESSAGES.supply_end(None, include_usage=False))
    assert MESSAGES.observer().observe(end) == Seen(end=True)
