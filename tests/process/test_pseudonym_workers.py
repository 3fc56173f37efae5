"""An agent's conversation over the worker processes of one installation: no value goes up, no token comes down."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from installation import PATHS, Served

from signalbox.guard.pseudonyms import TOKEN

TURNS = 50
TOOL = {"type": "function", "function": {"name": "mail", "parameters": {"type": "object"}}}


def forty_values() -> list[str]:
    values = [f"{first}.{at}@example.org" for at, first in enumerate(("ann", "bob", "cy", "dee") * 5)]
    values += [f"81.2.{at}.{142 + at}" for at in range(10)]
    values += ["4111 1111 1111 1111", "5555 5555 5555 4444", "DE89 3704 0044 0532 0130 00", "+49 30 901820"]
    return values + [f"+1 415 555 26{at}{at}" for at in range(6)]


def told(answer: Any) -> tuple[str, str]:
    """The text of an answer and what its tool is called with, streamed or not."""
    text = arguments = ""
    if "event-stream" not in answer.headers["content-type"]:
        docs = [answer.json["choices"][0]["message"]]
    else:
        lines = (line for block in answer.events for line in block.splitlines())
        found = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        docs = [choice["delta"] for doc in found for choice in doc["choices"]]
    for doc in docs:
        text += doc.get("content") or ""
        arguments += "".join(call["function"].get("arguments") or "" for call in doc.get("tool_calls") or ())
    return text, arguments


async def test_fifty_turns_with_forty_values_over_four_workers(served: Served) -> None:
    guards = [{"name": "pseudonymise", "where": "always"}]
    served.config["workloads"]["agent"] = {"placements": ["chat"], "guards": guards}
    await served.start(4)
    values = forty_values()
    assert len(values) == 40
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Keep our customers in order, please."}]
    workers: set[str] = set()
    for turn in range(TURNS):
        value, other = values[turn % 40], values[(turn * 7 + 3) % 40] if turn > 40 else values[turn % 40]
        script = f"[[text:I will write to {value}, then to {other}.]]"
        if turn % 2:
            script = "[[tool:mail " + json.dumps({"to": value, "cc": [other]}) + "]]"
        messages.append({"role": "user", "content": f"Next contact: {value} {script}"})
        body = {"model": "agent", "stream": turn % 3 == 0, "messages": messages, "tools": [TOOL]}
        answer = await served.request(PATHS["chat"], body)
        assert answer.status == 200, answer.body
        workers.add(answer.headers["x-request-id"][4:20])
        text, arguments = told(answer)
        assert not TOKEN.search(text + arguments), turn
        said: dict[str, Any] = {"role": "assistant", "content": text}
        if turn % 2:
            assert json.loads(arguments) == {"to": value, "cc": [other]}, turn
            call = {"id": f"c{turn}", "type": "function", "function": {"name": "mail", "arguments": arguments}}
            said = {"role": "assistant", "content": None, "tool_calls": [call]}
            messages += [said, {"role": "tool", "tool_call_id": f"c{turn}", "content": f"sent to {value}"}]
        else:
            assert text == f"I will write to {value}, then to {other}."
            messages.append(said)
    bodies = [entry.body.decode() for entry in served.sim.log.entries]
    assert len(bodies) == TURNS
    assert not [(at, value) for at, body in enumerate(bodies) for value in values if value in body]
    tokens = {token for body in bodies for token in TOKEN.findall(body)}
    assert len(tokens) == len(values), "one token for each value, whichever worker met it"
    # What a history holds leaves as it left before: every body begins as the one before did.
    for before, after in pairwise(bodies):
        first, second = json.loads(before)["messages"], json.loads(after)["messages"]
        assert second[: len(first)] == first
    assert len(workers) > 1, "one worker answered all of it"
