"""Text completions, passed through or translated as one user message; and embeddings, only passed through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse

from signalbox.core.errors import BadRequest, Unsupported
from signalbox.core.hub import (
    Event,
    Finished,
    Message,
    Request,
    Response,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
)
from signalbox.core.usage import Usage
from signalbox.wire.dialect import Target
from signalbox.wire.openai_completions import COMPLETIONS
from signalbox.wire.openai_embeddings import EMBEDDINGS
from signalbox.wire.sse import SseDecoder

USAGE = Usage(tokens_in=10, tokens_out=3)


@pytest.mark.parametrize(
    ("doc", "n", "opaque"),
    [
        ({"prompt": "x"}, 1, False),
        ({}, 1, False),
        ({"prompt": ["x", "y"], "n": 2}, 4, False),
        ({"prompt": [1, 2, 3]}, 1, True),
        ({"prompt": [[1, 2], [3]]}, 2, True),
        ({"prompt": "x", "best_of": 3}, 3, False),
        ({"prompt": "x", "prompt_embeds": "AAAA"}, 1, False),
    ],
)
def test_a_completions_body_tells_how_much_it_asks_for(doc: dict[str, Any], n: int, opaque: bool) -> None:
    found = COMPLETIONS.envelope(doc | {"stream": False, "max_tokens": 7})
    assert (found.n, found.max_tokens) == (n, 7)
    assert found.opaque == (opaque or "prompt_embeds" in doc)


@pytest.mark.parametrize(
    ("doc", "param"),
    [
        ({"prompt": 5}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["x", 5]}, "prompt"),
        ({"prompt": ["x"] * 1025}, "prompt"),
        ({"prompt": ["x"] * 1000, "n": 100}, "n"),
        ({"prompt": "x", "best_of": "2"}, "best_of"),
        ({"prompt": "x", "max_tokens": -1}, "max_tokens"),
        ({"prompt": "x", "stream": "yes"}, "stream"),
        ({"prompt": "x", "stream_options": "yes"}, "stream_options"),
    ],
)
def test_wrong_completions_bodies_are_named(doc: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        COMPLETIONS.envelope(doc)
    assert caught.value.param == param


def test_a_prompt_becomes_one_user_message() -> None:
    doc = {
        "model": "m",
        "prompt": ["Once"],
        "max_tokens": 5,
        "stop": "END",
        "logprobs": 3,
        "logit_bias": {"1": 2},
        "echo": False,
    }
    request = COMPLETIONS.read_request(doc)
    assert request.messages == (Message("user", (Text("Once"),)),)
    assert (request.max_tokens, request.stop, request.dropped) == (5, ("END",), ["logprobs", "logit_bias"])


@pytest.mark.parametrize(
    "doc",
    [{"prompt": ["a", "b"]}, {"prompt": [1, 2]}, {"prompt": "a", "suffix": "b"}, {"prompt": "a", "echo": True},
     {"prompt": "a", "n": 2}, {"prompt": "a", "best_of": 2}],
)  # fmt: skip
def test_what_only_a_completions_server_can_do_is_refused(doc: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        COMPLETIONS.read_request(doc)
    with pytest.raises(Unsupported):
        COMPLETIONS.write_request(Request(messages=()), Target("m"))


def test_a_translated_answer_is_a_text_completion() -> None:
    body = COMPLETIONS.write_response(Response("i", "m", (Thinking("hm"), Text("Hello")), "length"), USAGE)
    read = Completion.model_validate_json(body, strict=True)
    assert (read.choices[0].text, read.choices[0].finish_reason) == ("Hello", "length")
    assert COMPLETIONS.seen(body).usage == USAGE
    assert COMPLETIONS.read_response(body).parts == (Text("Hello"),)


def test_a_translated_stream_is_a_stream_of_text_completions() -> None:
    writer = COMPLETIONS.writer(Request(messages=(), include_usage=True), "i", 7)
    events: list[Event] = [
        Started("u", "m"),
        ThinkingDelta(0, "hm"),
        TextDelta(1, "Hel"),
        TextDelta(1, "lo"),
        Finished("stop"),
    ]
    data = b"".join(writer.write([event]) for event in events) + writer.end(USAGE)
    decoded = SseDecoder().feed(data)
    # As the SDK reads streams: its schema has no place for the null that the API itself sends until the end.
    chunks = [Completion.construct(**json.loads(sse.data)) for sse in decoded[:-1]]
    assert decoded[-1].data == b"[DONE]"
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "Hello"
    assert [chunk.model for chunk in chunks] == ["m"] * len(chunks)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 13
    observer, reader = COMPLETIONS.observer(), COMPLETIONS.reader()
    seen = [observer.observe(sse) for sse in decoded]
    back = [event for sse in decoded for event in reader.read(sse)[0]]
    assert [one.finished for one in seen] == [False, False, True, True, True]
    assert (seen[0].content_chars, seen[3].usage, seen[4].end) == (3, USAGE, True)
    assert [event.text for event in back if isinstance(event, TextDelta)] == ["Hel", "lo"]
    assert b'"finish_reason":"length"' in COMPLETIONS.writer(Request(messages=()), "i", 7).end(USAGE)


def test_several_choices_of_a_completions_stream_must_all_finish() -> None:
    observer = COMPLETIONS.observer(2)
    chunks = [
        {"choices": [{"index": i, "text": "a", "finish_reason": r}]}
        for i, r in [(0, None), (0, "stop"), (1, None), (1, "length")]
    ]
    data = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks)
    assert [observer.observe(sse).finished for sse in SseDecoder().feed(data)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("value", "opaque"),
    [
        ("x", False),
        (["x", "y"], False),
        ([1, 2], True),
        ([[1], [2]], True),
        ({"image": "AA"}, True),
        ([{"text": "x"}], True),
    ],
)
def test_embeddings_of_anything_but_text_are_opaque(value: object, opaque: bool) -> None:
    found = EMBEDDINGS.envelope({"model": "m", "input": value})
    assert (found.opaque, found.stream) == (opaque, False)


@pytest.mark.parametrize("value", [None, [], 5, True, ["x"] * 70_000])
def test_embeddings_without_input_are_refused(value: object) -> None:
    with pytest.raises(BadRequest) as caught:
        EMBEDDINGS.envelope({"model": "m", "input": value})
    assert caught.value.param == "input"


def test_embeddings_answers_are_metered() -> None:
    doc = {
        "object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1e-9]}],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }  # fmt: skip
    CreateEmbeddingResponse.model_validate(doc)
    seen = EMBEDDINGS.seen(json.dumps(doc).encode())
    assert (seen.ok, seen.finished, seen.end, seen.usage, seen.model) == (True, True, True, Usage(tokens_in=8), "m")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"error":{"message":"x"},"data":[]}', b'{"data":[],"x":"\xff"}']
)
def test_what_is_no_embeddings_answer_is_not_taken_for_one(body: bytes) -> None:
    assert not EMBEDDINGS.seen(body).ok


def test_embeddings_are_never_translated() -> None:
    with pytest.raises(Unsupported):
        EMBEDDINGS.read_request({"input": "x"})
    with pytest.raises(Unsupported):
        EMBEDDINGS.write_request(Request(messages=()), Target("m"))
