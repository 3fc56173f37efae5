"""Whatever a detector finds, wherever it stands in a call: where a rule forbids it the cloud, no byte gets there, and
the permitted place does get the call; and content without it still goes to the cloud."""

import json
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from harness import Box, running, simulated_config

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLASSES = {
    "email": ("personal", "Please write to anna.schmidt@example.org about the order."),
    "card": ("pci", "Charge 4111 1111 1111 1111 for the hotel."),
    "iban": ("financial", "Send it to DE89 3704 0044 0532 0130 00 today."),
    "token": ("credentials", "Use ghp_16C7e42F292c6912E7710c838347Ae178B4a to log in."),
    "ssn": ("national-id", "The applicant's SSN is 536-22-8746."),
    "health": (
        "phi",
        "Patient John Smith, born 12/03/1961, was diagnosed with type 2 diabetes mellitus and takes metformin.",
    ),
    "code": (
        "source-code",
        "import os\n\ndef main(argv: list[str]) -> int:\n    for x in range(10):\n        print(os.getcwd(), x)\n"
        "    return 0\n",
    ),
    "export": ("export-controlled", "ITAR controlled technical data, 22 CFR 120.50, no export without a license."),
    "marking": ("restricted", "STRICTLY CONFIDENTIAL\n\nPlans of the board."),
    "own words": ("legal", "About the project Blue Falcon there is news."),
    "own pattern": ("government", "The number is PRJ-2291 as agreed."),
}
CLEAN = "Please suggest a name for a small boat."
TAGS = sorted({tag for tag, _ in CLASSES.values()} - {"restricted"})
CUSTOM = {
    "custom": {
        "falcon": {"words": ["blue falcon"], "label": "legal"},
        "numbers": {"pattern": r"\bPRJ-\d{4}\b", "label": "government"},
    }
}

Make = Callable[[str], dict[str, Any]]
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}


def chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [*messages, asked()], "max_tokens": 8, **more}


def claude(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [*messages, asked()], "max_tokens": 8, **more}


def items(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    question = [{"type": "input_text", "text": asked()["content"]}]
    given = [*found, {"type": "message", "role": "user", "content": question}]
    return {"input": given, "max_output_tokens": 16, "store": False, **more}


def called(arguments: str) -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def used(given: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "find", "input": given}]}


NUMBERS = count()


def asked() -> dict[str, Any]:
    """A first message that no other conversation begins with: what one of those carried would stay with it."""
    return {"role": "user", "content": f"Go, for the {next(NUMBERS)}th time."}


RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "none"}
TOOL_USE_RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "none"}]}
FUNCTION_CALL = {"type": "function_call", "call_id": "call_1", "name": "find", "arguments": "{}"}
FUNCTION_OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "none"}


def chat_tool(text: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "find", "description": text, "parameters": SCHEMA}}


