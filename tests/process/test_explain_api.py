"""POST /api/explain and stickiness on a real installation with several processes."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

from installation import ADMIN, Served

from harness import parse_answer

CARD = "Pay with 4111 1111 1111 1111."
RULE = {"id": "cards", "when": {"data": ["pci"]}, "allow": {"kind": ["on-prem"]}, "source": "PCI DSS 3.5.1"}


def post(url: str, data: bytes, secret: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, data, {"authorization": f"Bearer {secret}"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


async def ask(served: Served, question: dict[str, Any] | bytes, secret: str = ADMIN) -> tuple[int, Any]:
    data = question if isinstance(question, bytes) else json.dumps(question).encode()
    return await asyncio.to_thread(post, f"{served.admin_url}/api/explain", data, secret)


async def test_it_answers_under_the_configuration_in_force_and_sends_nothing(served: Served) -> None:
    await served.start()
    request = {"model": "w-fallback", "messages": [{"role": "user", "content": CARD}]}
    status, told = await ask(served, {"request": request})
    assert status == 200
    assert [choice["deployment"] for choice in told["choices"]] == ["chat", "local"]
    served.config["rules"] = [RULE]
    served.write()
    async with asyncio.timeout(5):
        while [choice["deployment"] for choice in told["choices"]] != ["local"]:
            await asyncio.sleep(0.05)
            status, told = await ask(served, {"request": request, "api": "chat"})
    refused = {one["deployment"]: one["reasons"] for one in told["refused"]}
    assert {"rule": "cards", "source": "PCI DSS 3.5.1"} in refused["chat"]
    assert "4111" not in json.dumps(told)
    assert (await ask(served, {"request": request}, "not-the-secret"))[0] == 401
    assert (await ask(served, b"{"))[0] == 400
    assert (await ask(served, {"request": {"model": "nobody", "messages": []}}))[0] == 404
    assert not served.sim.log.entries


async def test_workers_share_what_a_conversation_carried(served: Served) -> None:
    served.config["rules"] = [RULE]
    await served.start(workers=3)

    async def place(text: str, session: str) -> str:
        body = json.dumps({"model": "w-fallback", "messages": [{"role": "user", "content": text}], "max_tokens": 4})
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {served.key}\r\n"
        head += f"x-signalbox-session: {session}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())
        answer = parse_answer(await asyncio.wait_for(reader.read(-1), 20))
        writer.close()
        assert answer.status == 200, answer.body
        return answer.headers["x-signalbox-placement"].partition("@")[0]

    async def conversation(number: int) -> None:
        assert await place("Hello.", f"s-{number}") == "chat"
        assert await place(CARD, f"s-{number}") == "local"
        for _ in range(4):
            assert await place("And now?", f"s-{number}") == "local"

    await asyncio.gather(*(conversation(number) for number in range(30)))
