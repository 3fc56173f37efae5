"""Bodies with large images, one after another: a worker keeps the memory of one for the next."""

from __future__ import annotations

import asyncio
import base64
import ctypes
import itertools
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from installation import PATHS, Served

PAGE_BYTES = 4096
IMAGE_BYTES = 3_750_000

glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="glibc's allocator"
)


def faults_of(pid: int) -> int:
    """Pages that a process was given by the kernel so far (proc(5), minflt)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def seen(api: str) -> dict[str, Any]:
    data = base64.b64encode(random.Random(1).randbytes(IMAGE_BYTES)).decode()
    if api == "messages":
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    else:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    content = [image, {"type": "text", "text": "What is this?"}]
    return {"model": "chat", "messages": [{"role": "user", "content": content}], "max_tokens": 8}


@glibc
@pytest.mark.parametrize("api", ["chat", "messages"])
async def test_the_next_large_body_takes_the_memory_of_the_one_before(served: Served, api: str) -> None:
    await served.start()
    body = seen(api)
    before: list[int] = []
    for _ in range(16):
        before.append(faults_of(served.pid))
        answer = await served.request(PATHS[api], body)
        assert answer.status == 200, answer.body[:400]
    each = [after - since for since, after in itertools.pairwise(before)]
    # A body alone is over 1,200 pages, and there are several copies of it.
    assert sorted(each)[len(each) // 2] < IMAGE_BYTES // PAGE_BYTES // 2, each


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


@glibc
async def test_a_worker_that_nobody_asks_anything_gives_the_memory_back(served: Served) -> None:
    await served.start()
    body = seen("messages")
    for _ in range(4):
        assert (await served.request(PATHS["messages"], body)).status == 200
    kept = resident_bytes(served.pid)
    async with asyncio.timeout(20):
        while resident_bytes(served.pid) > kept - 2 * IMAGE_BYTES:
            await asyncio.sleep(0.1)
