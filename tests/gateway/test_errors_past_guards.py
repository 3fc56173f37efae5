"""A provider's error may repeat what was asked, or say what no guard would let pass; it goes past none either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from canned_upstream import CannedUpstream, http

from harness import running

SECRET = "Nightjar-7731"
TURNS = [{"role": "user", "content": "hello"}]
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": TURNS}),
    "messages": ("/v1/messages", {"messages": TURNS, "max_tokens": 60}),
    "responses": ("/v1/responses", {"input": "hello"}),
    "completions": ("/v1/completions", {"prompt": "hello"}),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 429, 500])
@pytest.mark.parametrize("api", CALLS)
async def test_an_error_says_nothing_that_an_answer_may_not(
    tmp_path: Path, api: str, status: int, stream: bool
) -> None:
    guards = [{"name": "forbidden-text", "strings": [SECRET]}]
    async with CannedUpstream() as upstream, running(tmp_path) as box:
        config = box.config
        config["deployments"]["chat"] |= {"base_url": f"http://127.0.0.1:{upstream.port}/v1"}
        config["workloads"] |= {
            "guarded": {"placements": ["chat"], "guards": guards},
            "bare": {"placements": ["chat"]},
        }
        assert not await box.configure(config)
        told = {"error": {"message": f"you said {SECRET}", "type": "invalid_request_error", "code": "x", "param": None}}
        upstream.answer = http(status, json.dumps(told).encode())
        path, body = CALLS[api]
        answer = await box.request(path, {"model": "guarded", "stream": stream, **body})
        assert upstream.asked
        assert answer.status >= 400
        assert SECRET.encode() not in answer.body
        if status == 400:
            # What passes without a guard is what this test is about.
            assert SECRET.encode() in (await box.request(path, {"model": "bare", "stream": stream, **body})).body
