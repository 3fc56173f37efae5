"""One key, one answer, one bill: replayed, joined in flight, refused for another body; on every endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness import Answer, Box, running
from signalbox.core.call import Call
from signalbox.gateway import idempotency
from signalbox.gateway.idempotency import LIFETIME_S, Answers

SAID = [{"role": "user", "content": "hi"}]
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "w-chat", "messages": SAID}),
    "chat stream": ("/v1/chat/completions", {"model": "w-chat", "messages": SAID, "stream": True}),
    "responses": ("/v1/responses", {"model": "w-responses", "input": "hi"}),
    "messages": ("/v1/messages", {"model": "w-messages", "max_tokens": 9, "messages": SAID}),
    "messages stream": ("/v1/messages", {"model": "w-messages", "max_tokens": 9, "messages": SAID, "stream": True}),
    "translated stream": ("/v1/messages", {"model": "w-chat", "max_tokens": 9, "messages": SAID, "stream": True}),
    "embeddings": ("/v1/embeddings", {"model": "w-embed", "input": "hi"}),
    "completions": ("/v1/completions", {"model": "w-chat", "prompt": "hi"}),
}


async def ask(box: Box, call: str, idempotency_key: str, **more: Any) -> Answer:
    path, body = CALLS[call]
    key = more.pop("key", None)
    return await box.request(path, {**body, **more}, key=key, headers={"idempotency-key": idempotency_key})


@pytest.mark.parametrize("call", CALLS)
async def test_the_same_again_is_the_same_answer_and_one_bill(tmp_path: Path, call: str) -> None:
    async with running(tmp_path) as box:
        first, again = await ask(box, call, "k1"), await ask(box, call, "k1")
        assert (first.status, again.status) == (200, 200)
        assert again.body == first.body
        assert again.headers["x-request-id"] == first.headers["x-request-id"]
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["x-signalbox-reason"] == "idempotent replay"
        assert len(box.bill()) == 1
        other = await ask(box, call, "k2")
        assert other.headers["x-request-id"] != first.headers["x-request-id"]
        assert len(box.bill()) == 2
        assert len(await box.settled(2)) == 2


async def test_another_body_is_a_conflict_and_goes_nowhere(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await ask(box, "chat", "k")
        refused = await ask(box, "chat", "k", temperature=0.5)
        assert (refused.status, refused.json["error"]["code"]) == (409, "idempotency_conflict")
        assert refused.headers["x-should-retry"] == "false"
        assert len(box.bill()) == 1


async def test_keys_of_others_and_other_endpoints_never_meet(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        other = await box.new_key()
        answers = [
            await ask(box, "chat", "k"),
            await ask(box, "chat", "k", key=other),
            await ask(box, "embeddings", "k"),
        ]
        assert [answer.status for answer in answers] == [200] * 3
        assert len({answer.headers["x-request-id"] for answer in answers}) == 3
        assert len(box.bill()) == 3


async def test_calls_at_the_same_time_join(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        answers = await asyncio.gather(*(ask(box, "chat stream", "k") for _ in range(8)))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1
        assert len(box.bill()) == 1


ASKED = cast("Call", SimpleNamespace(principal=SimpleNamespace(key_id="key"), api="chat", body=b"asked"))


@contextlib.contextmanager
def _slow_disk() -> Iterator[None]:
    """Whatever this loop does in threads waits for one that is taken until the end of the block."""
    taken = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        threads.submit(taken.wait, 30)
        try:
            yield
        finally:
            taken.set()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))


async def test_an_answer_is_kept_for_a_client_that_closes_as_soon_as_it_has_it(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        path, asked = CALLS["chat"]
        body = json.dumps({**asked, "messages": [{"role": "user", "content": "hi [[ttft_ms:300]]"}]}).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {box.key}\r\nidempotency-key: k\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
        writer.write(head.encode() + body)
        while not list(box.state.idempotency.glob("*/*.lock")):
            await asyncio.sleep(0.01)
        with _slow_disk():
            told = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            length = re.search(rb"content-length: (\d+)", told)
            assert length is not None
            whole = await reader.readexactly(int(length[1]))
            writer.transport.abort()
            await asyncio.sleep(0.1)
        again = await box.request(path, body, headers={"idempotency-key": "k"})
        assert again.body == whole
        assert len(box.bill()) == 1


async def test_a_caller_that_leaves_while_its_answer_is_written_gives_it_to_the_next(tmp_path: Path) -> None:
    answers = Answers(tmp_path, lambda: 1000.0)
    turn = await answers.find(ASKED, "k")
    assert isinstance(turn, idempotency.Turn)
    with _slow_disk():
        keeping = asyncio.create_task(turn.keep("req_1", b"application/json", b"answer"))
        await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.wait([keeping])
    kept = await asyncio.wait_for(answers.find(ASKED, "k"), 10)
    assert isinstance(kept, idempotency.Kept)
    assert kept.body == b"answer"


async def test_a_caller_that_leaves_while_it_waits_for_its_turn_gives_it_back(tmp_path: Path) -> None:
    answers = Answers(tmp_path, lambda: 1000.0)
    with _slow_disk():
        looking = asyncio.create_task(answers.find(ASKED, "k"))
        await asyncio.sleep(0)
        looking.cancel()
        await asyncio.wait([looking])
    turn = await asyncio.wait_for(answers.find(ASKED, "k"), 10)
    assert isinstance(turn, idempotency.Turn)
    turn.end()


async def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        bad = await ask(box, "chat", "k", model="no-such-model")
        assert bad.status == 404
        assert (await ask(box, "chat", "k")).status == 200


@pytest.mark.parametrize("key", ["", " ", "x" * 257, "\x7f", "é", "a\r\nidempotency-key: b"])
async def test_what_is_no_key_is_refused(tmp_path: Path, key: str) -> None:
    async with running(tmp_path) as box:
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-type: application/json\r\n"
        )
        body = b'{"model":"w-chat","messages":[{"role":"user","content":"hi"}]}'
        head += b"authorization: Bearer %b\r\nidempotency-key: %b\r\n" % (box.key.encode(), key.encode("latin-1"))
        answer = await box.raw(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert answer.status == 400
        assert box.bill() == []


async def test_what_lies_on_the_disk_tells_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        answer = await ask(box, "chat", "a-secret-key", user="canary-user")
        said = answer.json["choices"][0]["message"]["content"]
        for path in box.state.idempotency.rglob("*"):
            if path.is_file():
                data = path.read_bytes() + path.name.encode()
                assert said.encode() not in data
                assert b"a-secret-key" not in data
                assert path.stat().st_mode & 0o077 == 0


async def test_after_a_day_it_is_a_new_call_and_the_old_one_is_swept(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await ask(box, "chat", "k")
        files = [path for path in box.state.idempotency.rglob("*") if path.is_file()]
        assert len(files) == 2
        for path in files:
            long_ago = path.stat().st_mtime - LIFETIME_S
            os.utime(path, (long_ago, long_ago))
        await ask(box, "chat", "k")
        assert len(box.bill()) == 2
        assert Answers(box.state.idempotency, lambda: 10**11).sweep() is None
        assert [path for path in box.state.idempotency.rglob("*") if path.is_file()] == []


def test_there_is_a_limit_to_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "BYTES_MAX", 1000)
    (tmp_path / "aa").mkdir()
    for number in range(20):
        path = tmp_path / "aa" / str(number)
        path.write_bytes(b"x" * 100)
        os.utime(path, (1000 + number, 1000 + number))
    Answers(tmp_path, lambda: 2000.0).sweep()
    assert sorted(int(path.name) for path in (tmp_path / "aa").iterdir()) == list(range(10, 20))
