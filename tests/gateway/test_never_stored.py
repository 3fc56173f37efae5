"""`store: never` on a deployment: whatever goes there tells the provider not to keep it, on every way there."""

from __future__ import annotations

import copy
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from harness import Box, running
from signalbox.bootstrap.compiling import compile_text
from signalbox.core.errors import ConfigError

HI = [{"role": "user", "content": "Write to jane.roe@example.org"}]
ASK: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HI, "max_tokens": 8},
    "/v1/responses": {"input": "hi", "max_output_tokens": 16},
    "/v1/messages": {"messages": HI, "max_tokens": 8},
}
SAID: list[dict[str, Any]] = [{}, {"store": None}, {"store": True}, {"store": False}]
NEVER = ("chat", "local", "responses")


async def never(box: Box, **workloads: Any) -> None:
    config = copy.deepcopy(box.config)
    for name in NEVER:
        config["deployments"][name]["store"] = "never"
    config["deployments"]["usual"] = {**config["deployments"]["chat"], "store": "as-asked"}
    config["workloads"] |= workloads
    config["rules"] = [{"id": "kept-nowhere", "when": {"data": ["legal"]}, "allow": {"not": {"region": ["asia"]}}}]
    assert not await box.configure(config)


def sent(box: Box) -> list[dict[str, Any]]:
    return [json.loads(entry.body) for entry in box.sim.log.entries if entry.endpoint]


async def test_every_body_says_it_first_and_on_the_fallback(tmp_path: Path) -> None:
    guards = ["pseudonymise"]
    async with running(tmp_path, {"health": {"enabled": False}}) as box:
        await never(
            box,
            two={"placements": ["chat", "local"]},
            stored={"placements": ["responses", "chat"]},
            guarded={"placements": ["chat", "local"], "guards": guards},
            hedged={"placements": ["chat", "local"], "hedge": {"after_ms": 1}},
        )
        for (path, body), said, stream, workload in product(
            ASK.items(), SAID, (False, True), ("two", "stored", "guarded", "hedged")
        ):
            said = {} if path == "/v1/messages" else said
            for fault in (False, True):
                box.sim.reset()
                if fault:
                    box.sim.fault("503", provider="azure" if workload == "stored" else "openai")
                where = (path, said, stream, workload, fault)
                answer = await box.request(path, {**body, **said, "model": workload, "stream": stream})
                assert answer.status == 200, (where, answer.body)
                assert sent(box), where
                assert all(one["store"] is False for one in sent(box)), (where, sent(box))
        assert box.chain_is_whole()


async def test_nothing_else_of_a_body_changes_and_others_change_nothing(tmp_path: Path) -> None:
    raw = b'{ "messages":[{"role":"user","content":"h\\u00e9"}], "model":"%b" ,"x-own":[1,2.50], "stream":false}'
    async with running(tmp_path) as box:
        await never(box, never={"placements": ["chat"]}, others={"placements": ["usual"]})
        assert (await box.request("/v1/chat/completions", raw % b"never")).status == 200
        assert (await box.request("/v1/chat/completions", raw % b"others")).status == 200
        first, second = [entry.body for entry in box.sim.log.entries]
        assert second == raw % b"sim-small"
        assert first == second.replace(b"{ ", b'{"store":false, ', 1)


async def test_rules_about_what_goes_further_count_on_it(tmp_path: Path) -> None:
    """A call that asks to be kept may go where it is not kept all the same, and only there."""
    async with running(tmp_path) as box:
        await never(
            box,
            legal={"data": ["legal"], "placements": ["usual", "chat"]},
            kept={"data": ["legal"], "placements": ["usual"]},
            answers={"data": ["legal"], "placements": ["responses"]},
        )
        chat = {**ASK["/v1/chat/completions"], "store": True}
        answer = await box.request("/v1/chat/completions", {**chat, "model": "legal"})
        assert answer.headers["x-signalbox-placement"].startswith("chat@")
        assert (await box.request("/v1/chat/completions", {**chat, "model": "kept"})).status == 400
        assert (await box.request("/v1/responses", {**ASK["/v1/responses"], "model": "answers"})).status == 200
        assert [one["store"] for one in sent(box)] == [False, False]


@pytest.mark.parametrize(
    "place", ["protocol: anthropic", 'protocol: openai, capabilities: {apis: [embeddings]}']
)  # fmt: skip
def test_where_nothing_is_ever_kept_it_is_a_mistake(place: str) -> None:
    text = f"""
environments: {{e: {{kind: cloud}}}}
deployments: {{d: {{environment: e, {place}, base_url: "https://a.test", model: m, store: never}}}}
"""
    with pytest.raises(ConfigError, match=r"deployments\.d\.store: none of its APIs can be told what to keep"):
        compile_text(text.encode(), "signalbox.yaml", 1)
