"""Golden pairs of the Responses dialect: every file in golden/responses is a case, and adding one needs no code.

`<case>.in.json` is a request body; `<case>.hub.json` what it means; `<case>.responses.json` that, written again.
`<case>.in.sse` is a recorded stream; `<case>.hub.json` its events and usage; `<case>.responses.sse` those, written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai.types.responses import ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from signalbox.core.hub import Event, Request
from signalbox.core.usage import NO_USAGE, Usage
from signalbox.wire.dialect import Target
from signalbox.wire.openai_responses import RESPONSES
from signalbox.wire.sse import SseDecoder

GOLDEN = Path(__file__).parent / "golden" / "responses"
BODIES = sorted(path.name.removesuffix(".in.json") for path in GOLDEN.glob("*.in.json"))
STREAMS = sorted(path.name.removesuffix(".in.sse") for path in GOLDEN.glob("*.in.sse"))
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
PARAMS: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsNonStreaming)


def golden(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text())


def read_stream(pieces: list[bytes]) -> tuple[list[Event], Usage | None]:
    decoder, reader = SseDecoder(), RESPONSES.reader()
    events: list[Event] = []
    usage = None
    for piece in pieces:
        for sse in decoder.feed(piece):
            more, seen = reader.read(sse)
            assert seen.ok
            events += more
            usage = seen.usage or usage
    return events, usage


def write_stream(events: list[Event], usage: Usage) -> bytes:
    writer = RESPONSES.writer(Request(messages=()), "resp_golden", 1_700_000_000)
    return b"".join(writer.write([event]) for event in events) + writer.end(usage)


def test_there_are_cases() -> None:
    assert len(BODIES) >= 5
    assert len(STREAMS) >= 4


@pytest.mark.parametrize("case", BODIES)
def test_request_bodies(case: str) -> None:
    request = RESPONSES.read_request(golden(f"{case}.in.json"))
    assert request == msgspec.convert(golden(f"{case}.hub.json"), Request)
    written = json.loads(RESPONSES.write_request(request, Target("upstream-model")))
    assert written == golden(f"{case}.responses.json")
    PARAMS.validate_python({key: value for key, value in written.items() if key != "stream"})
    assert RESPONSES.envelope(written).onward == RESPONSES.envelope(golden(f"{case}.in.json") | {"store": False}).onward


@pytest.mark.parametrize("case", STREAMS)
def test_streams(case: str) -> None:
    events, usage = read_stream([(GOLDEN / f"{case}.in.sse").read_bytes()])
    told = golden(f"{case}.hub.json")
    assert events == msgspec.convert(told["events"], list[Event])
    assert usage == (told["usage"] and Usage(**told["usage"]))
    written = write_stream(events, usage or NO_USAGE)
    assert written == (GOLDEN / f"{case}.responses.sse").read_bytes()
    decoded = SseDecoder().feed(written)
    for number, sse in enumerate(decoded):
        event = EVENTS.validate_json(sse.data)
        assert (event.type, event.sequence_number) == (sse.event, number)
    assert read_stream([written])[0][1:] == events[1:]


@pytest.mark.parametrize("case", STREAMS)
def test_any_split_of_the_bytes_tells_the_same(case: str) -> None:
    data = (GOLDEN / f"{case}.in.sse").read_bytes()
    expected = read_stream([data])
    for at in range(1, len(data)):
        assert read_stream([data[:at], data[at:]]) == expected
    assert read_stream([data[i : i + 1] for i in range(len(data))]) == expected


@pytest.mark.parametrize("case", STREAMS)
def test_the_observer_and_the_reader_see_the_same(case: str) -> None:
    observer, reader = RESPONSES.observer(), RESPONSES.reader()
    for sse in SseDecoder().feed((GOLDEN / f"{case}.in.sse").read_bytes()):
        assert observer.observe(sse) == reader.read(sse)[1]
