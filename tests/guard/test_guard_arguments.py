"""What tools are called with, whatever they name their parameters: looked at, restored and hidden like any other text.

Names such as `name`, `id`, `type` and `data` are the protocols' own elsewhere. A tool's parameters may have them, and
the Messages API has them as an object where the others have JSON in a string."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.guard.streams import Client
from tests.harness import Answer, Box, running

from conversations import PATHS, tool

WORKLOADS = ("g-chat", "g-messages", "g-responses", "g-fallback")
NAMES = (
    "name", "id", "type", "role", "status", "object", "model", "data", "result", "format", "provider", "url",
    "media_type", "signature", "call_id", "file_id", "item_id", "input", "arguments", "text", "content", "q",
)  # fmt: skip
MAIL, SECRET, MARK = "jane.roe@example.org", "Project Tannhauser", "[string removed]"
SCHEMA = {"type": "object"}


def arguments(said: str) -> dict[str, Any]:
    return {**dict.fromkeys(NAMES, said), "deep": {"name": said, "all": [{"id": said}, said]}, said: True}


def asked(api: str, workload: str, turns: list[tuple[str, str]], *, stream: bool) -> dict[str, Any]:
    """turns: what the caller said, and with what the tool was called after that (JSON) if it was."""
    body: dict[str, Any] = {"model": workload, "stream": stream, "tools": [tool(api, SCHEMA)]}
    held: list[dict[str, Any]] = []
    for at, (said, called) in enumerate(turns):
        held.append({"role": "user", "content": said})
        if not called:
            continue
        call, result = f"call_{at}", "done"
        if api == "responses":
            held.append({"type": "function_call", "call_id": call, "name": "look", "arguments": called})
            held.append({"type": "function_call_output", "call_id": call, "output": result})
        elif api == "messages":
            used = {"type": "tool_use", "id": call, "name": "look", "input": json.loads(called)}
            held.append({"role": "assistant", "content": [used]})
            told = {"type": "tool_result", "tool_use_id": call, "content": result}
            held.append({"role": "user", "content": [told]})
        else:
            function = {"id": call, "type": "function", "function": {"name": "look", "arguments": called}}
            held.append({"role": "assistant", "content": None, "tool_calls": [function]})
            held.append({"role": "tool", "tool_call_id": call, "content": result})
    if api == "responses":
        return body | {"input": held, "store": False}
    return body | {"messages": held, "max_tokens": 2000}


def called_with(api: str, answer: Answer) -> Any:
    """What the tool is to be called with, as a client makes it out."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        client = Client(api)
        client.raw = answer.body
        return json.loads("".join(client.heard()[0].values()))
    doc = answer.json
    if api == "messages":
        return next(block["input"] for block in doc["content"] if block["type"] == "tool_use")
    if api == "responses":
        return json.loads(next(item["arguments"] for item in doc["output"] if item["type"] == "function_call"))
    return json.loads(doc["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])


def workloads(guards: list[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {f"g-{name}": {"placements": [name], "guards": guards} for name in PATHS}
    made["g-fallback"] = {"placements": ["messages", "local"], "guards": guards}
    return {"workloads": made}


async def answered(box: Box, api: str, workload: str, body: dict[str, Any]) -> Answer:
    box.sim.faults.clear()
    box.sim.fault("slice@7")
    if workload == "g-fallback":
        box.sim.fault("503", provider="anthropic")
    answer = await box.request(PATHS[api], body)
    assert answer.status == 200, (api, workload, answer.body)
    return answer


async def test_pseudonyms_come_back_under_any_name_and_leave_again(tmp_path: Path) -> None:
    """The history holds restored values in the next turn: they leave as the same tokens."""
    async with running(tmp_path, workloads([{"name": "pseudonymise", "where": "always"}])) as box:
        for api, workload, stream in product(PATHS, WORKLOADS, (False, True)):
            where = (api, workload, stream)
            first = f"[[tool:look {json.dumps(arguments(MAIL))}]]"
            answer = await answered(box, api, workload, asked(api, workload, [(first, "")], stream=stream))
            called = called_with(api, answer)
            assert called == arguments(MAIL), where
            again = asked(api, workload, [(first, json.dumps(called)), ("Thanks.", "")], stream=stream)
            await answered(box, api, workload, again)
        for request in box.sim.log.entries:
            assert MAIL.encode() not in request.body, request.body


CARD = 4111111111111111


async def test_numbers_leave_as_tokens_in_json_that_stays_json(tmp_path: Path) -> None:
    async with running(tmp_path, workloads([{"name": "pseudonymise", "where": "always"}])) as box:
        called = json.dumps({"card": CARD, "said": f"it is {CARD}, yes", "seconds": 1_500_000_000, "all": [CARD, 7]})
        for api, workload, stream in product(PATHS, WORKLOADS, (False, True)):
            body = asked(api, workload, [("Pay.", called), ("Thanks.", "")], stream=stream)
            if api == "chat":
                body["messages"][2]["content"] = called
                body["messages"][-1]["content"] = f"[1] {CARD} is no JSON"
            await answered(box, api, workload, body)
        for request in box.sim.log.entries:
            assert str(CARD).encode() not in request.body, request.body
            for text in texts(json.loads(request.body)):
                assert '"CARD_' not in text or text.startswith("{"), text
                if text.startswith("{"):
                    assert json.loads(text)["seconds"] == 1_500_000_000, text
                    assert json.loads(text)["card"] == json.loads(text)["all"][0], text


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in texts(one)]


@pytest.mark.parametrize("action", ["redact", "cut"])
async def test_forbidden_text_is_found_under_any_name(tmp_path: Path, action: str) -> None:
    guards = [{"name": "forbidden-text", "strings": [SECRET], "action": action}]
    async with running(tmp_path, workloads(guards)) as box:
        for api, workload, stream in product(PATHS, WORKLOADS, (False, True)):
            where = (api, workload, stream)
            script = f"[[tool:look {json.dumps(arguments(SECRET))}]]"
            answer = await answered(box, api, workload, asked(api, workload, [(script, "")], stream=stream))
            assert SECRET.encode() not in answer.body, where
            if action == "redact":
                assert called_with(api, answer) == arguments(MARK), where
