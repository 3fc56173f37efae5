"""Calls with one beginning on one replica, through the whole gateway; and bodies whose beginnings nobody changes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness import Box, running


def replicas(box: Box) -> list[Any]:
    return dict(box.plane._fleets.groups())["pool"].replicas


async def test_turns_of_a_conversation_find_their_beginning(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        config = box.config
        local = {**config["deployments"]["local"]}
        base = str(local.pop("base_url"))
        # The same provider by two names of one host.
        other = base.replace("127.0.0.1", "localhost")
        config["deployments"]["pool"] = {**local, "replicas": [base, other]}
        config["workloads"]["w"] = {"placements": ["pool"]}
        error = await box.configure(config)
        assert not error, error
        homes: dict[int, Counter[str]] = {}
        for turn in range(3):
            for talk in range(12):
                messages = [{"role": "system", "content": f"You are helper {talk}. " * 100}]
                for number in range(turn + 1):
                    messages += [
                        {"role": "user", "content": f"[[text:ok]] talk {talk} question {number} " * 40},
                        {"role": "assistant", "content": f"talk {talk} answer {number} " * 40},
                    ]
                body = {"model": "w", "messages": messages[:-1], "temperature": turn / 10}
                before = [len(one.held.blocks) for one in replicas(box)]
                good = [one.good_calls for one in replicas(box)]
                assert (await box.request("/v1/chat/completions", body)).status == 200
                home = max(range(2), key=lambda at: replicas(box)[at].good_calls - good[at])
                homes.setdefault(talk, Counter())[str(home)] += 1
                assert sum(len(one.held.blocks) for one in replicas(box)) > sum(before)
        assert all(len(seen) == 1 for seen in homes.values())
        assert len({next(iter(seen)) for seen in homes.values()}) == 2


TURNS = [
    {"role": "user", "content": "Grüße \u2028 “quoted” 1e5 \\ud83d"},
    {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]},
    {"role": "user", "content": "And  two   blanks?"},
]


def raw_body(api: str, model: str, turns: list[Any], *, stream: bool) -> bytes:
    """As a client with habits of its own writes it: blanks, escapes, an order of keys."""
    prompt = json.dumps(turns, indent=1, ensure_ascii=len(turns) < 2)
    key = "input" if api == "responses" else "messages"
    tool: dict[str, Any] = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    if api == "chat":
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    elif api == "messages":
        tool = {"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}
    more = '"max_tokens" : 64, ' if api != "responses" else '"store":true, "prompt_cache_key" : "k1", '
    if api == "messages":
        system = '[ {"type":"text", "text":"Be\\u0020brief.", "cache_control": {"type":"ephemeral"}} ]'
        more += f'"system" : {system}, '
    head = f'{{ "tools" :{json.dumps([tool], indent=2)}, "model":"{model}", {more}"stream" : {json.dumps(stream)},'
    return f'{head}\n "{key}" : {prompt} }}'.encode()


def promptly(body: bytes) -> list[bytes]:
    """The raw bytes of what a model reads, in order: the values of these keys at the top of a body."""
    text, at, found = body.decode(), body.decode().index("{") + 1, []
    reader = json.JSONDecoder()
    while True:
        at += len(text[at:]) - len(text[at:].lstrip(" \n,"))
        if text[at] == "}":
            return found
        key, at = reader.raw_decode(text, at)
        at = text.index(":", at) + 1
        at += len(text[at:]) - len(text[at:].lstrip())
        _, end = reader.raw_decode(text, at)
        if key in ("tools", "system", "instructions", "messages", "input", "prompt", "prompt_cache_key"):
            found.append(f"{key}:{text[at:end]}".encode())
        at = end


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
async def test_no_edit_touches_what_providers_cache(tmp_path: Path, api: str, stream: bool) -> None:
    path = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}[api]
    async with running(tmp_path) as box:
        config = box.config
        usd = 0.5 if api == "messages" else 0.0008
        # Every licensed edit at once: model, include_usage, store, a lowered limit, a salt.
        config["environments"] = {
            name: {**place, "attests": ["zero-retention"]} for name, place in config["environments"].items()
        }
        config["deployments"][api]["capabilities"]["cache_salt"] = True
        config["workloads"]["w"] = {"placements": [api], "budget": {"usd_per_day": usd, "hard": True}}
        error = await box.configure(config)
        assert not error, error
        seen: list[list[bytes]] = []
        for turns in (TURNS[:1], TURNS):
            sent = raw_body(api, "w", turns, stream=stream)
            headers = {"content-type": "application/json"}
            answer = await box.request(path, sent, headers=headers)
            assert answer.status == 200, answer.body
            received = box.sim.log.entries[-1].body
            assert received != sent
            assert promptly(received) == promptly(sent)
            seen.append(promptly(received))
        assert seen[0][:-1] == seen[1][:-1]


async def test_each_tenant_has_a_salt_of_its_own(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        config = box.config
        config["deployments"]["chat"]["capabilities"]["cache_salt"] = True
        assert not await box.configure(config)
        other = await box.new_key(tenant="other")

        async def salt(path: str = "/v1/chat/completions", key: str | None = None, **more: Any) -> str:
            body = {"model": "w-chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9, **more}
            assert (await box.request(path, body, key=key)).status == 200
            return str(json.loads(box.sim.log.entries[-1].body)["cache_salt"])

        mine = await salt()
        assert mine == await salt()
        assert (
            len({mine, await salt(key=other), await salt(cache_salt="own"), await salt(key=other, cache_salt="own")})
            == 4
        )
        # A translated body has it too, and one for an engine that knows no salts has none.
        assert await salt("/v1/messages") == mine
        body = {"model": "w-local", "messages": [{"role": "user", "content": "hi"}]}
        assert (await box.request("/v1/chat/completions", body)).status == 200
        assert b"cache_salt" not in box.sim.log.entries[-1].body
        assert "default" not in mine


async def test_what_leaving_a_cached_beginning_costs_is_counted(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        config = box.config
        config["workloads"]["w"] = {"placements": ["chat", "local"], "sticky": True}
        assert not await box.configure(config)
        body = {"model": "w", "messages": [{"role": "user", "content": "word " * 3000}]}
        assert (await box.request("/v1/chat/completions", body)).status == 200
        box.sim.fault("503", provider="openai")
        assert (await box.request("/v1/chat/completions", body)).status == 200
        rows = dict(box.plane._metrics.by_name()["signalbox_prompt_cache_lost_usd_total"])
        assert len(rows) == 1
        assert next(iter(rows.values()))[0] > 0
