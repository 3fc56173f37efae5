"""Bodies, answers and events with anything in the wrong place: a clear refusal, never a crash."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.core.errors import BadRequest
from signalbox.core.hub import Event, Request
from signalbox.core.stream import SseEvent
from signalbox.core.usage import NO_USAGE
from signalbox.wire.dialect import Target
from signalbox.wire.openai_chat import CHAT
from signalbox.wire.openai_completions import COMPLETIONS
from signalbox.wire.openai_embeddings import EMBEDDINGS

GOLDEN = Path(__file__).parent / "golden" / "chat"
BODIES = [json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.in.json"))]
CHUNKS = [
    json.loads(line[6:])
    for path in sorted(GOLDEN.glob("*.in.sse"))
    for line in path.read_text().splitlines()
    if line.startswith("data: {")
]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ANSWER = {
    "id": "chatcmpl-1", "created": 7, "model": "m", "object": "chat.completion",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {
        "role": "assistant", "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "x"}]}],
        "refusal": "r", "reasoning": "t", "tool_calls": [CALL, CALL]}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8,
              "prompt_tokens_details": {"cached_tokens": 1}},
}  # fmt: skip
COMPLETION = {
    "model": "m", "prompt": ["a"], "suffix": "b", "max_tokens": 5, "n": 1, "best_of": 1, "stop": ["x"], "echo": False,
    "stream": True, "stream_options": {"include_usage": True}, "seed": 3, "top_k": 1,
    "temperature": 1.0, "user": "u", "logprobs": 2,
}  # fmt: skip

junk = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from([[], {}, [[]], [{}], {"type": "text"}, {"url": 5}, ["x"], 10**30, "\ud800", "data:x", "data:,"])
)  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """A good document with one to three of its values replaced by junk, or members taken away."""
    doc = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = doc
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], dict | list) and node[key] and draw(st.integers(0, 4)):
                node = node[key]
                continue
            if draw(st.booleans()) or isinstance(node, list):
                node[key] = copy.deepcopy(draw(junk))
            else:
                del node[key]
            break
    return doc


@settings(max_examples=120, deadline=None)
@given(spoilt(BODIES))
def test_a_spoilt_body_is_read_or_refused(doc: dict[str, Any]) -> None:
    with contextlib.suppress(BadRequest):
        CHAT.envelope(doc)
    with contextlib.suppress(BadRequest):
        request = CHAT.read_request(doc)
        with contextlib.suppress(UnicodeEncodeError):  # lone surrogates never get past the parser of bodies
            CHAT.write_request(request, Target("m"))


@settings(max_examples=100, deadline=None)
@given(spoilt([COMPLETION, {"model": "m", "input": ["x", "y"]}]))
def test_a_spoilt_completions_or_embeddings_body_is_read_or_refused(doc: dict[str, Any]) -> None:
    for act in (COMPLETIONS.envelope, COMPLETIONS.read_request, EMBEDDINGS.envelope):
        with contextlib.suppress(BadRequest):
            act(doc)


def encoded(doc: dict[str, Any]) -> bytes:
    return json.dumps(doc).encode()


@settings(max_examples=120, deadline=None)
@given(spoilt([ANSWER]))
def test_a_spoilt_answer_is_read_or_refused(doc: dict[str, Any]) -> None:
    body = encoded(doc)
    CHAT.seen(body)
    EMBEDDINGS.seen(body)
    with contextlib.suppress(ValueError):
        CHAT.write_response(CHAT.read_response(body), NO_USAGE)


@settings(max_examples=120, deadline=None)
@given(st.lists(spoilt(CHUNKS) | st.sampled_from(CHUNKS), max_size=6))
def test_a_spoilt_stream_is_read_or_refused(docs: list[dict[str, Any]]) -> None:
    observer, reader, writer = CHAT.observer(), CHAT.reader(), CHAT.writer(Request(messages=()), "i", 0)
    told: list[Event] = []
    for doc in docs:
        data = encoded(doc)
        event = SseEvent(b"data: " + data + b"\n\n", "", data)
        observer.observe(event)
        with contextlib.suppress(ValueError):
            events, _ = reader.read(event)
            told += events
            writer.write(events)
    for sse in writer.end(NO_USAGE).split(b"\n\n")[:-2]:
        msgspec.json.decode(sse.removeprefix(b"data: "))


@pytest.mark.parametrize("depth", [300, 900, 100_000])
@pytest.mark.parametrize("where", ['{"error":', '{"choices":[{"delta":{"content":[', '{"choices":[{"delta":{"audio":'])
def test_deep_events_do_not_cost_the_stack(where: str, depth: int) -> None:
    closing = "".join("}" if mark == "{" else "]" for mark in reversed(where) if mark in "{[")
    for opening, end in (("[", "]"), ('{"error":', "}"), ('{"thinking":[', "]}")):
        data = f"{where}{opening * depth}1{end * depth}{closing}".encode()
        event = SseEvent(b"", "", data)
        CHAT.observer().observe(event)
        CHAT.seen(data)
        with contextlib.suppress(ValueError):
            CHAT.reader().read(event)
        with contextlib.suppress(ValueError):
            CHAT.read_response(data)
