"""Every endpoint × deployment API × streaming or not: an answer in the caller's dialect, a ledger equal to the bill."""

import json
from decimal import Decimal

import pytest

from harness import Box

ASK = "Hello [[tokens:12]]"
BODIES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": ASK}], "max_tokens": 64},
    "/v1/responses": {"input": ASK, "max_output_tokens": 64},
    "/v1/messages": {"messages": [{"role": "user", "content": ASK}], "max_tokens": 64},
    "/v1/completions": {"prompt": ASK, "max_tokens": 64},
}
ENDS = {
    "/v1/chat/completions": "data: [DONE]",
    "/v1/responses": "event: response.completed",
    "/v1/messages": "event: message_stop",
    "/v1/completions": "data: [DONE]",
}


def text_of(path: str, doc: dict) -> str:
    if path == "/v1/chat/completions":
        return doc["choices"][0]["message"]["content"]
    if path == "/v1/completions":
        return doc["choices"][0]["text"]
    if path == "/v1/responses":
        return "".join(p["text"] for item in doc["output"] if item["type"] == "message" for p in item["content"])
    return "".join(p["text"] for p in doc["content"] if p["type"] == "text")


def streamed_text(path: str, events: list[str]) -> str:
    text = ""
    for event in events:
        for line in event.split("\n"):
            if not line.startswith("data: {"):
                continue
            doc = json.loads(line[6:])
            if path == "/v1/chat/completions" and doc["choices"]:
                text += doc["choices"][0]["delta"].get("content") or ""
            elif path == "/v1/completions" and doc["choices"]:
                text += doc["choices"][0]["text"]
            elif doc.get("type") == "response.output_text.delta":
                text += doc["delta"]
            elif doc.get("type") == "content_block_delta":
                text += doc["delta"].get("text", "")
    return text


@pytest.mark.parametrize("workload", ["w-chat", "w-responses", "w-messages"])
@pytest.mark.parametrize("path", BODIES)
async def test_every_pair_answers_alike_streaming_and_not(box: Box, path: str, workload: str) -> None:
    body = {**BODIES[path], "model": workload}
    unary = await box.request(path, body)
    assert unary.status == 200, unary.body
    stream = await box.request(path, {**body, "stream": True})
    assert stream.status == 200, stream.body
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert ENDS[path] in stream.events[-1]
    said = text_of(path, unary.json)
    assert len(said.split()) == 12
    assert streamed_text(path, stream.events) == said
    rows = await box.settled(2)
    assert [row["state"] for row in rows] == ["settled", "settled"]
    assert {row["usage_source"] for row in rows} == {"provider"}
    assert_equal_bill(box, rows)


def assert_equal_bill(box: Box, rows: list[dict]) -> None:
    billed = {row.client_request_id: row for row in box.bill()}
    assert set(billed) == {row["attempt_id"] for row in rows}
    for row in rows:
        bill = billed[row["attempt_id"]]
        assert Decimal(row["cost_usd"]) == Decimal(bill.cost_pico) / 10**12
    assert box.chain_is_whole()


async def test_embeddings(box: Box) -> None:
    answer = await box.request("/v1/embeddings", {"model": "w-embed", "input": ["one", "two"]})
    assert answer.status == 200, answer.body
    assert len(answer.json["data"]) == 2
    assert_equal_bill(box, await box.settled(1))


async def test_count_tokens_asks_the_provider_or_estimates(box: Box) -> None:
    body = {"messages": [{"role": "user", "content": "How many tokens is this?"}]}
    counted = await box.request("/v1/messages/count_tokens", {**body, "model": "w-messages"})
    assert counted.status == 200, counted.body
    assert counted.headers["x-signalbox-placement"] == "messages@anthropic-env"
    estimated = await box.request("/v1/messages/count_tokens", {**body, "model": "w-chat"})
    assert estimated.headers["x-signalbox-reason"] == "estimated"
    assert estimated.json["input_tokens"] >= counted.json["input_tokens"] > 0


async def test_models_satisfies_both_sdks(box: Box) -> None:
    page = (await box.request("/v1/models")).json
    ids = [model["id"] for model in page["data"]]
    assert "w-chat" in ids
    assert "auto" in ids
    assert "chat" in ids
    assert {"id", "object", "created", "owned_by", "type", "display_name", "created_at", "lifecycle"} <= set(
        page["data"][0]
    )
    one = await box.request("/v1/models/w-chat")
    assert one.json["id"] == "w-chat"
    assert (await box.request("/v1/models/nothing")).status == 404
