"""Kept answers pass the guards of the call that gets them, however they were kept and whoever asked for them first."""

from __future__ import annotations

import asyncio
import codecs
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.harness import Answer, running, simulated_config

from conversations import PATHS, tool

KINDS = ("text", "tool", "reasoning")
VALUE = "jane.roe@example.org"
GUARD = {"name": "no-personal-data", "action": "redact"}
# Whose answers show their reasoning.
PLACES = ("local", "messages", "responses")
EXACT = {"exact_ttl_s": 600, "safe_tools": ["look"]}
SEMANTIC = {**EXACT, "semantic": {"error_share_max": 0.5, "audit_share": 0.01}}
SCHEMA = {"type": "object", "properties": {"d": {"type": "string"}}}
WORDINGS = [
    f"{greeting}how long may {article} be {way} until {verdict}?"
    for greeting in ("", "Hello, ", "Please, ", "Hi, ", "Hello! ", "Please: ", "Hi! ", "Hey, ")
    for article in ("a parcel", "the parcel", "my parcel")
    for way in ("on its way", "on the way")
    for verdict in ("it counts as lost", "it is counted as lost")
]


def workloads(cache: dict[str, Any], guards: list[Any]) -> dict[str, Any]:
    # All of them hold personal data by declaration: what only one of them holds would tell them apart.
    made = {"data": ["personal"], "guards": guards, "cache": {**cache, "data_max": "restricted"}}
    return {f"g-{place}": {"placements": [place], **made} for place in PLACES}


def asked(api: str, workload: str, kind: str, *, stream: bool, words: str = "") -> dict[str, Any]:
    """A request that does not hold the value which its answer will."""
    said = codecs.encode(f"mail {VALUE} soon", "rot13")
    script = {
        "text": f"[[text:{said}]]",
        "tool": "[[tool:look " + json.dumps({"q": said}) + "]]",
        "reasoning": f"[[thought:{said}]][[text:{codecs.encode('done', 'rot13')}]]",
    }[kind]
    text = f"{words}[[rot13]]{script}"
    body: dict[str, Any] = {"model": workload, "stream": stream}
    if api == "responses":
        body |= {"input": text, "store": False}
    else:
        body |= {"max_tokens": 500, "messages": [{"role": "user", "content": text}]}
    if kind == "tool":
        body["tools"] = [tool(api, SCHEMA)]
    return body


def knowing(api: str, body: dict[str, Any]) -> dict[str, Any]:
    """The same question from somebody who names the value where no model reads it."""
    return body | ({"metadata": {"user_id": VALUE}} if api == "messages" else {"metadata": {"note": VALUE}})


def put_together(answer: Answer) -> str:
    """All strings of an answer in a row, however it was streamed."""
    if "event-stream" not in answer.headers["content-type"]:
        return answer.body.decode()
    out = ""
    for block in answer.events:
        for line in block.splitlines():
            if line.startswith("data: {"):
                out += "".join(_deltas(json.loads(line[6:])))
    return out + answer.body.decode()


def _deltas(value: Any) -> list[str]:
    """What is told piece by piece in any of the dialects."""
    if isinstance(value, list):
        return [one for inner in value for one in _deltas(inner)]
    if not isinstance(value, dict):
        return []
    told = [value[key] for key in ("content", "reasoning_content", "reasoning", "text", "thinking", "partial_json",
                                   "arguments", "delta") if isinstance(value.get(key), str)]  # fmt: skip
    return told + [one for inner in value.values() if not isinstance(inner, str) for one in _deltas(inner)]


