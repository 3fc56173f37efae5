"""A guard that asks a model: what it lets through, and that nothing leaves when it fails and is to fail closed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.harness import Box, running

from conversations import PATHS

# What may become of the question: no answer, a broken connection, an error, and answers that are none.
FAULTS = ["hang", "reset", "close", "html", "empty", "cut_json", "error_body", "503", "429", "stall@0/30s"]


def config(**more: Any) -> dict[str, Any]:
    guard: dict[str, Any] = {"name": "external", "deployment": "local", "found_when": "unsafe", "passes_when": "^safe"}
    guard |= {"timeout_ms": 5000, **more}
    made = {f"g-{name}": {"placements": [name], "guards": [guard], "retries": {"max_attempts": 1}} for name in PATHS}
    return {"workloads": made, "health": {"enabled": False}}


async def asked(box: Box, api: str, workload: str, text: str, *, stream: bool = False) -> Any:
    body: dict[str, Any] = {"model": workload, "stream": stream}
    if api == "responses":
        body |= {"input": text, "store": False}
    else:
        body["messages"] = [{"role": "user", "content": text}]
        body["max_tokens"] = 50
    return await box.request(PATHS[api], body)


def sent_to(box: Box) -> list[str]:
    return [entry.provider for entry in box.sim.log.entries if entry.endpoint]


async def test_the_model_that_is_asked_decides(tmp_path: Path) -> None:
    async with running(tmp_path, config()) as box:
        for api in PATHS:
            for workload in ("g-chat", "g-messages", "g-responses"):
                for stream in (False, True):
                    box.sim.log.clear()
                    answer = await asked(box, api, workload, "[[text:safe]]", stream=stream)
                    assert answer.status == 200, (api, workload, stream)
                    assert len(sent_to(box)) == 2
                    assert sent_to(box)[0] == "vllm"
                    box.sim.log.clear()
                    answer = await asked(box, api, workload, "[[text:unsafe]]", stream=stream)
                    assert answer.status == 400, (api, workload, stream)
                    assert sent_to(box) == ["vllm"], "only the guard's own model saw it"
        rows = await box.settled(54)
        assert sum(row["deployment"] == "local" for row in rows) == 36
        assert all(row["reason"].startswith("guard") for row in rows if row["deployment"] == "local")


CELLS = [(fail, api, stream) for fail in ("closed", "open") for api in PATHS for stream in (False, True)]


def both_ways(**more: Any) -> dict[str, Any]:
    """Workloads by how the guard fails."""
    made = config(**more)
    guard = made["workloads"]["g-chat"]["guards"][0]
    for fail in ("closed", "open"):
        guards = [{**guard, "fail": fail}]
        made["workloads"][fail] = {"placements": ["chat"], "guards": guards, "retries": {"max_attempts": 1}}
    return made


def refused(api: str, answer: Any) -> None:
    """In the words of the caller's dialect."""
    assert answer.status == 503, (api, answer.body)
    error = json.loads(answer.body)["error"]
    told = ("type", "overloaded_error") if api == "messages" else ("code", "guard_failed")
    assert error[told[0]] == told[1], api


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_guard_that_fails_closes_or_opens_as_declared(tmp_path: Path, fault: str) -> None:
    """On every endpoint, streamed and not: closed sends nothing and says so, open goes on and says so."""
    waits = fault in ("hang", "stall@0/30s")
    async with running(tmp_path, both_ways(timeout_ms=400 if waits else 5000)) as box:
        box.sim.fault(fault, provider="vllm")
        answers = await asyncio.gather(
            *[asked(box, api, fail, "[[text:safe]]", stream=stream) for fail, api, stream in CELLS]
        )
        for (fail, api, _), answer in zip(CELLS, answers, strict=True):
            if fail == "closed":
                refused(api, answer)
            else:
                assert answer.status == 200, (api, answer.body)
                assert b"safe" in answer.body
        assert sent_to(box).count("openai") == len(CELLS) // 2
        rows = [row for row in await box.settled(len(CELLS)) if row["deployment"] == "chat"]
        how = "timeout" if waits else "failed"
        assert [row["guards"] for row in rows] == [{f"external.{how}:skipped@request": 1}] * (len(CELLS) // 2)
        told = [row for row in box.refused() if row["reason"] == "guard_failed"]
        assert [row["guards"] for row in told] == [{f"external.{how}:flag@request": 1}] * (len(CELLS) // 2)


@pytest.mark.parametrize("text", ["[[text:I do not know]]", "[[text:safe]]" + "x" * 2000])
async def test_an_answer_that_is_neither_and_a_text_too_long_are_failures(tmp_path: Path, text: str) -> None:
    async with running(tmp_path, config(text_chars_max=1000)) as box:
        answer = await asked(box, "chat", "g-chat", text)
        assert answer.status == 503
        assert "openai" not in sent_to(box)


async def test_the_rules_hold_for_the_guard_as_well(tmp_path: Path) -> None:
    """The model that would be asked may not see the text: it is not asked, and the guard has failed, as declared."""
    more = both_ways()
    for fail in ("closed", "open"):
        more["workloads"][fail]["data"] = ["phi"]
    more["rules"] = [{"id": "only-here", "when": {"data": ["phi"]}, "allow": {"kind": ["cloud"]}, "source": "test"}]
    async with running(tmp_path, more) as box:
        for fail, api, stream in CELLS:
            box.sim.log.clear()
            answer = await asked(box, api, fail, "[[text:safe]]", stream=stream)
            if fail == "closed":
                refused(api, answer)
            else:
                assert answer.status == 200
            assert sent_to(box) == ([] if fail == "closed" else ["openai"])
        assert all("external.failed:skipped@request" in row["guards"] for row in await box.settled(len(CELLS) // 2))


async def test_a_deployment_that_is_not_there_is_refused_at_load(tmp_path: Path) -> None:
    async with running(tmp_path, config()) as box:
        wrong = {**box.config, "workloads": config(deployment="nowhere")["workloads"]}
        assert "nowhere" in await box.configure(wrong)
