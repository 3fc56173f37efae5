"""Forbidden text never reaches a client: at every offset, split anywhere, in every channel, dialect and way through."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.guard.streams import APIS, ASKED, Client, called, passing, spoken, translated
from tests.harness import running

from conversations import PATHS, tool
from signalbox.bootstrap.compiling import compile_text
from signalbox.core.call import AnswerHead
from signalbox.core.errors import AnswerCut
from signalbox.core.guards import Guarded
from signalbox.core.snapshot import Snapshot
from signalbox.core.stream import Frame
from signalbox.guard.room import GuardRoom
from signalbox.pipeline.guarded_reply import GuardedReply

SECRET = "Tann-7"
MARK = "[string removed]"
KINDS = ("text", "tool", "reasoning")
BEFORE, AFTER = "all of Ta", " and Tan."


def snapshot_of(*guards: dict[str, Any] | str) -> Snapshot:
    return _snapshot(json.dumps(guards))


@cache
def _snapshot(guards: str) -> Snapshot:
    config = {
        "environments": {"e": {"kind": "on-prem"}},
        "deployments": {
            "d": {"environment": "e", "protocol": "openai", "base_url": "http://127.0.0.1:9/v1", "allow_private": True,
                  "model": "m"}
        },
        "workloads": {"g": {"placements": ["d"], "guards": json.loads(guards)}},
    }  # fmt: skip
    return compile_text(yaml.safe_dump(json.loads(json.dumps(config))).encode(), "signalbox.yaml", 1).snapshot


def through(snapshot: Snapshot, api: str, frames: list[Frame], *, hub: bool) -> tuple[Client, Guarded]:
    call = called(snapshot, "g", api)
    call.guarded = Guarded()
    client = Client(api)
    reply = GuardedReply(call, client, GuardRoom(snapshot).of("g"))
    head = AnswerHead(200, snapshot.deployments[0], "", [])
    with contextlib.suppress(AnswerCut):
        reply.start(head, ASKED if hub else None)
        for frame in frames:
            reply.send([frame])
        reply.end(None, complete=not hub)
    assert client.ended
    return client, call.guarded


def splits(text: str) -> Iterator[list[str]]:
    """Whole, in two at every place, in single characters, in threes."""
    yield [text]
    for at in range(1, len(text)):
        yield [text[:at], text[at:]]
    yield list(text)
    yield [text[at : at + 3] for at in range(0, len(text), 3)]


def said_in(kind: str, text: str) -> str:
    return json.dumps({"q": text}) if kind == "tool" else text


@pytest.mark.parametrize("hub", [False, True], ids=["passes", "translated"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("api", APIS)
def test_forbidden_text_is_taken_out_wherever_it_is_split(api: str, kind: str, hub: bool) -> None:
    snapshot = snapshot_of({"name": "forbidden-text", "strings": [SECRET]})
    for text in (f"{BEFORE}{SECRET}{AFTER}", f"{SECRET}", f"{SECRET}{SECRET}", f"Tann{SECRET.upper()}Tann-"):
        expected = said_in(kind, text.replace(SECRET, MARK).replace(SECRET.upper(), MARK))
        for pieces in splits(said_in(kind, text)):
            events = spoken(kind, pieces)
            client, record = through(snapshot, api, translated(events) if hub else passing(api, events), hub=hub)
            assert SECRET.encode() not in client.raw, pieces
            parts, finish = client.heard()
            assert parts == {0: expected}, pieces
            assert finish == ("tool_calls" if kind == "tool" else "stop")
            assert record.counts == {f"forbidden-text.string:replace@{kind}": text.lower().count(SECRET.lower())}


@pytest.mark.parametrize("hub", [False, True], ids=["passes", "translated"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("api", APIS)
def test_an_answer_that_is_cut_ends_as_one_that_was_withheld(api: str, kind: str, hub: bool) -> None:
    snapshot = snapshot_of({"name": "forbidden-text", "strings": [SECRET], "action": "cut"})
    text = said_in(kind, f"{BEFORE}{SECRET}{AFTER}")
    shown = text[: text.index(SECRET)]
    for pieces in splits(text):
        events = spoken(kind, pieces)
        client, record = through(snapshot, api, translated(events) if hub else passing(api, events), hub=hub)
        assert SECRET.encode() not in client.raw, pieces
        assert b"and Tan" not in client.raw, pieces
        parts, finish = client.heard()
        assert "".join(parts.values()) == shown, pieces
        assert finish in ("content_filter", "refusal"), pieces
        assert record.counts == {f"forbidden-text.string:cut@{kind}": 1}


def test_escapes_hide_nothing_in_tool_arguments() -> None:
    snapshot = snapshot_of({"name": "forbidden-text", "strings": ["Größe-7"]})
    text = '{"q": "Gr\\u00f6\\u00DFe-7 \\ud83d\\ude00 \\"x\\" \\\\u0041"}'
    for api in APIS:
        for pieces in splits(text):
            client, _ = through(snapshot, api, passing(api, spoken("tool", pieces)), hub=False)
            (said,) = client.heard()[0].values()
            assert json.loads(said) == {"q": '[string removed] 😀 "x" \\u0041'}, pieces


def test_what_is_no_match_is_not_held_back_and_passes_as_it_came() -> None:
    snapshot = snapshot_of({"name": "forbidden-text", "strings": [SECRET]})
    for api in APIS:
        frames = passing(api, spoken("text", ["a first ", "and a second"]))
        call = called(snapshot, "g", api)
        call.guarded = Guarded()
        client = Client(api)
        reply = GuardedReply(call, client, GuardRoom(snapshot).of("g"))
        reply.start(AnswerHead(200, snapshot.deployments[0], "", []), None)
        sent = b""
        for frame in frames:
            reply.send([frame])
            sent += frame.raw
            assert client.raw == sent


def asked(api: str, workload: str, kind: str, *, stream: bool) -> dict[str, Any]:
    script = {
        "text": f"[[text:{BEFORE}{SECRET}{AFTER}]]",
        "tool": f'[[tool:look {{"q": "{BEFORE}{SECRET}{AFTER}"}}]]',
    }[kind]
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    body: dict[str, Any] = {"model": workload, "stream": stream, "tools": [tool(api, schema)]}
    if api == "responses":
        return body | {"input": script}
    return body | {"max_tokens": 500, "messages": [{"role": "user", "content": script}]}


async def test_every_way_through_a_running_gateway(tmp_path: Path) -> None:
    """Three endpoints, streamed and not, text and tool arguments, over each protocol, and after a fall-over."""
    guards = [{"name": "forbidden-text", "strings": [SECRET]}]
    workloads: dict[str, Any] = {
        f"g-{name}": {"placements": [name], "guards": guards} for name in ("chat", "messages", "responses")
    }
    workloads["g-fallback"] = {"placements": ["messages", "local"], "guards": guards}
    async with running(tmp_path, {"workloads": workloads}) as box:
        for api, path in PATHS.items():
            for workload in workloads:
                for kind in ("text", "tool"):
                    for stream in (False, True):
                        box.sim.faults.clear()
                        box.sim.fault("slice@7")
                        if workload == "g-fallback":
                            box.sim.fault("503", provider="anthropic")
                        answer = await box.request(path, asked(api, workload, kind, stream=stream))
                        where = (api, workload, kind, stream)
                        assert answer.status == 200, where
                        assert SECRET.encode() not in answer.body, where
                        assert b"[string removed]" in answer.body, where
        said = {name for row in await box.settled(48) for name in row.get("guards", {})}
        assert {"forbidden-text.string:replace@text", "forbidden-text.string:replace@tool"} <= said


def put_together(api: str, body: bytes) -> str:
    """The text that a client makes of a stream."""
    client = Client(api)
    client.raw = body
    return "".join(client.heard()[0].values())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("words", [2, 5, 9])
async def test_a_stream_that_is_rescued_shows_no_more_than_another(tmp_path: Path, api: str, words: int) -> None:
    """The first upstream dies with content out; the second goes on, in another protocol for two of the clients."""
    text = f"one two three {SECRET} five six mail jane.roe@example.org and {SECRET} at the end of it all"
    guards: list[Any] = [
        {"name": "pseudonymise", "where": "always"},
        {"name": "forbidden-text", "strings": [SECRET]},
    ]
    rescue = {"hold_tokens": 0, "hold_ms": 0}
    config = {"workloads": {"g": {"placements": [api, "local"], "guards": guards, "stream_rescue": rescue}}}
    async with running(tmp_path, config) as box:
        provider = {"chat": "openai", "messages": "anthropic", "responses": "azure"}[api]
        box.sim.fault(f"reset_mid@{words}", provider=provider)
        body = asked(api, "g", "text", stream=True)
        key = "input" if api == "responses" else "messages"
        said = f"[[text:{text}]]"
        body[key] = said if api == "responses" else [{"role": "user", "content": said}]
        answer = await box.request(PATHS[api], body)
        assert answer.status == 200, answer.body
        assert SECRET.encode() not in answer.body
        assert b"EMAIL_" not in answer.body
        assert put_together(api, answer.body) == text.replace(SECRET, MARK)


async def test_a_cut_stream_is_settled_and_told_in_the_ledger(tmp_path: Path) -> None:
    guards = [{"name": "forbidden-text", "strings": [SECRET], "action": "cut"}]
    config = {"workloads": {"g": {"placements": ["chat"], "guards": guards}}}
    async with running(tmp_path, config) as box:
        for stream in (True, False):
            answer = await box.request(PATHS["chat"], asked("chat", "g", "text", stream=stream))
            assert answer.status == 200
            assert b'"content_filter"' in answer.body
            assert SECRET.encode() not in answer.body
        rows = await box.settled(2)
        assert {row["state"] for row in rows} == {"settled"}
        assert sorted(row["error"] for row in rows) == ["", "guard"]
        assert all(row["guards"] == {"forbidden-text.string:cut@text": 1} for row in rows)
        assert box.chain_is_whole()


async def test_a_body_of_nonsense_is_no_way_past(tmp_path: Path) -> None:
    """What a provider sends as an error, or in a field nobody knows, is looked at as well."""
    guards = [{"name": "forbidden-text", "strings": ["overloaded", "padding", "xxxx"]}]
    config = {"workloads": {"g": {"placements": ["chat"], "guards": guards, "retries": {"max_attempts": 1}}}}
    async with running(tmp_path, config) as box:
        box.sim.fault("long_line@400", provider="openai")
        answer = await box.request(PATHS["chat"], asked("chat", "g", "text", stream=True))
        assert answer.status == 200
        assert b"xxxx" not in answer.body
