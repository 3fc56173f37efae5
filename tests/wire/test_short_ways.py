"""The short ways that most bodies and deltas take: whenever one is taken, it says what the long one says."""

import json

from hypothesis import given
from hypothesis import strategies as st

from signalbox.core.stream import SseEvent
from signalbox.wire import body as wire_body
from signalbox.wire.sse import SseDecoder
from signalbox.wire.table import DIALECTS

NAMES = st.sampled_from(["m", "my-model", 'a"b', "a\\b", "modèle", "model", "{", ": "])
VALUES = st.one_of(NAMES, st.text(max_size=8), st.dictionaries(st.sampled_from(["model", "x"]), NAMES, max_size=2))
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " : "), (",", ":\t")])


@given(
    name=NAMES,
    new=NAMES,
    others=st.dictionaries(st.sampled_from(["a", "modelx", "messages", "\\", "mode"]), VALUES, max_size=3),
    first=st.booleans(),
    separators=SEPARATORS,
    ascii_only=st.booleans(),
)
def test_renaming_is_the_splice_of_the_model(
    name: str, new: str, others: dict[str, object], first: bool, separators: tuple[str, str], ascii_only: bool
) -> None:
    doc = {"model": name, **others} if first else {**others, "model": name}
    raw = json.dumps(doc, separators=separators, ensure_ascii=ascii_only).encode()
    parsed = wire_body.parse(raw)
    renamed = wire_body.rename(raw, parsed, new)
    assert renamed == wire_body.splice(raw, parsed, [wire_body.Edit("model", new)])
    assert json.loads(renamed) == {**doc, "model": new}


def test_a_key_spelled_with_an_escape_is_renamed_where_it_stands() -> None:
    raw = b'{"x":"\\"model\\"","mo\\u0064el":"a","y":{"model":"b"}}'
    assert json.loads(wire_body.rename(raw, wire_body.parse(raw), "c")) == {
        "x": '"model"',
        "model": "c",
        "y": {"model": "b"},
    }


PIECES = st.lists(
    st.sampled_from(
        [
            b"data: ",
            b"data:",
            b"event: x\n",
            b"{}",
            b"\n",
            b"\n\n",
            b"\r",
            b"\r\n",
            b": note\n",
            b"id: 1\n",
            b"\xef\xbb\xbf",
        ]
    ),
    max_size=6,
).map(b"".join)


@given(before=PIECES, read=PIECES, after=PIECES)
def test_one_plain_event_is_what_feeding_it_gives(before: bytes, read: bytes, after: bytes) -> None:
    long, short = SseDecoder(), SseDecoder()
    assert long.feed(before) == short.feed(before)
    data = short.single(read)
    if data is not None:
        assert long.feed(read) == [SseEvent(read, "", data)]
        assert long.feed(after) == short.feed(after)


MEMBERS = {
    "content": st.sampled_from(["", "hi", "é", None, ["x"], 7]),
    "role": st.just("assistant"),
    "refusal": st.sampled_from([None, "", "no"]),
    "reasoning_content": st.sampled_from([None, "hm"]),
    "tool_calls": st.sampled_from([None, [], [{"index": 0, "function": {"arguments": "{"}}]]),
    "audio": st.sampled_from([None, {"transcript": "x"}]),
}
CHOICES = st.fixed_dictionaries(
    {"index": st.sampled_from([0, 0, 0, 1, -1]), "delta": st.fixed_dictionaries({}, optional=MEMBERS)},
    optional={"finish_reason": st.sampled_from([None, "stop", "error"]), "text": st.sampled_from([None, "t"])},
)
CHUNKS = st.fixed_dictionaries(
    {"choices": st.lists(CHOICES, max_size=2)},
    optional={
        "usage": st.sampled_from([None, {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}]),
        "error": st.sampled_from([None, {"message": "x"}]),
        "object": st.sampled_from(["chat.completion.chunk", "error", 5]),
        "x_groq": st.sampled_from([None, {"error": "x"}]),
    },
)


@given(first=CHUNKS, chunk=CHUNKS, broken=st.booleans())
def test_a_chunk_of_text_is_seen_alike_both_ways(
    first: dict[str, object], chunk: dict[str, object], broken: bool
) -> None:
    observer, twin = DIALECTS["chat"].observer(1), DIALECTS["chat"].observer(1)
    opening = json.dumps(first).encode()
    for each in (observer, twin):
        each.observe(SseEvent(b"", "", opening))
    data = json.dumps(chunk).encode()
    data = data[:-1] if broken else data
    chars = observer.text(data)
    seen = twin.observe(SseEvent(b"", "", data))
    if chars:
        told = (seen.ok, seen.content, seen.content_chars, seen.usage, seen.error, seen.end, seen.usage_only)
        assert told == (True, True, chars, None, None, False, False)
        assert not seen.finished
    # Whatever was asked, nothing has been taken note of: the next event is seen alike.
    after = SseEvent(b"", "", b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
    assert (not chars) or observer.observe(after) == twin.observe(after)


def test_bytes_that_are_no_utf8_are_no_text() -> None:
    observer = DIALECTS["chat"].observer(1)
    observer.observe(SseEvent(b"", "", b'{"choices":[{"index":0,"delta":{"content":"a"}}]}'))
    assert observer.text(b'{"choices":[{"index":0,"delta":{"content":"ab"}}]}') == 2
    assert observer.text(b'{"\xff":1,"choices":[{"index":0,"delta":{"content":"ab"}}]}') == 0


TEXTS = st.sampled_from(["hi", "there", "é", 'a"b', "a\\b", "a\nb", "delta", "0", "", "\x7f", "content", "x" * 9])
DELTAS = st.builds(
    lambda text, index, more, spaced: json.dumps(
        {"choices": [{"index": index, "delta": {"content": text}, **more}]},
        separators=None if spaced else (",", ":"),
        ensure_ascii=False,
    ).encode(),
    TEXTS,
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([{}, {}, {"finish_reason": None}, {"finish_reason": "stop"}, {"note": "hi"}]),
    st.booleans(),
)
BENT = st.builds(
    lambda data, at, byte: data[:at] + bytes([byte]) + data[at + 1 :], DELTAS, st.integers(0, 60), st.integers(0, 255)
)


@given(st.lists(DELTAS | BENT, max_size=8), st.integers(1, 2))
def test_a_stream_of_text_is_seen_alike_both_ways(stream: list[bytes], n: int) -> None:
    observer, twin = DIALECTS["chat"].observer(n), DIALECTS["chat"].observer(n)
    for data in stream:
        event = SseEvent(b"", "", data)
        seen = twin.observe(event)
        chars = observer.text(data)
        if chars:
            told = (seen.ok, seen.content, seen.content_chars, seen.usage, seen.error, seen.end, seen.finished)
            assert told == (True, True, chars, None, None, False, False)
        else:
            assert observer.observe(event) == seen
