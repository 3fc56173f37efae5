"""What providers' errors mean beyond their status: input too long, an account out of use, refusals inside of a 200."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conversations import PATHS
from gateway.canned_upstream import CannedUpstream, http
from harness import Answer, Box, running
from signalbox.core.errors import UpstreamAnswer
from signalbox.pipeline.verdict import CREDENTIAL, LARGER, MODEL, NOBODY, OVERLOAD, STOP, judge

TOO_LONG = [
    (400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."),
    (400, "Your input exceeds the context window of this model. Please adjust your input and try again."),
    (400, "prompt is too long: 250000 tokens > 200000 maximum"),
    (400, "Prompt is too long"),
    (400, "input length and `max_tokens` exceed context limit: 190000 + 32000 > 200000, decrease input length or "
          "`max_tokens` and try again"),
    (400, "Input is too long for requested model."),
    (400, "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."),
    (400, "This model's maximum prompt length is 131072 but the request contains 136973 tokens."),
    (400, "Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)"),
    (400, "Prompt exceeds max length"),
    (400, "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]"),
    (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000."),
    (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096."),
    (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens)."),
    (400, "Input length (5000 tokens) exceeds the maximum allowed length (4096 tokens)."),
    (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens"),
    (413, "Input validation error: `inputs` must have less than 512 tokens. Given: 1000"),
    (400, "the request exceeds the available context size. try increasing the context size"),
    (400, "the input length exceeds the context length"),
    (400, "The model is loaded with context length of only 4096 tokens, which is not enough."),
    (400, "Prompt contains 131073 tokens and 0 draft tokens, too large for model with 131072 maximum context length"),
]  # fmt: skip
OUR_ACCOUNT = [
    (400, "Your credit balance is too low to access the Anthropic API."),
    (400, "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."),
    (400, "This organization has been disabled."),
    (400, "API key not valid. Please pass a valid API key."),
    (400, "API key expired. Please renew the API key."),
    (400, "Incorrect API key provided: na***ys. You can obtain an API key from https://console.x.ai."),
    (401, "Incorrect API key provided"),
    (402, "Insufficient Balance"),
    (403, "Your team has either used all available credits or reached its monthly spending limit."),
    (429, "Your team has either used all available credits or reached its monthly spending limit."),
    (429, "You exceeded your current quota, please check your plan and billing details."),
    (429, "Insufficient balance or no resource package. Please recharge."),
]


def _body(message: str, **more: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", **more}}).encode()


@pytest.mark.parametrize(("status", "message"), TOO_LONG)
def test_what_is_too_long_goes_to_a_larger_window_and_is_nobodys_fault(status: int, message: str) -> None:
    verdict = judge(UpstreamAnswer(status, [], _body(message)), {})
    assert (verdict.then, verdict.blame) == (LARGER, NOBODY)


@pytest.mark.parametrize(("status", "message"), OUR_ACCOUNT)
def test_an_account_out_of_use_is_not_the_callers_fault(status: int, message: str) -> None:
    assert judge(UpstreamAnswer(status, [], _body(message)), {}).blame == CREDENTIAL


@pytest.mark.parametrize("code", ["Arrearage", "organization_restricted", "billing_hard_limit_reached"])
def test_an_account_out_of_use_is_known_by_its_code(code: str) -> None:
    assert judge(UpstreamAnswer(400, [], _body("Access denied.", code=code)), {}).blame == CREDENTIAL


def test_other_refusals_stay_what_their_status_says() -> None:
    for status, then, blame in ((400, STOP, NOBODY), (422, STOP, NOBODY), (403, "elsewhere", MODEL)):
        verdict = judge(UpstreamAnswer(status, [], _body("The input is not right.")), {})
        assert (verdict.then, verdict.blame) == (then, blame)
    assert judge(UpstreamAnswer(429, [], _body("Too many requests")), {}).blame == OVERLOAD


def test_a_stored_answer_that_lies_elsewhere_is_asked_for_there() -> None:
    answer = UpstreamAnswer(400, [], _body("Previous response not found.", code="previous_response_not_found"))
    assert judge(answer, {"previous_response_id": "resp_1"}).then == "elsewhere"
    assert judge(answer, {}).then == STOP


async def _configured(box: Box, *, good: CannedUpstream, bad: CannedUpstream, protocol: str, api: str) -> None:
    """Workloads `alone`, and `both`, whose second placement has a larger window. Health counts what fails."""
    named = {"narrow": bad, "wide": good}
    deployments = {
        name: upstream.deployment(protocol, [api])
        | {"health": {}, "api_key": f"sk-{name}", "context_tokens": 8_000 if name == "narrow" else 200_000}
        for name, upstream in named.items()
    }
    deployments["narrow"]["price"] = {"input_mtok": 1, "output_mtok": 10}
    config = {**box.config, "deployments": {**box.config["deployments"], **deployments}}
    config["workloads"] = {
        **box.config["workloads"],
        "alone": {"placements": ["narrow"]},
        "both": {"placements": ["narrow", "wide"], "strategy": "fixed"},
    }
    assert not await box.configure(config)


async def _ask(box: Box, api: str, workload: str, text: str = "hi", **more: Any) -> Answer:
    body: dict[str, Any] = {"model": workload, **more}
    if api == "responses":
        body |= {"input": text, "store": False}
    else:
        body |= {"messages": [{"role": "user", "content": text}], "max_tokens": 20}
    return await box.request(PATHS[api], body)


GOOD = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
    "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
}  # fmt: skip


@pytest.mark.parametrize("spelling", ["plain", "escaped"])
async def test_whoever_writes_such_words_himself_puts_nobodys_credential_out_of_use(
    tmp_path: Path, spelling: str
) -> None:
    """Providers quote what they do not understand: `words: Extra inputs are not permitted`."""
    words = "Your credit balance is too low to access the Anthropic API."
    async with CannedUpstream() as bad, CannedUpstream() as good, running(tmp_path) as box:
        await _configured(box, good=good, bad=bad, protocol="openai", api="chat")
        bad.answer = http(400, _body(f"{words}: Extra inputs are not permitted"))
        body = json.dumps({"model": "alone", "messages": [{"role": "user", "content": "hi"}], words: 1})
        if spelling == "escaped":
            body = body.replace("Your credit", "\\u0059our \\u0063redit")
        assert (await box.request(PATHS["chat"], body.encode())).status == 400
        bad.answer = http(200, json.dumps(GOOD).encode())
        assert (await _ask(box, "chat", "alone")).status == 200
        # Told of somebody who wrote nothing of the kind, it is what it says.
        bad.answer = http(400, _body(words))
        assert (await _ask(box, "chat", "alone")).json["error"]["code"] == "upstream_credential"
        bad.answer = http(200, json.dumps(GOOD).encode())
        assert (await _ask(box, "chat", "alone")).status == 503


OVERFLOW = "Your input exceeds the context window of this model."
REFUSED = {"code": "context_length_exceeded", "type": "invalid_request_error", "message": OVERFLOW}


def _refusing(api: str, *, stream: bool) -> bytes:
    """The refusal under a 200, as each API tells it."""
    if api == "messages":
        error: dict[str, Any] = {"type": "error", "error": {"type": "invalid_request_error", "message": OVERFLOW}}
    else:
        error = {"error": REFUSED}
    if not stream:
        return http(200, json.dumps(error).encode())
    if api == "responses":
        made = {"id": "resp_1", "object": "response", "status": "in_progress", "model": "m", "output": []}
        failed = {**made, "status": "failed", "error": {"code": REFUSED["code"], "message": OVERFLOW}}
        events = [{"type": "response.created", "response": made}, {"type": "response.failed", "response": failed}]
        text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    elif api == "messages":
        text = f"event: error\ndata: {json.dumps(error)}\n\n"
    else:
        text = f"data: {json.dumps(error)}\n\n"
    return http(200, text.encode(), b"content-type: text/event-stream\r\n")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("spoken", PATHS)
async def test_a_refusal_inside_of_a_200_is_the_callers_and_costs_nothing(
    tmp_path: Path, spoken: str, api: str, stream: bool
) -> None:
    protocol = "anthropic" if spoken == "messages" else "openai"
    async with CannedUpstream() as bad, CannedUpstream() as good, running(tmp_path) as box:
        await _configured(box, good=good, bad=bad, protocol=protocol, api=spoken)
        bad.answer = good.answer = _refusing(spoken, stream=stream)
        for number in range(8):  # more than a breaker would bear
            answer = await _ask(box, api, "alone", f"hi {number}", stream=stream)
            if api == spoken == "responses" and stream:
                # As its provider told it: Codex makes room in its conversation for that.
                assert answer.status == 200
                assert [event.split("\n")[0] for event in answer.events] == [
                    "event: response.created", "event: response.failed"
                ]  # fmt: skip
                assert (
                    json.loads(answer.events[1].partition("data: ")[2])["response"]["error"]["code"] == REFUSED["code"]
                )
            else:
                assert answer.status == 400, answer.body
                assert answer.json["error"]["message"] == OVERFLOW
        assert len(bad.asked) == 8
        assert good.asked == []
        rows = await box.settled(8)
        assert {(row["state"], row["cost_usd"], row["usage_source"]) for row in rows} == {("failed", "0", "none")}
        # A larger window is tried, and nothing is tried twice.
        await _ask(box, api, "both", stream=stream)
        assert (len(bad.asked), len(good.asked)) == (9, 1)
