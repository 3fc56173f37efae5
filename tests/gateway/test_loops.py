"""Agents in a loop: the same call, the same tool call, on every endpoint; and calls that only look alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations import PATHS
from harness import Box, running
from signalbox.policy.repeats import Repeats, last_turns, same_tool_calls

WORKLOADS = {
    name: {"placements": [api], "loops": {"same_call_max": 3, "same_tool_call_max": 2}}
    for name, api in (("chat-loop", "chat"), ("messages-loop", "messages"), ("responses-loop", "responses"))
}


def turns(api: str, rounds: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """A conversation in which a tool was called with these arguments and answered so."""
    said: list[dict[str, Any]] = [{"role": "user", "content": "find it"}]
    for number, (arguments, result) in enumerate(rounds):
        name = f"call_{number}"
        if api == "chat":
            called = {"id": name, "type": "function", "function": {"name": "search", "arguments": arguments}}
            said.append({"role": "assistant", "content": None, "tool_calls": [called]})
            said.append({"role": "tool", "tool_call_id": name, "content": result})
        elif api == "messages":
            used = {"type": "tool_use", "id": name, "name": "search", "input": json.loads(arguments)}
            said.append({"role": "assistant", "content": [used]})
            done = {"type": "tool_result", "tool_use_id": name, "content": result}
            said.append({"role": "user", "content": [done]})
        else:
            said.append({"type": "function_call", "call_id": name, "name": "search", "arguments": arguments})
            said.append({"type": "function_call_output", "call_id": name, "output": result})
    return said


def body(api: str, said: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}}
    tool = {
        "chat": {"type": "function", "function": {"name": "search", "parameters": parameters}},
        "messages": {"name": "search", "input_schema": parameters},
        "responses": {"type": "function", "name": "search", "parameters": parameters},
    }[api]
    doc: dict[str, Any] = {"model": f"{api}-loop", "tools": [tool], **more}
    return doc | ({"input": said} if api == "responses" else {"messages": said, "max_tokens": 50})


async def told(box: Box, api: str, doc: dict[str, Any], session: str = "", key: str | None = None) -> str:
    headers = {"x-signalbox-session": session} if session else {}
    answer = await box.request(PATHS[api], doc, headers=headers, key=key)
    if answer.status == 200:
        return "served"
    assert answer.status == 400
    assert answer.headers["x-should-retry"] == "false"
    error = answer.json["error"]
    assert error.get("code") == "repeated_call" or error["type"] == "invalid_request_error"
    return "loop"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", PATHS)
async def test_the_same_call_is_let_through_so_often_and_no_more(tmp_path: Path, api: str, stream: bool) -> None:
    async with running(tmp_path, {"workloads": WORKLOADS}) as box:
        doc = body(api, [{"role": "user", "content": "Are we there yet?"}], stream=stream)
        again = body(api, [{"role": "user", "content": "are  we there\nyet?"}], stream=not stream)
        assert [await told(box, api, one, "s1") for one in (doc, again, doc, again, doc)] == ["served"] * 3 + [
            "loop"
        ] * 2
        assert await told(box, api, doc, "s2") == "served"
        other = body(api, [{"role": "user", "content": "Are we there now?"}])
        assert await told(box, api, other, "s1") == "served"
        assert await told(box, api, doc, "s1", await box.new_key()) == "served"
        assert len(box.bill()) == 6


@pytest.mark.parametrize("api", PATHS)
async def test_the_same_tool_call_again_and_again(tmp_path: Path, api: str) -> None:
    """As an agent does it: each call holds all that was called before; answers of the tool may differ."""
    async with running(tmp_path, {"workloads": WORKLOADS}) as box:
        rounds = [(f'{{"q": "where", "n": {number // 3}}}', f"result {number}") for number in range(6)]
        assert [await told(box, api, body(api, turns(api, rounds[:count]))) for count in range(7)] == [
            "served", "served", "served", "loop", "served", "served", "loop"
        ]  # fmt: skip


def test_arguments_are_the_same_however_they_are_written() -> None:
    for api in PATHS:
        same = turns(api, [('{"a":1,"b":[2]}', "x"), ('{ "b": [2], "a": 1 }', "y"), ('{"a":1,"b":[3]}', "z")])
        field = "input" if api == "responses" else "messages"
        assert same_tool_calls({field: same}) == 1
        assert same_tool_calls({field: same[:-2]}) == 2


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["messages", "input", "prompt", "x"]), anything))
def test_any_body_has_last_turns_and_tool_calls(doc: dict[str, Any]) -> None:
    assert last_turns(doc) == last_turns(json.loads(json.dumps(doc)))
    assert same_tool_calls(doc) >= 0


def test_processes_count_together_and_a_window_ends(tmp_path: Path) -> None:
    clock = [1000.0]
    tables = [Repeats(tmp_path / "repeats", b"k" * 32, lambda: clock[0]) for _ in range(3)]
    assert [tables[n % 3]._count(b"a" * 16, 60) for n in range(5)] == [1, 2, 3, 4, 5]
    clock[0] += 60
    assert tables[0]._count(b"a" * 16, 60) == 1
    for number in range(100_000):
        tables[number % 3]._count(number.to_bytes(16, "big"), 60)
    assert (tmp_path / "repeats").stat().st_size < 1 << 20
    for table in tables:
        table.close()
