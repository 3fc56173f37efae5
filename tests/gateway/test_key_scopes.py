"""What a key is limited to: endpoints, models, networks and roles, over every way to send it and every endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import running
from signalbox.core.errors import Unauthenticated
from signalbox.gateway.access import GUESSES_MAX, Guesses

CHAT = {"model": "w-chat", "messages": [{"role": "user", "content": "hi"}]}
CALLS = {
    "chat": ("/v1/chat/completions", CHAT),
    "responses": ("/v1/responses", {"model": "w-responses", "input": "hi"}),
    "messages": ("/v1/messages", {"model": "w-messages", "max_tokens": 9, "messages": CHAT["messages"]}),
    "count_tokens": ("/v1/messages/count_tokens", {"model": "w-messages", "messages": CHAT["messages"]}),
    "embeddings": ("/v1/embeddings", {"model": "w-embed", "input": "hi"}),
    "completions": ("/v1/completions", {"model": "w-chat", "prompt": "hi"}),
}


async def test_a_key_for_one_endpoint_is_refused_at_every_other_however_it_is_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        for allowed in CALLS:
            key = await box.new_key(apis=(allowed,))
            for api, (path, body) in CALLS.items():
                for header in ("authorization", "x-api-key", "api-key"):
                    value = f"Bearer {key}" if header == "authorization" else key
                    answer = await box.request(path, body, key="", headers={header: value})
                    assert answer.status == (200 if api == allowed else 403), (allowed, api, answer.body)
            for spelling in ("//v1/embeddings", "/v1/embeddings/", "/v1/%65mbeddings", "/V1/embeddings", "/embeddings"):
                assert (await box.request(spelling, CALLS["embeddings"][1], key=key)).status == 404


async def test_networks_are_those_of_the_connection_and_no_header_changes_that(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        here = await box.new_key(networks=("10.0.0.0/8", "127.0.0.0/8"))
        elsewhere = await box.new_key(networks=("10.0.0.0/8",))
        assert (await box.request("/v1/chat/completions", CHAT, key=here)).status == 200
        for headers in ({}, {"x-forwarded-for": "10.1.1.1"}, {"forwarded": "for=10.1.1.1"}, {"x-real-ip": "10.1.1.1"}):
            for path, body in (("/v1/chat/completions", CHAT), ("/v1/models", None), ("/v1/models/w-chat", None)):
                assert (await box.request(path, body, key=elsewhere, headers=headers)).status == 403
        assert len(box.bill()) == 1


async def test_models_limit_where_a_call_may_end_and_not_only_what_it_names(tmp_path: Path) -> None:
    """Through a workload, an alias, a deployment's name and a fall-back: what answers is what was allowed."""
    async with running(tmp_path, {"aliases": {"cheap": "w-fallback"}}) as box:
        only_local = await box.new_key(models=("local",), deployments=("*",))
        for model in ("w-fallback", "cheap", "local"):
            answer = await box.request("/v1/chat/completions", {**CHAT, "model": model}, key=only_local)
            assert answer.status == 200, answer.body
            assert answer.headers["x-signalbox-placement"].startswith("local@")
        for model in ("w-chat", "chat"):
            assert (await box.request("/v1/chat/completions", {**CHAT, "model": model}, key=only_local)).status == 400
        assert {row["deployment"] for row in box.rows()} == {"local"}


@pytest.mark.parametrize("role", ["admin", "operator", "auditor", "developer"])
async def test_a_key_with_a_role_calls_no_model(tmp_path: Path, role: str) -> None:
    from signalbox.control.keys import usable

    async with running(tmp_path) as box:
        key = await box.new_key(role=role)
        box.keys = usable(box.keys)
        await box.new_key()
        for path, body in CALLS.values():
            assert (await box.request(path, body, key=key)).status == 401
        assert box.bill() == []


async def test_guessing_is_told_to_stop_and_good_keys_go_on(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        statuses = [(await box.request("/v1/models", key="sb-guess")).status for _ in range(GUESSES_MAX + 3)]
        assert statuses == [401] * GUESSES_MAX + [429] * 3
        assert (await box.request("/v1/models")).status == 200


def test_sources_are_counted_apart_and_an_ipv6_network_is_one() -> None:
    guesses, error = Guesses(), Unauthenticated("no")
    for number in range(GUESSES_MAX):
        assert guesses.judge(error, f"2001:db8::{number:x}", 1.0) is error
    assert guesses.judge(error, "2001:db8::ffff", 1.0).status == 429
    assert guesses.judge(error, "2001:db9::1", 1.0) is error
    assert guesses.judge(error, "10.0.0.1", 1.0) is error
    assert guesses.judge(error, "2001:db8::1", 62.0) is error


def test_sources_beyond_their_bound_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalbox.gateway.access.SOURCES_MAX", 50)
    guesses, error = Guesses(), Unauthenticated("no")
    before = None
    for number in range(1000):
        assert guesses.judge(error, f"10.0.{number // 250}.{number % 250}", 1.0) is error
        held = len(guesses._counts)  # pyright: ignore[reportPrivateUsage]
        assert held <= 50
        before = held
    assert before
