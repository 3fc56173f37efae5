"""A request header that looks like one of ours and is none is refused; all that exist pass, and what proxies copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import Box, running, simulated_config
from signalbox.gateway import framing
from signalbox.gateway.headers import HEADERS

pytestmark = pytest.mark.asyncio(loop_scope="module")

TURN = {"messages": [{"role": "user", "content": "x"}]}
CALLS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "w-chat", **TURN},
    "/v1/responses": {"model": "w-responses", "input": "x"},
    "/v1/messages": {"model": "w-messages", "max_tokens": 9, **TURN},
    "/v1/completions": {"model": "w-chat", "prompt": "x"},
    "/v1/embeddings": {"model": "w-embed", "input": "x"},
    "/v1/messages/count_tokens": {"model": "w-messages", **TURN},
    "/v1/responses/input_tokens": {"model": "w-responses", "input": "x"},
}
STREAMING = list(CALLS)[:4]
RUNS = [(path, stream) for path in CALLS for stream in (False, True) if path in STREAMING or not stream]
MISTYPED = {
    "x-signalbox-worklod": "x-signalbox-workload",
    "X-Signalbox-Workloads": "x-signalbox-workload",
    "x-signalbox-date": "x-signalbox-data",
    "x-signalbox-data-class": "x-signalbox-data",
    "x-signalbox-tag": "x-signalbox-tags",
    "x-signalbox_data": "x-signalbox-data",
    "x-signalbox-cachescope": "x-signalbox-cache-scope",
}


@pytest.mark.parametrize(("path", "stream"), RUNS)
async def test_a_mistyped_header_is_refused_with_the_nearest_one(shared_box: Box, path: str, stream: bool) -> None:
    body = CALLS[path] | ({"stream": True} if stream else {})
    asked = len(shared_box.sim.log.entries)
    for wrong, right in MISTYPED.items():
        refused = await shared_box.request(path, body, headers={wrong: "phi"})
        error = refused.json["error"]
        assert (refused.status, refused.headers["x-should-retry"]) == (400, "false")
        assert error["type"] == "invalid_request_error"
        assert error["message"] == f"There is no request header `{wrong.lower()}`. Did you mean `{right}`?"
        if "messages" not in path:
            assert (error["code"], error["param"]) == ("unknown_header", wrong.lower())
    assert len(shared_box.sim.log.entries) == asked
    assert (await shared_box.request(path, body)).status == 200


async def test_a_name_like_no_other_is_answered_with_all_of_them(shared_box: Box) -> None:
    refused = await shared_box.request("/v1/models", headers={"x-signalbox": "1", "x-signalbox-": "2"})
    assert refused.status == 400
    far = await shared_box.request("/v1/models", headers={"x-signalbox-" + "qj" * 40: "1"})
    assert "`x-signalbox-qjqjqj" in far.json["error"]["message"]
    told = far.json["error"]["message"]
    for header in HEADERS:
        if header.side == "read" and header.name.startswith("x-signalbox-"):
            assert header.name in told


@pytest.mark.parametrize(("path", "stream"), RUNS)
async def test_the_headers_of_answers_may_come_back(shared_box: Box, path: str, stream: bool) -> None:
    body = CALLS[path] | ({"stream": True} if stream else {})
    answer = await shared_box.request(path, body)
    ours = {name: value for name, value in answer.headers.items() if name.startswith("x-signalbox-")}
    assert ours
    for header in HEADERS:
        if header.name.startswith("x-signalbox-") and header.side != "read":
            ours.setdefault(header.name, "1")
    assert (await shared_box.request(path, body, headers=ours)).status == 200


@pytest.mark.parametrize(("path", "stream"), [run for run in RUNS if not run[0].endswith("input_tokens")])
async def test_two_gateways_in_series(tmp_path: Path, path: str, stream: bool) -> None:
    """The one in front sends traces on, and what its operator adds; nothing of what its own clients say to it alone."""
    async with running(tmp_path / "back") as back, running(tmp_path / "front") as front:
        config = simulated_config(
            front.sim,
            telemetry={"otlp": {"endpoint": f"http://127.0.0.1:{front.port}", "metrics": False}},
        )
        for name, deployment in config["deployments"].items():
            workload = {"chat": "w-chat", "responses": "w-responses", "messages": "w-messages"}.get(name, "w-embed")
            base = back.url if deployment["protocol"] == "anthropic" else f"{back.url}/v1"
            extra = {"x-signalbox-tags": "front", "x-signalbox-data": "internal"}
            deployment |= {"base_url": base, "api_key": back.key, "model": workload, "headers": extra, "price": "free"}
        assert not await front.configure(config)
        body = CALLS[path] | ({"stream": True} if stream else {})
        said = {"x-signalbox-tags": "mine", "x-signalbox-data": "personal", "x-signalbox-session": "s1"}
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = await front.request(path, body, headers={**said, "traceparent": trace, "x-request-id": "theirs"})
        assert answer.status == 200, answer.body
        heads = [dict(entry.headers) for entry in back.sim.log.entries]
        assert not [name for head in heads for name in head if name.startswith(b"x-signalbox")]
        if not path.endswith("count_tokens"):
            row = (await back.settled(1))[0]
            assert (row["labels"], row["tags"]) == (["internal"], ["front"])


async def test_the_names_that_are_remembered_are_bounded(shared_box: Box) -> None:
    for number in range(0, framing.NAMES_MAX + 200, 50):
        odd = {f"x-odd-{number + one}": "1" for one in range(50)}
        assert (await shared_box.request("/v1/models", headers=odd)).status == 200
    assert len(framing._harmless) <= framing.NAMES_MAX
    assert (await shared_box.request("/v1/models", headers={"x-signalbox-dat": "phi"})).status == 400
    assert (await shared_box.request("/v1/models", headers={"x-signalbox-data": "phi"})).status == 200
    framing._harmless.clear()
