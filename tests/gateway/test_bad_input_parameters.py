"""Parameters of wrong type, out of range, or naming what does not exist, on every endpoint and every translation."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_client import ENDPOINTS, told_error

from harness import Box

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = {
    "/v1/chat/completions": ["max_tokens", "max_completion_tokens"],
    "/v1/responses": ["max_output_tokens"],
    "/v1/messages": ["max_tokens"],
    "/v1/completions": ["max_tokens"],
}
PARAMETERS = {
    "/v1/chat/completions": """messages stream stream_options n max_tokens max_completion_tokens temperature top_p stop
        tools tool_choice response_format store metadata user seed logprobs top_logprobs logit_bias parallel_tool_calls
        reasoning_effort modalities audio prediction presence_penalty frequency_penalty service_tier web_search_options
        functions function_call verbosity prompt_cache_key safety_identifier models plugins""",
    "/v1/responses": """input instructions stream max_output_tokens temperature top_p tools tool_choice text reasoning
        store background previous_response_id conversation include metadata parallel_tool_calls truncation user prompt
        service_tier stream_options max_tool_calls top_logprobs safety_identifier""",
    "/v1/messages": """messages system max_tokens stream stop_sequences temperature top_p top_k tools tool_choice
        thinking metadata service_tier mcp_servers container context_management output_config output_format""",
    "/v1/messages/count_tokens": "messages system tools tool_choice thinking mcp_servers",
    "/v1/completions": """prompt stream stream_options n best_of max_tokens temperature top_p stop echo suffix logprobs
        logit_bias seed user presence_penalty""",
    "/v1/embeddings": "input dimensions encoding_format user",
}
WRONG = [None, True, 0, -1, 1.5, 2**31 + 1, 2**64, "", "x", [], [1], ["x"], [None], [[]], {}, {"a": 1}, {"type": "x"}]
CASES = [(path, name) for path, names in PARAMETERS.items() for name in names.split()]


def last(box: Box) -> int:
    entries = box.sim.log.entries
    return entries[-1].n if entries else 0


@pytest.mark.parametrize(("path", "name"), CASES)
async def test_any_type_in_any_parameter_is_an_answer_or_a_refusal(
    shared_box: Box, path: str, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Translated and not. A defect of ours would be a 500; a wrong type that leaks through would be a hang."""
    workloads = ["w-embed"] if "embed" in path else ["w-chat", "w-responses", "w-messages"]
    for number, value in enumerate(WRONG):
        workload = workloads[number % len(workloads)]
        answer = await shared_box.request(path, {**ENDPOINTS[path], "model": workload, name: value})
        assert answer.status in (200, 400, 404), (value, answer.status, answer.body[:300])
        if answer.status != 200 and "x-signalbox-placement" not in answer.headers:
            told_error(path, answer)
    told = capfd.readouterr()
    assert "Traceback" not in told.out + told.err


@pytest.mark.parametrize("path", LIMITS)
@pytest.mark.parametrize("value", [-1, -(2**31), 2**31 + 1, 2**63, 10**30, 1.5, 64.0, "64", True, [], {}, [64]])
async def test_token_limits_are_whole_and_in_range(shared_box: Box, path: str, value: object) -> None:
    before = last(shared_box)
    for name in LIMITS[path]:
        for stream in (False, True):
            answer = await shared_box.request(path, {**ENDPOINTS[path], name: value, "stream": stream})
            assert answer.status == 400, (name, answer.body)
            told_error(path, answer)
            assert name in answer.json["error"]["message"]
    assert last(shared_box) == before


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize("value", [0, -1, 129, 2**31, 1.5, "2", True, []])
async def test_the_number_of_choices_is_bounded(shared_box: Box, path: str, value: object) -> None:
    before = last(shared_box)
    answer = await shared_box.request(path, {**ENDPOINTS[path], "n": value})
    assert answer.status == 400, answer.body
    told_error(path, answer)
    assert last(shared_box) == before


async def test_many_choices_are_priced(shared_box: Box) -> None:
    body = {**ENDPOINTS["/v1/chat/completions"], "n": 16}
    answer = await shared_box.request("/v1/chat/completions", body)
    assert answer.status == 200, answer.body
    assert len(answer.json["choices"]) == 16
    row = next(row for row in shared_box.rows() if row["attempt_id"] == shared_box.bill()[-1].client_request_id)
    assert row["tokens_out"] == shared_box.bill()[-1].tokens_out >= 16


