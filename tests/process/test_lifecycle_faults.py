"""What the machine does to a running gateway: no descriptors, no disk, and files that change under load."""

import asyncio
import contextlib
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Answer, running, simulated_config
from process.installation import Served

CHAT = "/v1/chat/completions"


def _body(text: str = "hi", workload: str = "w-chat") -> dict[str, object]:
    return {"model": workload, "messages": [{"role": "user", "content": text}], "max_tokens": 64}


async def test_it_takes_the_descriptors_that_the_system_allows(served: Served) -> None:
    """The usual soft limit of 1,024 is used up by 500 calls at once, long before the limit of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        await served.start(workers=2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    allowed = 32_768 if hard == resource.RLIM_INFINITY else min(hard, 32_768)
    children = Path(f"/proc/{served.pid}/task/{served.pid}/children").read_text().split()
    assert len(children) >= 2
    for pid in (served.pid, *map(int, children)):
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (allowed, hard)


async def test_out_of_descriptors_it_keeps_what_it_has_and_recovers(served: Served) -> None:
    await served.start()
    assert served.process is not None
    answer = await served.request("/v1/chat/completions", _body())
    assert answer.status == 200
    pid = served.process.pid
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) + 6, before[1]))
    idle = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(24)]
    await asyncio.sleep(0.5)
    assert served.stderr().count("new connections have to wait") == 1
    assert "Too many open files. Raise the limit" in served.stderr()
    # One that is connected already is answered.
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
    data = await asyncio.wait_for(reader.read(-1), 10)
    assert data.startswith(b"HTTP/1.1 200"), data
    for _, one in [(reader, writer), *idle]:
        one.transport.abort()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    for _ in range(100):
        with contextlib.suppress(OSError, TimeoutError, IndexError):
            answer = await served.request("/v1/chat/completions", _body())
            if answer.status == 200:
                return
        await asyncio.sleep(0.1)
    raise AssertionError("it never recovered")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount, directory = shutil.which("mount"), tmp_path / "small"
    directory.mkdir()
    command = [mount or "", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(directory)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a tmpfs here")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


async def test_a_full_disk_stops_calls_and_nothing_leaves_unrecorded(small_disk: Path) -> None:
    async with running(small_disk / "state") as box:
        assert (await box.request(CHAT, _body())).status == 200
        ballast = small_disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        sent = len(box.sim.log.entries)
        refused: Answer | None = None
        for number in range(400):
            answer = await box.request(CHAT, _body(f"{number}"))
            if answer.status == 503:
                refused = answer
                break
            sent += 1
        assert refused is not None
        assert refused.json["error"]["code"] == "server_overloaded"
        assert len(box.sim.log.entries) == sent, "nothing left for the call that could not be recorded"
        assert (await box.request("/readyz", key="")).status == 503
        ballast.unlink()
        for _ in range(100):
            if (await box.request(CHAT, _body("again"))).status == 200:
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("it never recovered")
        for _ in range(100):
            if (await box.request("/readyz", key="")).status == 200:
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("it never says that it is ready again")
        assert box.chain_is_whole()


async def test_configurations_good_and_bad_come_in_under_load(tmp_path: Path) -> None:
    """Every call keeps the snapshot it began with; a bad file changes nothing."""
    async with running(tmp_path / "state") as box:
        stop = False
        statuses: dict[int, int] = {}

        async def caller(number: int) -> None:
            while not stop:
                stream = {"stream": True} if number % 2 else {}
                answer = await box.request(CHAT, _body("[[tokens:20]][[delay_ms:2]]") | stream)
                assert not stream or b"[DONE]" in answer.body
                statuses[answer.status] = statuses.get(answer.status, 0) + 1

        callers = [asyncio.create_task(caller(number)) for number in range(6)]
        config = simulated_config(box.sim)
        versions = set()
        for turn in range(20):
            bad = await box.configure("environments: {a: {kind: nowhere}}")
            assert "nowhere" in bad
            config["server"] = {"heartbeat_after_s": 10 + turn}
            assert not await box.configure(config)
            assert box.worker.gateway is not None
            versions.add(box.worker.gateway.stages.snapshot.version)
            await asyncio.sleep(0.05)
        stop = True
        await asyncio.gather(*callers)
        assert set(statuses) == {200}
        assert len(versions) == 20
        # Each call stands under the version it began with: one of those that were good.
        rows = await box.settled(sum(statuses.values()))
        assert {row["config_version"] for row in rows} <= versions | {rows[0]["config_version"]}
        assert {row["state"] for row in rows} == {"settled"}


@pytest.mark.parametrize("jump_s", [-3600, 2 * 86_400])
async def test_a_clock_that_jumps_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: int) -> None:
    """Limits run on the monotonic clock; the wall clock is for records only, and ids do not come from it."""
    async with running(tmp_path / "state") as box:
        slow = _body("[[tokens:40]][[delay_ms:20]]") | {"stream": True}
        streams = [asyncio.create_task(box.request(CHAT, slow)) for _ in range(4)]
        await asyncio.sleep(0.2)
        real_ns, real_s = time.time_ns, time.time
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + jump_s * 1_000_000_000)
        monkeypatch.setattr("signalbox.gateway.app.time", lambda: real_s() + jump_s)
        answers = await asyncio.gather(*streams)
        answers += [await box.request(CHAT, _body()) for _ in range(4)]
        assert {answer.status for answer in answers} == {200}
        assert all(b"[DONE]" in answer.body for answer in answers[:4])
        assert len({answer.headers["x-request-id"] for answer in answers}) == 8
        rows = await box.settled(8)
        assert {row["state"] for row in rows} == {"settled"}
        assert box.chain_is_whole()
