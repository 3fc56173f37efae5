"""Deltas that are recognised by what stands around their text are what reading them would have said."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signalbox.core.stream import Seen, SseEvent
from signalbox.wire.dialect import Observer
from signalbox.wire.repeat import around_text, plain_chars
from signalbox.wire.table import DIALECTS

words = st.text(st.sampled_from('aZ é中😀"\\\n\x00\x7f{}:,/'), max_size=8)
spaces = st.sampled_from(["", " ", "  "])


def chat(text: str, other: str, space: str) -> bytes:
    doc = {
        "id": other,
        "note": {"content": text, "delta": other, text: other},
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None, "logprobs": None}],
        "content": text,
    }
    return _data(doc, space)


def messages(text: str, other: str, space: str) -> bytes:
    doc = {"type": "content_block_delta", "text": text, "index": 1, "delta": {"type": "text_delta", "text": text}}
    return _data({**doc, "note": [text, {"text": other}]}, space)


def _data(doc: object, space: str) -> bytes:
    return json.dumps(doc, ensure_ascii=False, separators=("," + space, ":" + space)).encode(errors="replace")


FORMS = {"chat": (chat, b"data: "), "messages": (messages, b"event: content_block_delta\ndata: ")}


def watching(api: str) -> Observer:
    """An observer in the middle of an answer."""
    observer = DIALECTS[api].observer(1)
    if api == "chat":
        observer.observe(SseEvent(b"", "", chat("so", "x", "")))
    return observer


@pytest.mark.parametrize("api", FORMS)
@given(words, words, words, words, spaces)
@example("so", "it", "is", "said", "")
@example("a", "a", "a", "a", " ")
@example('"', '"', '"', '"', "")
def test_what_is_recognised_is_what_is_read(api: str, text: str, other: str, following: str, third: str, space: str):
    form, start = FORMS[api]
    observer = watching(api)
    data = form(text, other, space)
    chars = observer.text(data)
    around = around_text(start + data + b"\n\n", chars, observer.text) if chars else None
    if around is None:
        return
    before, behind = around
    for later in (form(following, other, space), form(text, third, space), form(following, third, space), data):
        raw = start + later + b"\n\n"
        if raw.startswith(before) and raw.endswith(behind):
            counted = plain_chars(raw[len(before) : -len(behind)])
            if counted:
                assert counted == observer.text(later)
                seen = watching(api).observe(SseEvent(raw, "", later))
                assert seen == Seen(content=True, content_chars=counted, model=seen.model)


ORDINARY = {
    "chat": b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"so it goes"},"finish_reason":null}]}\n\n',
    "messages": b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"so it goes"}}\n\n',
}


@pytest.mark.parametrize("api", ORDINARY)
def test_an_ordinary_delta_is_recognised_again(api: str):
    raw = ORDINARY[api]
    assert around_text(raw, 10, watching(api).text) == tuple(raw.split(b"so it goes"))


@pytest.mark.parametrize(
    "raw",
    [
        b'data: {"a":"text"}',
        b'data: {"a":"text"}\n\ndata: {"a":"text"}\n\n',
        b'data: {"a":"text"}\r\n\r\n',
        b'id: 7\nevent: x\ndata: {"a":"text"}\n\n',
        b": text\n\n",
        b'data: {"text":4}\n\n',
    ],
)
def test_other_shapes_have_no_form(raw: bytes):
    assert around_text(raw, 4, lambda data: len(data) - len(b'{"a":""}')) is None


@given(st.binary(max_size=20))
def test_plain_characters_are_those_of_a_json_string(content: bytes):
    try:
        read = json.loads(b'"' + content + b'"')
    except (ValueError, UnicodeDecodeError):
        read = None
    counted = plain_chars(content)
    if counted:
        assert isinstance(read, str)
        assert (len(read), read.encode()) == (counted, content)
    elif read:
        assert b"\\" in content
