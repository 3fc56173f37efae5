"""Pseudonyms of one caller mean nothing to another one, even where both name the same conversation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness import running

TOKEN = re.compile(rb"EMAIL_[a-z0-9]+")
ADDRESS = "canary.person@example.com"
SESSION = {"x-signalbox-session": "the same name"}
TURNS = {
    "/v1/chat/completions": lambda text: {"messages": [{"role": "user", "content": text}]},
    "/v1/messages": lambda text: {"messages": [{"role": "user", "content": text}], "max_tokens": 60},
    "/v1/responses": lambda text: {"input": text},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", TURNS)
async def test_a_token_of_somebody_else_is_never_restored(tmp_path: Path, path: str, stream: bool) -> None:
    workload: dict[str, Any] = {"placements": ["chat"], "guards": ["pseudonymise"]}
    async with running(tmp_path, {"workloads": {"hidden": workload}}) as box:
        own = await box.new_key(tenant="one")
        colleague, stranger = await box.new_key(tenant="one"), await box.new_key(tenant="two")

        async def said(text: str, key: str) -> tuple[bytes, bytes]:
            """What left, and what the caller was told, of a question that is answered with its last words."""
            asked = {"model": "hidden", "stream": stream, **TURNS[path](text)}
            answer = await box.request(path, asked, key=key, headers=SESSION)
            assert answer.status == 200, answer.body
            return box.sim.log.entries[-1].body, answer.body

        left, told = await said(f"write to {ADDRESS} [[text:to {ADDRESS} it is]]", own)
        assert ADDRESS.encode() not in left
        assert ADDRESS.encode() in told.replace(b"\n", b"")
        token = TOKEN.findall(left)[0].decode()
        again, told = await said(f"[[text:sent to {token} now]]", own)
        assert token.encode() in again
        assert ADDRESS.encode() in told
        for other in (colleague, stranger):
            left, told = await said(f"[[text:sent to {token} now]]", other)
            assert ADDRESS.encode() not in left + told
            assert token.encode() in told
            left, _ = await said(f"write to {ADDRESS}", other)
            assert token.encode() not in left
            assert ADDRESS.encode() not in left
