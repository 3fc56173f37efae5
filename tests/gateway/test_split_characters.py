"""A character whose halves came in two events is one character for every client, and half of one is U+FFFD."""

import json
from pathlib import Path
from typing import Any

import pytest
from canned_upstream import CannedUpstream, http

from harness import running

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
PATHS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
JOINED = [r"one \ud83d", r"\ude00 two ", r"three"]
ALONE = [r"one \ud83d", r" two \ude00 ", r"three"]


def _event(data: dict[str, Any] | str, name: str = "") -> str:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "") + f"data: {text}\n\n"


def _chat(pieces: list[str]) -> str:
    def chunk(inner: str, finish: str = "null") -> str:
        choice = f'{{"index":0,"delta":{inner},"finish_reason":{finish}}}'
        return _event(f'{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{choice}]}}')

    usage = '{"prompt_tokens":4,"completion_tokens":5,"total_tokens":9}'
    told = _event(
        f'{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{usage}}}'
    )
    deltas = "".join(chunk(f'{{"content":"{piece}"}}') for piece in pieces)
    return chunk('{"role":"assistant"}') + deltas + chunk("{}", '"stop"') + told + _event("[DONE]")


def _messages(pieces: list[str]) -> str:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    message |= {"stop_sequence": None, "usage": {"input_tokens": 4, "output_tokens": 1}}

    def delta(piece: str) -> str:
        inner = f'{{"type":"text_delta","text":"{piece}"}}'
        return _event(f'{{"type":"content_block_delta","index":0,"delta":{inner}}}', "content_block_delta")

    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    over = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
    ping = _event({"type": "ping"}, "ping")
    return (
        _event({"type": "message_start", "message": message}, "message_start")
        + _event(block, "content_block_start")
        + ping.join(delta(piece) for piece in pieces)
        + _event({"type": "content_block_stop", "index": 0}, "content_block_stop")
        + _event(over, "message_delta")
        + _event({"type": "message_stop"}, "message_stop")
    )


def _responses(pieces: list[str]) -> str:
    at = {"item_id": "i1", "output_index": 0, "content_index": 0}
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": []}
    whole = "".join(pieces)
    item = {"id": "i1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    part = f'{{"type":"output_text","text":"{whole}","annotations":[]}}'
    done = f'{{"id":"i1","type":"message","role":"assistant","status":"completed","content":[{part}]}}'
    usage = {"input_tokens": 4, "output_tokens": 5, "total_tokens": 9}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    ended = json.dumps(response | {"status": "completed", "usage": usage}).replace(
        '"output": []', f'"output": [{done}]'
    )
    events: list[tuple[str, str]] = [
        ("response.created", json.dumps({"response": response | {"status": "in_progress"}})),
        ("response.output_item.added", json.dumps({"output_index": 0, "item": item})),
        (
            "response.content_part.added",
            json.dumps(at | {"part": {"type": "output_text", "text": "", "annotations": []}}),
        ),
        *(("response.output_text.delta", json.dumps(at)[:-1] + f', "delta":"{piece}"}}') for piece in pieces),
        ("response.output_text.done", json.dumps(at)[:-1] + f', "text":"{whole}"}}'),
        ("response.content_part.done", json.dumps(at)[:-1] + f', "part":{part}}}'),
        ("response.output_item.done", f'{{"output_index":0,"item":{done}}}'),
        ("response.completed", f'{{"response":{ended}}}'),
    ]
    return "".join(
        _event(f'{{"type":"{name}","sequence_number":{number},{data[1:]}', name)
        for number, (name, data) in enumerate(events)
    )


STREAMS = {"chat": _chat, "messages": _messages, "responses": _responses}


def _text(api: str, events: list[str]) -> tuple[str, bool]:
    """What the client reads, as strictly as JSON is meant, and whether the end of its protocol was seen."""
    text, ended = "", False
    for event in events:
        data = event.partition("data: ")[2]
        if not data:
            continue
        if data == "[DONE]":
            ended = True
            continue
        doc = json.loads(data)
        data.encode()
        assert "error" not in doc, doc
        if api == "chat":
            text += "".join(choice["delta"].get("content") or "" for choice in doc["choices"])
        elif api == "messages":
            text += doc["delta"].get("text", "") if doc["type"] == "content_block_delta" else ""
            ended |= doc["type"] == "message_stop"
        else:
            text += doc["delta"] if doc["type"] == "response.output_text.delta" else ""
            if doc["type"] == "response.completed":
                (part,) = doc["response"]["output"][0]["content"]
                ended = part["text"] == text
    text.encode()
    return text, ended


@pytest.mark.parametrize("guards", [[], ["no-secrets"]], ids=["bare", "guarded"])
@pytest.mark.parametrize("client", sorted(PATHS))
@pytest.mark.parametrize("provider", sorted(PATHS))
async def test_halves_over_two_events(tmp_path: Path, provider: str, client: str, guards: list[str]) -> None:
    protocol = "anthropic" if provider == "messages" else "openai"
    async with CannedUpstream() as upstream:
        config = upstream.config()
        config["deployments"] = {"told": upstream.deployment(protocol, [provider])}
        config["workloads"] = {"canned": {"placements": ["told"], "guards": guards, "retries": {"max_attempts": 1}}}
        async with running(tmp_path / "state", config) as box:
            body: dict[str, Any] = {"model": "canned", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
            body |= {"max_tokens": 99}
            if client == "responses":
                body = {"model": "canned", "stream": True, "input": "hi"}
            for pieces, expected in ((JOINED, "one \U0001f600 two three"), (ALONE, "one \ufffd two \ufffd three")):
                stream = STREAMS[provider](pieces).encode()
                upstream.answer = http(200, stream, b"content-type: text/event-stream\r\n")
                answer = await box.request(PATHS[client], body)
                assert answer.status == 200, answer.body
                assert _text(client, answer.events) == (expected, True), answer.body.decode()
            assert {row["state"] for row in await box.settled(2)} == {"settled"}


@pytest.mark.parametrize("client", sorted(PATHS))
async def test_a_whole_answer_with_half_a_character(tmp_path: Path, client: str) -> None:
    async with CannedUpstream() as upstream, running(tmp_path / "state", upstream.config()) as box:
        message = r'{"role":"assistant","content":"one \ud83d two \ud83d\ude00"}'
        usage = '{"prompt_tokens":4,"completion_tokens":5,"total_tokens":9}'
        choice = f'{{"index":0,"message":{message},"finish_reason":"stop"}}'
        told = f'{{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{choice}],"usage":{usage}}}'
        upstream.answer = http(200, told.encode())
        body: dict[str, Any] = {"model": "canned", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 99}
        if client == "responses":
            body = {"model": "canned", "input": "hi"}
        answer = await box.request(PATHS[client], body)
        assert answer.status == 200, answer.body
        assert "one \ufffd two \U0001f600" in json.dumps(answer.json, ensure_ascii=False)