def kind_of_hit(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.headers.get("x-signalbox-cache", "").partition("kind=")[2].partition(";")[0]


def cells() -> list[tuple[str, str, str, bool]]:
    return list(product(PATHS, PLACES, KINDS, (False, True)))


def compared(cell: tuple[str, str, str, bool], first: Answer, second: Answer, kind: str) -> bool:
    """Whether there was anything to see; what the second caller got holds nothing that it had not named itself."""
    if VALUE not in put_together(first):
        return False  # this protocol does not tell the other one's reasoning
    assert kind_of_hit(second) == kind, cell
    assert VALUE not in put_together(second), cell
    assert "removed]" in put_together(second), cell
    return True


@pytest.mark.parametrize("way", ["exact", "joined"])
async def test_an_answer_that_was_kept_for_another_caller(tmp_path: Path, way: str) -> None:
    """Three endpoints over three protocols, streamed and not, every channel: who asks second gets no value that only
    the first one had named, whether the first is done or still under way."""
    seen: set[tuple[str, str, bool]] = set()
    words = "[[ttft_ms:1500]]" if way == "joined" else ""
    async with running(tmp_path, {"workloads": workloads(EXACT, [GUARD])}) as box:
        bodies = [asked(api, f"g-{place}", kind, stream=stream, words=words) for api, place, kind, stream in cells()]
        paths = [PATHS[cell[0]] for cell in cells()]
        firsts = [
            asyncio.ensure_future(box.request(path, knowing(cell[0], body)))
            for path, body, cell in zip(paths, bodies, cells(), strict=True)
        ]
        while way == "joined" and len(box.sim.log.entries) < len(firsts):
            await asyncio.sleep(0.01)
        if way == "exact":
            await asyncio.wait(firsts)
        seconds = await asyncio.gather(*[box.request(path, body) for path, body in zip(paths, bodies, strict=True)])
        for cell, first, second in zip(cells(), firsts, seconds, strict=True):
            if compared(cell, await first, second, way):
                seen.add((cell[0], *cell[2:]))
        rows = [row for row in await box.settled(2 * len(firsts)) if row["state"] == "cached"]
        assert all(row["reason"].startswith(f"cache:{way} ") for row in rows)
        assert {where.partition("@")[2] for row in rows for where in row.get("guards", ())} >= {
            "text",
            "tool",
            "reasoning",
        }
        assert box.chain_is_whole()
    assert seen == {(api, kind, stream) for api, _, kind, stream in cells()}


async def test_an_answer_to_the_same_in_other_words(tmp_path: Path) -> None:
    """The same for the semantic cache, which keeps answers that say something."""
    pytest.importorskip("numpy")
    seen: set[tuple[str, str, bool]] = set()
    trusted: set[str] = set()
    async with running(tmp_path, {"workloads": workloads(SEMANTIC, [GUARD])}) as box:
        for api, place, kind, stream in cells():
            if kind == "tool":
                continue
            for at, words in enumerate(WORDINGS):
                body = asked(api, f"g-{place}", kind, stream=stream, words=words)
                # Until it is trusted, those who know ask; from then on those who do not.
                stranger = at > 8 and place in trusted
                answer = await box.request(PATHS[api], body if stranger else knowing(api, body))
                if at == 0:
                    first = answer
                if kind_of_hit(answer) == "semantic":
                    trusted.add(place)
                if stranger and kind_of_hit(answer) == "semantic":
                    if compared((api, place, kind, stream), first, answer, "semantic"):
                        seen.add((api, kind, stream))
                    break
    assert seen == {(api, kind, stream) for api, _, kind, stream in cells() if kind != "tool"}


async def test_other_settings_of_guards_find_nothing_that_was_kept_under_the_old_ones(tmp_path: Path) -> None:
    changes: list[list[Any]] = [
        [],
        [GUARD],
        [{**GUARD, "action": "cut"}],
        [{**GUARD, "action": "cut", "fail": "open"}],
        [{"name": "forbidden-text", "strings": ["jane"]}],
        [{"name": "forbidden-text", "strings": ["jane", "roe"]}],
    ]
    async with running(tmp_path) as box:
        for guards in changes:
            made = {**simulated_config(box.sim), "workloads": workloads(EXACT, guards)}
            assert not await box.configure(made)
            for api in PATHS:
                for stream in (False, True):
                    answer = await box.request(PATHS[api], asked(api, "g-local", "text", stream=stream))
                    assert kind_of_hit(answer) == "", (guards, api, stream)
                    assert (VALUE in put_together(answer)) == (not guards), (guards, api, stream)


async def test_what_one_caller_lets_tools_do_another_does_not(tmp_path: Path) -> None:
    """Consent for a tool after untrusted content is the caller's own: an answer that used it is not another's."""
    guard = {"name": "injection", "user": "off", "untrusted": "flag", "after_untrusted": "approve"}
    async with running(tmp_path, {"workloads": workloads(EXACT, [guard])}) as box:
        for stream in (False, True):
            body = asked("chat", "g-local", "tool", stream=stream)
            call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
            turns = [{"role": "user", "content": "Look, please."}, {"role": "assistant", "tool_calls": [call]}]
            body["messages"] = [*turns, {"role": "tool", "tool_call_id": "c", "content": "Rain."}, *body["messages"]]
            allowed = {"x-signalbox-approve-tools": "look"}
            for _ in range(2):
                assert b'"look"' in (await box.request(PATHS["chat"], body, headers=allowed)).body
            refused = await box.request(PATHS["chat"], body)
            assert kind_of_hit(refused) == ""
            assert b'"look"' not in refused.body
            assert b"content_filter" in refused.body


async def test_an_answer_that_a_failing_guard_has_not_seen_is_not_kept(tmp_path: Path) -> None:
    guard = {"name": "external", "deployment": "messages", "found_when": "unsafe", "passes_when": "^safe",
             "fail": "open"}  # fmt: skip
    async with running(tmp_path, {"workloads": workloads(EXACT, [guard])}) as box:
        body = {"model": "g-local", "messages": [{"role": "user", "content": "[[text:unsafe]]"}]}
        box.sim.fault("503", provider="anthropic")
        assert (await box.request(PATHS["chat"], body)).status == 200
        box.sim.faults.clear()
        assert (await box.request(PATHS["chat"], body)).status == 400