MODELS = {
    "unknown": "gpt-4o",
    "upper case": "W-CHAT",
    "space before": " w-chat",
    "space behind": "w-chat ",
    "tab": "w-chat\t",
    "newline": "w-chat\n",
    "header injection": "w-chat\r\nset-cookie: a=b",
    "NUL": "w-chat\0",
    "zero width": "w\u200b-chat",
    "Cyrillic": "w-\u0441hat",
    "fullwidth": "\uff57-chat",
    "ligature": "w-\ufb01chat",
    "non-breaking hyphen": "w\u2011chat",
    "soft hyphen": "w-\u00adchat",
    "right to left": "\u202ew-chat",
    "combining": "w-cha\u0301t",
    "wildcard": "w-*",
    "percent": "w%2Dchat",
    "path": "../w-chat",
    "provider and model": "openai/w-chat",
    "query": "w-chat?api_base=http://evil",
    "the upstream's name": "sim-small",
    "an environment": "openai-env",
    "markup": "<script>alert(1)</script>",
    "template": "{{model}}",
    "too long": "w" * 300,
    "very long": "w" * 100_000,
    "empty": "",
    "null": None,
    "number": 1,
    "true": True,
    "list": ["w-chat"],
    "object": {"name": "w-chat"},
}


@pytest.mark.parametrize("name", MODELS)
async def test_only_the_exact_name_names_a_model(shared_box: Box, name: str) -> None:
    before = last(shared_box)
    for path in ENDPOINTS:
        answer = await shared_box.request(path, {**ENDPOINTS[path], "model": MODELS[name]})
        assert answer.status in (400, 404), answer.body
        code = told_error(path, answer)
        assert code in ("model_not_found", "invalid_request", "not_found_error", "invalid_request_error")
        assert "set-cookie" not in answer.headers
        assert len(answer.body) < 1000
        missing = {key: value for key, value in ENDPOINTS[path].items() if key != "model"}
        assert (await shared_box.request(path, missing)).status == 400
    assert last(shared_box) == before


NAMES = {"chat", "local", "embed", "messages", "responses", "auto"}


@given(model=st.text(max_size=40).filter(lambda model: model not in NAMES))
@settings(max_examples=100, deadline=None)
async def test_no_text_but_a_name_reaches_a_model(shared_box: Box, model: str) -> None:
    before = last(shared_box)
    body = json.dumps({**ENDPOINTS["/v1/chat/completions"], "model": model}).encode()
    assert (await shared_box.request("/v1/chat/completions", body)).status in (400, 404)
    assert last(shared_box) == before


async def test_what_other_gateways_let_a_body_say_is_not_listened_to(shared_box: Box) -> None:
    """Where to send, whom to be, what to pretend: passed on as unknown fields at most, never obeyed."""
    steering = {
        "api_base": "http://127.0.0.1:9/",
        "base_url": "http://127.0.0.1:9/",
        "custom_llm_provider": "evil",
        "extra_headers": {"authorization": "Bearer x"},
        "extra_body": {"model": "w-local"},
        "user_config": {"model_list": []},
        "mock_response": "pwned",
        "metadata": {"tags": ["admin"], "workload": "w-local"},
        "fallbacks": [],
    }
    headers = {
        "x-portkey-custom-host": "http://127.0.0.1:9/",
        "x-portkey-provider": "evil",
        "helicone-target-url": "http://127.0.0.1:9/",
        "x-forwarded-host": "evil",
        "x-original-url": "/v1/models",
        "x-rewrite-url": "/v1/models",
        "x-http-method-override": "GET",
        "openai-organization": "org-evil",
        "forwarded": "host=evil",
    }
    body = {**ENDPOINTS["/v1/chat/completions"], **steering}
    answer = await shared_box.request("/v1/chat/completions", body, headers=headers)
    assert answer.status == 200, answer.body
    assert b"pwned" not in answer.body
    assert answer.headers["x-signalbox-placement"] == "chat@openai-env"
    entry = shared_box.sim.log.entries[-1]
    assert entry.path.startswith("/openai/v1/chat/completions")
    for name in headers:
        assert entry.header(name) is None, name
