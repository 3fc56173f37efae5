"""`signalbox kill` on a real installation: streams of every worker end, new calls are refused, others go on."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import Any

from installation import ADMIN, COMMAND, Served, body_of, until


def kill(served: Served, *words: str, secret: str = ADMIN, url: str = "") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, "kill", *words, "--url", url or served.admin_url],
        env={**os.environ, "SIGNALBOX_ADMIN_SECRET": secret},
        capture_output=True,
        check=False,
    )


async def test_the_kill_switch_reaches_every_worker(served: Served) -> None:
    await served.start(2)
    script = "[[tokens:4000]][[delay_ms:20]]"
    body: dict[str, Any] = body_of("chat", "w-chat", script, max_tokens=8000, stream=True)
    (made,) = served.cli("keys", "create", "--name", "spared")
    await asyncio.sleep(0.5)
    doomed = [await served.stream("/v1/chat/completions", body) for _ in range(8)]
    spared = await served.stream("/v1/chat/completions", body, key=made["key"])
    for stream in (*doomed, spared):
        await stream.until(b"data: ")
    first = served.key.split("-")[1]
    done = await asyncio.to_thread(kill, served, "key", first, "--for", "60")
    assert done.returncode == 0, done.stderr
    for said in await asyncio.gather(*(stream.rest(5) for stream in doomed)):
        assert b"stopped_by_operator" in said
    refused = await served.request("/v1/chat/completions", {**body, "stream": False})
    assert (refused.status, refused.json["error"]["code"]) == (400, "stopped_by_operator")
    # Said again, for no time at all: they are let in before the minute is over, on every worker.
    lifted = await asyncio.to_thread(kill, served, "key", first, "--for", "0")
    assert b"let in" in lifted.stdout, lifted.stderr
    short: dict[str, Any] = body_of("chat", "w-chat", "[[tokens:2]]")
    answers = await asyncio.gather(*(served.request("/v1/chat/completions", short) for _ in range(8)))
    assert {answer.status for answer in answers} == {200}
    unknown = await asyncio.to_thread(kill, served, "workload", "w-chatt", "--for", "1")
    assert (unknown.returncode, b"no workload 'w-chatt'" in unknown.stderr) == (0, True)
    before = len(spared.data)
    await spared.until(b"data: ", 5)
    assert len(spared.data) >= before
    spared.hang_up()
    actions = served.cli("ledger", "actions")
    assert [(one["action"], one["target"]) for one in actions if one["action"] == "calls.stop"] == [
        ("calls.stop", f"key:{first}"),
        ("calls.stop", f"key:{first}"),
        ("calls.stop", "workload:w-chatt"),
    ]


async def test_streams_of_a_revoked_key_end_where_the_configuration_says_so(served: Served) -> None:
    body: dict[str, Any] = body_of("chat", "w-chat", "[[tokens:4000]][[delay_ms:20]]", max_tokens=8000, stream=True)
    served.config["server"] = {"revoked_keys": "end"}
    await served.start(2)
    made = served.cli("keys", "create", "--name", "ends")[0]
    doomed = [await served.stream("/v1/chat/completions", body, key=made["key"]) for _ in range(4)]
    spared = await served.stream("/v1/chat/completions", body)
    for stream in (*doomed, spared):
        await stream.until(b"data: ")
    served.cli("keys", "revoke", made["id"])
    for said in await asyncio.gather(*(stream.rest() for stream in doomed)):
        assert b"stopped_by_operator" in said
        assert b"[DONE]" not in said
    assert (await served.request("/v1/chat/completions", body, key=made["key"])).status == 401
    # And where it does not, they go on.
    served.config["server"] = {"revoked_keys": "finish"}
    served.write()
    await until(lambda: "configuration in force" in served.stderr(), "the configuration is in force")
    made = served.cli("keys", "create", "--name", "finishes")[0]
    short: dict[str, Any] = body_of("chat", "w-chat", "[[tokens:40]][[delay_ms:50]]", stream=True)
    stream = await served.stream("/v1/chat/completions", short, key=made["key"])
    await stream.until(b'"content"')
    assert (await served.admin(f"/api/keys/{made['id']}/revoke", {})).status == 200
    assert b"[DONE]" in await stream.rest()
    spared.hang_up()


async def test_what_cannot_be_done_is_said(served: Served) -> None:
    await served.start()
    wrong = kill(served, "key", "x", secret="a wrong admin secret")
    assert (wrong.returncode, wrong.stderr.decode().splitlines()) == (
        1,
        ["SIGNALBOX_ADMIN_SECRET is neither its admin secret nor a key with a role."],
    )
    for seconds in ("-1", "nan"):
        assert "0 or more" in kill(served, "key", "x", "--for", seconds).stderr.decode()
    gone = kill(served, "all", url="http://127.0.0.1:9").stderr.decode()
    assert "Connection refused. Check --url" in gone
    assert kill(served, "all", "x").returncode == 2
    assert kill(served, "key").returncode == 2
    assert kill(served, "key", "x", secret="").returncode == 2
    assert kill(served, "key", "x", url="http://127.0.0.1:1").returncode == 2
    for url in ("ftp://x", "nonsense", "http://[", "http://127.0.0.1:99999"):
        assert kill(served, "key", "x", url=url).returncode == 2
