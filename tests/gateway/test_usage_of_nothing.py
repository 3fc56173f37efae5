"""A provider that counts nothing, or nothing for what it answered: the books and budgets do not take it for free."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from gateway.canned_upstream import CannedUpstream, http
from harness import Box, running

ASKED = "Say it. [[tokens:40]]" + " and some more words to read" * 40
PLACES = {"chat": "w-chat", "responses": "w-responses", "messages": "w-messages", "completions": "w-chat"}
PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
}
NAMES = {"chat": (b"prompt_tokens", b"completion_tokens")}
# One counts nothing at all, the other what was asked but for nothing what was answered.
FAULTS = ("zero_usage", "wrong_usage@-40")


def _asked(api: str, workload: str, *, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": workload}
    if api in ("responses", "embeddings"):
        body["input"] = ASKED
    elif api == "completions":
        body |= {"prompt": ASKED, "max_tokens": 200}
    else:
        body |= {"messages": [{"role": "user", "content": ASKED}], "max_tokens": 200}
    return body | {"stream": True} if stream else body


async def _told(box: Box, api: str, workload: str, *, stream: bool) -> dict[str, Any]:
    before = len(box.rows())
    answer = await box.request(PATHS[api], _asked(api, workload, stream=stream))
    assert answer.status == 200, answer.body
    if not stream and api == "embeddings":
        assert "x-signalbox-cost-usd" not in answer.headers
    row = (await box.settled(before + 1))[-1]
    assert row["state"] == "settled"
    return row


async def test_what_counts_nothing_is_estimated_on_every_endpoint(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        for (api, workload), stream, fault in product(PLACES.items(), (False, True), FAULTS):
            box.sim.faults.clear()
            box.sim.fault(fault)
            row = await _told(box, api, workload, stream=stream)
            bill = box.bill()[-1]
            where = (api, stream, fault, row)
            assert row["usage_source"] == "estimated", where
            assert int(row["tokens_out"]) >= bill.tokens_out == 40, where
            if fault == "zero_usage":
                assert int(row["tokens_in"]) >= bill.tokens_in, where
        box.sim.faults.clear()
        box.sim.fault("zero_usage")
        row = await _told(box, "embeddings", "w-embed", stream=False)
        assert row["usage_source"] == "estimated"
        assert int(row["tokens_in"]) >= box.bill()[-1].tokens_in > 0


async def test_a_translated_answer_that_counts_nothing_is_estimated_too(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        box.sim.fault("zero_usage")
        for stream in (False, True):
            row = await _told(box, "chat", "w-messages", stream=stream)
            assert (row["usage_source"], int(row["tokens_out"]) >= 40) == ("estimated", True), row


async def test_a_client_of_another_protocol_is_told_what_the_ledger_has_and_not_nothing(tmp_path: Path) -> None:
    ways = (("messages", "w-chat"), ("responses", "w-messages"), ("chat", "w-responses"))
    async with running(tmp_path) as box:
        box.sim.fault("zero_usage")
        for number, ((api, workload), stream) in enumerate(product(ways, (False, True))):
            body = _asked(api, workload, stream=stream)
            if stream and api == "chat":
                body["stream_options"] = {"include_usage": True}
            answer = await box.request(PATHS[api], body)
            told = [
                max(map(int, re.findall(rb'"%b":(\d+)' % name, answer.body)))
                for name in (
                    (b"prompt_tokens", b"completion_tokens") if api == "chat" else (b"input_tokens", b"output_tokens")
                )
            ]
            row = (await box.settled(number + 1))[-1]
            assert row["usage_source"] == "estimated"
            assert told[0] >= int(row["tokens_in"]) > 0, (api, stream)
            assert told[1] == int(row["tokens_out"]) > 0, (api, stream)


async def test_a_hard_budget_is_spent_by_answers_that_count_nothing(tmp_path: Path) -> None:
    budget = {"for": "tenant", "name": "default", "usd_total": 0.001, "hard": True}
    async with running(tmp_path, {"budgets": [budget]}) as box:
        box.sim.fault("zero_usage")
        statuses = [
            (await box.request(PATHS["chat"], _asked("chat", "w-chat", stream=False))).status for _ in range(30)
        ]
        assert statuses[0] == 200
        assert statuses[-1] == 429


async def test_an_answer_without_content_may_count_nothing_for_it(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        body = {"model": "w-chat", "messages": [{"role": "user", "content": "[[tokens:0]]"}]}
        answer = await box.request(PATHS["chat"], body)
        assert answer.status == 200
        row = (await box.settled(1))[-1]
        assert (row["usage_source"], int(row["tokens_out"])) == ("provider", 0)


@pytest.mark.parametrize("last", [None, {}, {"output_tokens": 0}, {"input_tokens": 100}])
async def test_the_count_at_the_start_of_a_messages_stream_is_not_that_of_its_answer(
    tmp_path: Path, last: dict[str, Any] | None
) -> None:
    """`message_start` counts one token of an answer that is yet to come; where no later event counts it, that is not
    what it cost."""
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    start = message | {"usage": {"input_tokens": 100, "cache_read_input_tokens": 50, "output_tokens": 1}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"word{n} "}}
            for n in range(40)
        ],
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}} | ({} if last is None else {"usage": last}),
        {"type": "message_stop"},
    ]
    text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    async with CannedUpstream() as told, running(tmp_path) as box:
        told.answer = http(200, text.encode(), b"content-type: text/event-stream\r\n")
        more = told.config()
        assert not await box.configure({**box.config, **{name: {**box.config[name], **more[name]} for name in more}})
        for number, api in enumerate(("messages", "chat", "responses")):
            answer = await box.request(PATHS[api], _asked(api, "canned-messages", stream=True))
            assert answer.status == 200
            row = (await box.settled(number + 1))[-1]
            assert row["usage_source"] == "estimated", api
            assert int(row["tokens_out"]) >= 40, api
            assert (int(row["tokens_in"]), int(row["tokens_cache_read"])) == (100, 50), api