PLACES: dict[str, dict[str, Make]] = {
    "/v1/chat/completions": {
        "system": lambda t: chat({"role": "system", "content": t}),
        "user": lambda t: chat({"role": "user", "content": t}),
        "user parts": lambda t: chat({"role": "user", "content": [{"type": "text", "text": t}]}),
        "split over parts": lambda t: chat(
            {"role": "user", "content": [{"type": "text", "text": h} for h in (t[: len(t) // 2], t[len(t) // 2 :])]}
        ),
        "tool result": lambda t: chat(asked(), called("{}"), {**RESULT, "content": t}),
        "tool arguments": lambda t: chat(asked(), called(json.dumps({"q": t})), RESULT),
        "tool definition": lambda t: chat(tools=[chat_tool(t)]),
        "parameter description": lambda t: chat(
            tools=[
                {
                    "type": "function",
                    "function": {
                        "name": "find",
                        "parameters": {"type": "object", "properties": {"q": {"type": "string", "description": t}}},
                    },
                }
            ]
        ),
    },
    "/v1/messages": {
        "system": lambda t: claude(system=t),
        "system parts": lambda t: claude(system=[{"type": "text", "text": t}]),
        "user": lambda t: claude({"role": "user", "content": t}, {"role": "assistant", "content": "Good."}),
        "tool result": lambda t: claude(
            asked(),
            used({}),
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": t}]},
        ),
        "tool arguments": lambda t: claude(asked(), used({"q": {"deep": [t]}}), TOOL_USE_RESULT),
        "tool arguments' keys": lambda t: claude(asked(), used({t: 1}), TOOL_USE_RESULT),
        "tool definition": lambda t: claude(tools=[{"name": "find", "description": t, "input_schema": SCHEMA}]),
    },
    "/v1/responses": {
        "instructions": lambda t: items(instructions=t),
        "input": lambda t: {"input": t, "max_output_tokens": 16, "store": False},
        "item": lambda t: items({"type": "message", "role": "user", "content": [{"type": "input_text", "text": t}]}),
        "answer before": lambda t: items(
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": t}]}
        ),
        "tool arguments": lambda t: items({**FUNCTION_CALL, "arguments": json.dumps({"q": t})}, FUNCTION_OUTPUT),
        "tool result": lambda t: items(FUNCTION_CALL, {**FUNCTION_OUTPUT, "output": t}),
        "tool definition": lambda t: items(
            tools=[{"type": "function", "name": "find", "description": t, "parameters": SCHEMA, "strict": False}]
        ),
    },
    "/v1/completions": {"prompt": lambda t: {"prompt": t, "max_tokens": 8}},
    "/v1/embeddings": {
        "input": lambda t: {"input": t},
        "inputs": lambda t: {"input": ["A small boat.", t]},
    },
}
# Which workloads answer in the client's own protocol, and which by translation.
WORKLOADS = {
    "/v1/chat/completions": ("chat", "messages", "responses"),
    "/v1/messages": ("messages", "chat", "responses"),
    "/v1/responses": ("responses", "chat", "messages"),
    "/v1/completions": ("chat",),
    "/v1/embeddings": ("embed",),
}
CASES = [(path, place, workload) for path, places in PLACES.items() for place in places for workload in WORKLOADS[path]]


def config(box_url: Callable[[str, str], str]) -> dict[str, Any]:
    kinds = {
        "chat": ("openai", ["chat", "completions"], "sim-small"),
        "responses": ("openai", ["responses"], "sim-small"),
        "messages": ("anthropic", ["messages", "count_tokens"], "sim-small"),
        "embed": ("openai", ["embeddings"], "sim-embed"),
    }
    deployments: dict[str, Any] = {}
    for name, (protocol, apis, model) in kinds.items():
        for place, provider in (("cloud", "openai"), ("home", "vllm")):
            deployments[f"{place}-{name}"] = {
                "environment": f"{provider}-env",
                "protocol": protocol,
                "base_url": box_url(provider, protocol),
                "allow_private": True,
                "model": model,
                "price": "free",
                "capabilities": {"apis": list(apis)},
            }
    workloads: dict[str, Any] = {
        f"m-{name}": {"placements": [f"cloud-{name}", f"home-{name}"], "classify": deepcopy(CUSTOM)} for name in kinds
    }
    workloads |= {
        f"f-{name}": {"placements": [f"home-{name}", f"cloud-{name}"], "classify": deepcopy(CUSTOM)} for name in kinds
    }
    return {
        "deployments": deployments,
        "workloads": workloads,
        "rules": [
            {"id": "stays-home", "when": {"data": list(TAGS)}, "allow": {"kind": ["on-prem"]}},
            {"id": "restricted-stays-home", "when": {"level": "restricted"}, "allow": {"kind": ["on-prem"]}},
        ],
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    path: Path = tmp_path_factory.mktemp("labels") / "state"
    async with running(path) as box:
        error = await box.configure(simulated_config(box.sim, **config(box.sim.base_url)))
        assert not error, error
        yield box


def reached(box: Box) -> set[str]:
    return {entry.provider for entry in box.sim.log.entries}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("found", CLASSES)
async def test_no_byte_reaches_the_cloud_wherever_it_stands(home: Box, found: str, stream: bool) -> None:
    tag, text = CLASSES[found]
    asked = 0
    for path, place, workload in CASES:
        if stream and path == "/v1/embeddings":
            continue
        body = {**PLACES[path][place](text), "model": f"m-{workload}", **({"stream": True} if stream else {})}
        home.sim.reset()
        answer = await home.request(path, body)
        assert answer.status == 200, (path, place, workload, answer.body)
        assert reached(home) == {"vllm"}, (path, place, workload)
        assert answer.headers["x-signalbox-placement"] == f"home-{workload}@vllm-env"
        asked += 1
    rows = home.rows()[-asked:]
    assert all(tag in row["labels"] for row in rows)
    assert all(row["found"] for row in rows)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_the_same_calls_without_it_go_to_the_cloud(home: Box, stream: bool) -> None:
    for path, place, workload in CASES:
        if stream and path == "/v1/embeddings":
            continue
        body = {**PLACES[path][place](CLEAN), "model": f"m-{workload}", **({"stream": True} if stream else {})}
        home.sim.reset()
        answer = await home.request(path, body)
        assert answer.status == 200, (path, place, workload, answer.body)
        assert reached(home) == {"openai"}, (path, place, workload)
    assert "found" not in home.rows()[-1]


@pytest.mark.parametrize("fault", ["500", "503", "reset"])
@pytest.mark.parametrize("found", ["card", "health", "own words"])
async def test_when_home_fails_the_cloud_is_no_fallback(home: Box, found: str, fault: str) -> None:
    for path, place, workload in CASES:
        for stream in (False, True):
            if stream and path == "/v1/embeddings":
                continue
            body = {**PLACES[path][place](CLASSES[found][1]), "model": f"f-{workload}", "stream": stream}
            if path == "/v1/embeddings":
                del body["stream"]
            home.sim.reset()
            home.sim.fault(fault, provider="vllm")
            answer = await home.request(path, body)
            assert answer.status in (502, 503), (path, place, workload, answer.body)
            assert reached(home) <= {"vllm"}, (path, place, workload)
    home.sim.reset()


async def test_without_the_classes_the_cloud_is_the_fallback(home: Box) -> None:
    home.sim.reset()
    home.sim.fault("500", provider="vllm")
    answer = await home.request("/v1/chat/completions", {**chat({"role": "user", "content": CLEAN}), "model": "f-chat"})
    assert answer.status == 200
    assert "openai" in reached(home)
    home.sim.reset()


async def test_what_a_rule_forbids_everywhere_is_refused_and_says_what_was_found(home: Box) -> None:
    body = {"model": "cloud-chat", "messages": [{"role": "user", "content": CLASSES["card"][1]}]}
    home.sim.reset()
    answer = await home.request("/v1/chat/completions", body)
    assert answer.status == 400
    assert b"4111" not in answer.body
    assert answer.headers["x-signalbox-reason"] == "no_permitted_placement"
    assert reached(home) == set()
