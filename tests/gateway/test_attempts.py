"""What is tried after a failure: how often, where, how soon, and what is left alone. Over sockets, with real faults."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from harness import Answer, Box, running, simulated_config

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8},
    "/v1/responses": {"input": "hi", "max_output_tokens": 16},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8},
    "/v1/completions": {"prompt": "hi", "max_tokens": 8},
}
# Quick to notice, quick to pause; everything else as it comes.
TIMEOUTS = {"connect_s": 1, "headers_s": 0.3, "first_token_s": 0.3, "idle_s": 0.3, "total_s": 10}
RETRIES = {"max_attempts": 3, "backoff_s": 0.01}
CONFIG: dict[str, Any] = {
    "workloads": {
        "two": {"placements": ["chat", "local"], "retries": dict(RETRIES)},
        "three": {"placements": ["chat", "responses", "local"], "retries": dict(RETRIES)},
        "one": {"placements": ["chat"], "retries": dict(RETRIES)},
        "once": {"placements": ["chat"], "retries": {"max_attempts": 1}},
        "wide": {"placements": ["narrow", "narrow-too", "wide-one"], "retries": dict(RETRIES)},
        "thrifty": {"placements": ["chat", "local"], "retries": {**RETRIES, "cost_usd": 0.0000001}},
        "hasty": {"placements": ["chat", "local"], "retries": {**RETRIES, "total_s": 0.05}},
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    async with running(tmp_path_factory.mktemp("attempts") / "state") as box:
        yield box


@pytest_asyncio.fixture(loop_scope="module")
async def box(installed: Box) -> Box:
    """Each test begins with nothing learnt: names that changed are deployments nobody knows."""
    installed.sim.reset()
    config = patient(installed)
    del config["deployments"], config["workloads"]
    assert not await installed.configure({**config, "deployments": {"fresh": other(installed)}, "workloads": {}})
    assert not await installed.configure(patient(installed))
    return installed


def patient(box: Box, **more: Any) -> dict[str, Any]:
    config = simulated_config(box.sim, **{**CONFIG, **more})
    for number, one in enumerate(config["deployments"].values()):
        one["timeouts"] = dict(TIMEOUTS)
        one["api_key"] = f"sk-{number}"
    local = config["deployments"]["local"]
    config["deployments"] |= {
        "narrow": {**local, "context_tokens": 8_000},
        "narrow-too": {**local, "context_tokens": 8_000},
        "wide-one": {**config["deployments"]["chat"], "context_tokens": 200_000},
    }
    return config


def other(box: Box) -> dict[str, Any]:
    return {**patient(box)["deployments"]["local"]}


async def ask(box: Box, path: str, workload: str, *, stream: bool = False, **more: Any) -> Answer:
    return await box.request(path, {**ASK[path], "model": workload, "stream": stream, **more})


def asked(box: Box) -> list[str]:
    """The providers asked, in order."""
    return [entry.provider for entry in box.sim.log.entries if entry.endpoint]


# A fault, whether the same deployment is tried once more, and whether another one is.
FAULTS = {
    "reset": (True, True),
    "close": (True, True),
    "500": (True, True),
    "502": (True, True),
    "503": (False, True),
    "529": (False, True),
    "504": (False, True),
    "429": (False, True),
    "429@1": (False, True),
    "quota": (False, True),
    "401": (False, True),
    "403": (False, True),
    "404": (False, True),
    "hang": (False, True),
    "html": (False, True),
    "error_body": (False, True),
    "redirect": (False, True),
    "400": (False, False),
    "413": (False, False),
    "422": (False, False),
    "policy": (False, False),
}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("path", ASK)
@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_tried_where_it_helps_and_nowhere_else(
    box: Box, fault: str, path: str, stream: bool
) -> None:
    again, elsewhere = FAULTS[fault]
    box.sim.fault(fault, provider="openai")
    answer = await ask(box, path, "two", stream=stream)
    assert asked(box) == ["openai"] * (2 if again else 1) + (["vllm"] if elsewhere else [])
    if elsewhere:
        assert answer.status == 200, answer.body
    else:
        assert answer.status == (400 if fault == "policy" else int(fault))
    rows = await box.settled(len(asked(box)))
    assert Counter(row["deployment"] for row in rows if row["call_id"] == answer.headers["x-request-id"]) == Counter(
        {"openai": "chat", "vllm": "local"}[name] for name in asked(box)
    )


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("fault", ["500", "502", "reset", "close"])
async def test_once_is_an_accident(box: Box, fault: str, stream: bool) -> None:
    box.sim.fault(f"{fault};once", provider="openai")
    answer = await ask(box, "/v1/chat/completions", "two", stream=stream)
    assert (answer.status, asked(box)) == (200, ["openai", "openai"])


async def test_a_short_wait_is_kept_where_nothing_else_is_left_and_a_long_one_is_told(box: Box) -> None:
    box.sim.fault("429@0.4;once", provider="openai")
    answer = await ask(box, "/v1/chat/completions", "one")
    first, second = [entry.at_s for entry in box.sim.log.entries]
    assert answer.status == 200
    assert second - first >= 0.4
    box.sim.reset()
    box.sim.fault("429@30", provider="openai")
    answer = await ask(box, "/v1/chat/completions", "one")
    assert (answer.status, asked(box)) == (429, ["openai"])
    assert answer.headers["retry-after"] == "30"


async def test_one_attempt_is_one(box: Box) -> None:
    box.sim.fault("500", provider="openai")
    assert (await ask(box, "/v1/chat/completions", "once")).status == 502
    assert asked(box) == ["openai"]


async def test_a_retry_in_place_never_takes_the_attempt_of_an_untried_deployment(box: Box) -> None:
    box.sim.fault("500", provider="openai")
    box.sim.fault("503", provider="azure")
    assert (await ask(box, "/v1/chat/completions", "three")).status == 200
    assert asked(box) == ["openai", "azure", "vllm"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_context_overflow_goes_to_a_larger_window_only(box: Box, path: str) -> None:
    box.sim.fault("context", provider="vllm")
    answer = await ask(box, path, "wide")
    assert answer.status == 200, answer.body
    assert asked(box) == ["vllm", "openai"], "the other narrow one is not asked"
    box.sim.reset()
    box.sim.fault("context")
    assert (await ask(box, path, "wide")).status == 400
    assert asked(box) == ["vllm", "openai"]


async def test_what_the_caller_did_takes_nothing_out_of_use(box: Box) -> None:
    box.sim.fault("400", provider="openai", body_contains="bad")
    for _ in range(12):
        bad = [{"role": "user", "content": "bad"}]
        assert (await ask(box, "/v1/chat/completions", "two", messages=bad)).status == 400
    box.sim.log.clear()
    assert (await ask(box, "/v1/chat/completions", "two")).status == 200
    assert asked(box) == ["openai"]


async def test_a_refused_credential_is_left_alone_wherever_it_is_used(box: Box) -> None:
    config = patient(box)
    chat = config["deployments"]["chat"]
    config["deployments"]["chat-too"] = {**chat}
    config["workloads"]["shared"] = {"placements": ["chat-too", "local"], "retries": dict(RETRIES)}
    assert not await box.configure(config)
    box.sim.fault("401", provider="openai")
    assert (await ask(box, "/v1/chat/completions", "two")).status == 200
    assert asked(box) == ["openai", "vllm"]
    for workload in ("two", "shared"):
        box.sim.log.clear()
        assert (await ask(box, "/v1/chat/completions", workload)).status == 200
        assert asked(box) == ["vllm"]
    box.sim.log.clear()
    answer = await ask(box, "/v1/chat/completions", "one")
    assert (answer.status, answer.headers["x-signalbox-reason"], asked(box)) == (503, "upstream_credential", [])
    chat["api_key"] = config["deployments"]["chat-too"]["api_key"] = "sk-renewed"
    assert not await box.configure(config)
    box.sim.faults.clear()
    assert (await ask(box, "/v1/chat/completions", "one")).status == 200


async def test_when_all_are_down_callers_are_told_at_once_and_it_is_on_record(box: Box) -> None:
    for provider in ("openai", "vllm"):
        box.sim.fault("503", provider=provider)
    for number in range(12):
        await ask(box, "/v1/chat/completions", "two", messages=[{"role": "user", "content": str(number)}])
    box.sim.log.clear()
    answer = await ask(box, "/v1/chat/completions", "two")
    assert (answer.status, answer.headers["x-signalbox-reason"]) == (503, "placement_unavailable")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert asked(box) == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_body_that_breaks_two_places_is_held_and_takes_neither_out_of_use(box: Box, path: str) -> None:
    box.sim.fault("poison@deadly")
    deadly = {"/v1/responses": {"input": "deadly"}}.get(path, {"messages": [{"role": "user", "content": "deadly"}]})
    answer = await ask(box, path, "three", **deadly)
    assert answer.status == 502
    assert set(asked(box)) == {"openai", "azure"}, "the third is not offered to it"
    for _ in range(10):
        box.sim.log.clear()
        answer = await ask(box, path, "three", **deadly)
        assert (answer.status, answer.headers["x-signalbox-reason"]) == (502, "quarantined_request")
        assert answer.headers["x-should-retry"] == "false"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert asked(box) == []
    assert (await ask(box, path, "three")).status == 200
    assert asked(box) == ["openai"], "others are served as ever"


async def test_money_bounds_what_is_tried(box: Box) -> None:
    box.sim.fault("cut_json", provider="openai")
    answer = await ask(box, "/v1/chat/completions", "thrifty")
    assert (answer.status, asked(box)) == (502, ["openai"])


async def test_time_bounds_what_is_tried(box: Box) -> None:
    box.sim.fault("hang", provider="openai")
    answer = await ask(box, "/v1/chat/completions", "hasty")
    assert (answer.status, asked(box)) == (504, ["openai"])


async def test_a_primary_that_is_down_is_asked_rarely_and_is_back_soon(box: Box) -> None:
    box.sim.fault("503", provider="openai")
    for number in range(40):
        assert (
            await ask(box, "/v1/chat/completions", "two", messages=[{"role": "user", "content": str(number)}])
        ).status == 200
    assert Counter(asked(box))["openai"] <= 6
    box.sim.reset()
    for _ in range(200):
        assert (await ask(box, "/v1/chat/completions", "two")).status == 200
        if asked(box)[-1] == "openai":
            break
        await asyncio.sleep(0.1)
    assert asked(box)[-1] == "openai"


async def test_in_a_storm_little_more_is_sent_than_was_asked(box: Box) -> None:
    """Everything overloaded, and clients that try three times each, as SDKs do."""
    box.sim.fault("529")
    calls = 0

    async def client(number: int) -> None:
        nonlocal calls
        for _ in range(3):
            calls += 1
            said = [{"role": "user", "content": str(number)}]
            assert (await ask(box, "/v1/chat/completions", "two", messages=said)).status in (503, 529)

    for start in range(0, 60, 4):
        await asyncio.gather(*(client(start + one) for one in range(4)))
    assert len(asked(box)) <= 1.2 * calls


async def test_everything_tried_stands_in_the_ledger_and_on_the_bill(tmp_path: Path) -> None:
    async with running(tmp_path / "state", CONFIG_SMALL) as box:
        for fault in ("500;once", "reset;once", "503;once", "cut_json;once"):
            box.sim.fault(fault, provider="openai")
            assert (await ask(box, "/v1/chat/completions", "two")).status == 200
        # A connection that had been closed while idle is replaced free of charge, within one attempt.
        attempts = {bill.client_request_id for bill in box.bill()}
        rows = await box.settled(len(attempts))
        assert {row["attempt_id"] for row in rows} == attempts
        assert len([row for row in rows if row["state"] == "settled"]) == 4
        assert box.chain_is_whole()


CONFIG_SMALL = {"workloads": {"two": CONFIG["workloads"]["two"]}}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_stored_answer_is_asked_for_where_it_lies(tmp_path: Path, stream: bool) -> None:
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        second = {**config["deployments"]["responses"], "base_url": box.sim.base_url("edge")}
        config["deployments"]["second"] = second
        config["workloads"]["stored"] = {"placements": ["responses", "second"]}
        config["rules"] = [{"id": "all", "allow": {"kind": ["private-cloud"]}, "onward": "allow"}]
        assert not await box.configure(config)
        box.sim.fault("503;once", provider="azure")
        first = await ask(box, "/v1/responses", "stored", stream=stream)
        assert asked(box) == ["azure", "edge"]
        found = first.body.partition(b'"id":"resp_')[2].partition(b'"')[0].decode()
        previous = f"resp_{found}"
        await asyncio.sleep(1.5)  # the first one rests for a moment after it failed
        box.sim.log.clear()
        other = await ask(box, "/v1/responses", "stored", input="something else")
        assert (other.status, asked(box)) == (200, ["azure"])
        box.sim.log.clear()
        await ask(box, "/v1/responses", "stored", input="and then?", previous_response_id=previous)
        assert asked(box)[0] == "edge"


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_stored_answer_is_asked_for_nowhere_but_in_the_account_that_keeps_it(
    tmp_path: Path, stream: bool
) -> None:
    """Another provider would not find it, or, worse, answer as if nothing had been said before."""
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        first = {**config["deployments"]["responses"], "api_key": "sk-first"}
        second = {**first, "base_url": box.sim.base_url("edge"), "api_key": "sk-second"}
        config["deployments"] |= {"responses": first, "second": second, "second-too": {**second, "model": "sim-large"}}
        config["workloads"]["stored"] = {"placements": ["responses", "second"], "strategy": "fixed"}
        config["workloads"]["wider"] = {"placements": ["responses", "second", "second-too"], "strategy": "fixed"}
        config["rules"] = [{"id": "all", "allow": {"kind": ["private-cloud"]}, "onward": "allow"}]
        assert not await box.configure(config)
        box.sim.fault("503;once", provider="azure")
        made = await ask(box, "/v1/responses", "stored", stream=stream)
        found = made.body.partition(b'"id":"resp_')[2].partition(b'"')[0].decode()
        previous = f"resp_{found}"
        box.sim.fault("500", provider="edge", model="sim-small")
        box.sim.log.clear()
        gone = await ask(box, "/v1/responses", "stored", stream=stream, input="and?", previous_response_id=previous)
        assert gone.status in (502, 503), gone.body
        assert set(asked(box)) == {"edge"}
        again = await ask(box, "/v1/responses", "wider", stream=stream, input="and?", previous_response_id=previous)
        assert again.status == 200
        assert again.headers["x-signalbox-placement"].startswith("second-too@")
        assert set(asked(box)) == {"edge"}


FILES = {
    "chat": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}],
    "responses": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}],
    "messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "file-1"}}]}],
}


@pytest.mark.parametrize("api", list(FILES))
async def test_a_file_is_asked_for_where_it_was_found(tmp_path: Path, api: str) -> None:
    """The first placement does not know it and says so; from then on the other one comes first, for this tenant."""
    path = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}[api]
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        first = config["deployments"][api]
        config["deployments"]["second"] = {**first, "base_url": box.sim.base_url("edge", first["protocol"])}
        config["workloads"]["filed"] = {"placements": [api, "second"]}
        config["conversations"] = {"share_provider_state": True}
        config["rules"] = [{"id": "all", "allow": {"kind": ["cloud", "private-cloud"]}, "onward": "allow"}]
        assert not await box.configure(config)
        owner = first["environment"].removesuffix("-env")
        box.sim.fault("404", provider=owner)
        content = {"input" if api == "responses" else "messages": FILES[api]}
        assert (await ask(box, path, "filed", **content)).status == 200
        assert asked(box) == [owner, "edge"]
        box.sim.log.clear()
        assert (await ask(box, path, "filed", **content)).status == 200
        assert asked(box) == ["edge"]
        box.sim.log.clear()
        other = await box.new_key(tenant="other", deployments=("*",))
        answer = await box.request(path, {**ASK[path], "model": "filed", **content}, key=other)
        assert (answer.status, asked(box)) == (200, [owner, "edge"])
