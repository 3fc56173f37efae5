"""Golden wire pairs of the Chat Completions dialect: data files under golden/chat, one runner; a case needs no code.

`<case>.in.json`       a client's body       -> `<case>.hub.json`      what the hub holds of it, or the error
`<case>.request.json`  a hub request, or the hub form of `<case>.in.json` -> `<case>.<target>.json`, the body written
for that model (`chat-<model>`) or by that dialect (`responses`, `messages`), with what was dropped, or the error.
`<case>.in.sse`        a recorded stream     -> `<case>.events.json`   its hub events and usage
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from signalbox.core.errors import BadRequest
from signalbox.core.hub import Event, Request
from signalbox.core.usage import Usage
from signalbox.wire.dialect import Target
from signalbox.wire.openai_chat import CHAT
from signalbox.wire.sse import SseDecoder
from signalbox.wire.table import DIALECTS

GOLDEN = Path(__file__).parent / "golden" / "chat"
KINDS = {"in", "hub", "request", "events"}
BODIES = sorted(path.name.removesuffix(".in.json") for path in GOLDEN.glob("*.in.json"))
STREAMS = sorted(path.name.removesuffix(".in.sse") for path in GOLDEN.glob("*.in.sse"))
WRITTEN = sorted(path.name for path in GOLDEN.glob("*.json") if path.name.split(".")[1] not in KINDS)


class Told(msgspec.Struct):
    events: list[Event]
    usage: Usage | None


def golden(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text())


def outcome(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except BadRequest as error:
        return {"error": type(error).__name__, "param": error.param}


def hub_request(case: str) -> Request:
    if (GOLDEN / f"{case}.request.json").exists():
        return msgspec.convert(golden(f"{case}.request.json"), Request)
    return CHAT.read_request(golden(f"{case}.in.json"))


def write(name: str) -> Any:
    case, target = name.removesuffix(".json").split(".", 1)
    api, _, model = target.partition("-")
    request = hub_request(case)
    body = DIALECTS[api].write_request(request, Target(model or "upstream-model"))
    return {"dropped": request.dropped, "body": json.loads(body)}


def read_stream(pieces: list[bytes]) -> Told:
    decoder, reader = SseDecoder(), CHAT.reader()
    told = Told([], None)
    for piece in pieces:
        for sse in decoder.feed(piece):
            events, seen = reader.read(sse)
            assert seen.ok
            told.events += events
            told.usage = seen.usage or told.usage
    return told


@pytest.mark.parametrize("case", BODIES)
def test_a_client_body_is_read_into_the_hub(case: str) -> None:
    expected = golden(f"{case}.hub.json")
    if "error" not in expected:
        expected = msgspec.convert(expected, Request)
    assert outcome(lambda: CHAT.read_request(golden(f"{case}.in.json"))) == expected


@pytest.mark.parametrize("name", WRITTEN)
def test_a_hub_request_is_written(name: str) -> None:
    assert outcome(lambda: write(name)) == golden(name)


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_is_read_into_events(case: str) -> None:
    data = (GOLDEN / f"{case}.in.sse").read_bytes()
    told = read_stream([data])
    expected = golden(f"{case}.events.json")
    usage = expected["usage"]
    assert told.events == msgspec.convert(expected["events"], list[Event])
    assert told.usage == (usage and Usage(**usage))
    assert read_stream([data[i : i + 1] for i in range(len(data))]) == told


@pytest.mark.parametrize("case", STREAMS)
def test_the_observer_and_the_reader_see_the_same(case: str) -> None:
    observer, reader = CHAT.observer(), CHAT.reader()
    for sse in SseDecoder().feed((GOLDEN / f"{case}.in.sse").read_bytes()):
        assert observer.observe(sse) == reader.read(sse)[1]


def test_there_are_cases() -> None:
    assert len(BODIES) >= 18
    assert len(WRITTEN) >= 10
    assert len(STREAMS) >= 6
