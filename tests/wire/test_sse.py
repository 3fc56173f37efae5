"""The SSE decoder: any split of any stream gives the same events, within bounds."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.core.stream import SseEvent
from signalbox.wire.sse import SseDecoder

STREAM = (
    "\ufeffdata: {\"a\":\"é\"}\n\n"
    ": keepalive\n\n"
    "event: message_start\ndata: {\"type\":\"x\"}\n\n"
    "data:no space\n\n"
    "data: line one\ndata: line two\nid: 7\n\n"
    "\n\n"
    "event:ping\n: with comment\ndata\ndata: 日本語 😀\nretry: 10\n\n"
    "data:  two spaces\n\n"
    "data: [DONE]\n\n"
)  # fmt: skip


def fed_in(pieces: list[bytes]) -> tuple[list[SseEvent], bytes]:
    decoder = SseDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    last, rest = decoder.close()
    return events + last, rest


def with_line_ends(line_end: str) -> bytes:
    return STREAM.replace("\n", line_end).encode()


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_reads_what_the_standard_says(line_end: str) -> None:
    events, rest = fed_in([with_line_ends(line_end)])
    assert [(e.event, e.data.decode(), e.comment) for e in events] == [
        ("", '{"a":"é"}', False),
        ("", "", True),
        ("message_start", '{"type":"x"}', False),
        ("", "no space", False),
        ("", "line one\nline two", False),
        ("ping", "\n日本語 😀", False),
        ("", " two spaces", False),
        ("", "[DONE]", False),
    ]
    assert b"".join(e.raw for e in events) + rest == with_line_ends(line_end).removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_split_gives_identical_events(line_end: str) -> None:
    stream = with_line_ends(line_end)
    whole = fed_in([stream])
    for offset in range(len(stream) + 1):
        assert fed_in([stream[:offset], stream[offset:]]) == whole
    assert fed_in([stream[i : i + 1] for i in range(len(stream))]) == whole


@given(
    st.lists(
        st.sampled_from([b"data: x", b"data:", b"event: e", b": c", b"a", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf"]),
        max_size=30,
    ),
    st.lists(st.integers(0, 150), max_size=8),
)
def test_any_soup_is_split_proof_and_loses_no_byte(soup: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(soup)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    events, rest = fed_in([stream])
    assert fed_in([stream[a:b] for a, b in pairwise(edges)]) == (events, rest)
    assert fed_in([stream[i : i + 1] for i in range(len(stream))]) == (events, rest)
    assert b"".join(event.raw for event in events) + rest == stream.removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize("line_end", [b"\n", b"\r"])
def test_an_event_arrives_with_its_last_byte(line_end: bytes) -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: 1" + line_end + line_end + b"data: 2" + line_end)
    assert [event.data for event in decoder.feed(line_end)] == [b"2"]


def test_an_unfinished_event_is_told_and_not_given() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: 1\n\ndata: 2\n")[0].data == b"1"
    assert decoder.close() == ([], b"data: 2\n")


def test_a_crlf_cut_before_its_last_byte_still_ends_the_event() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: 1\r\n\r") == []
    events, rest = decoder.close()
    assert [event.data for event in events] == [b"1"]
    assert rest == b""


@pytest.mark.parametrize("size", [1, 100, 5000])
@pytest.mark.parametrize("prefix", [b"", b"data: 1\n\n"])
def test_a_line_over_the_limit_is_refused(size: int, prefix: bytes) -> None:
    decoder = SseDecoder(line_bytes_max=1000)
    stream = prefix + b"data: " + b"x" * 2000 + b"\n\n"
    with pytest.raises(ValueError, match="too long"):
        [decoder.feed(stream[i : i + size]) for i in range(0, len(stream), size)]


@pytest.mark.parametrize("line", [b": c\n", b"data: 1\n"])
def test_an_event_of_endless_lines_is_refused(line: bytes) -> None:
    decoder = SseDecoder(event_bytes_max=10_000)
    with pytest.raises(ValueError, match="too long"):
        [decoder.feed(line) for _ in range(5000)]


def test_a_line_of_the_limit_in_single_bytes_costs_no_quadratic_time() -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: ")
    for _ in range(200_000):
        decoder.feed(b"x")
    assert len(decoder.feed(b"\n\n")[0].data) == 200_000
