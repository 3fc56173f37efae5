"""What the console costs in processor time: each page once, and the looks of a live tail.

    python -m benchmarks.console_tail

A whole control plane in this process, over a ledger of 400 attempts; pages read at most so many rows however long the
ledger is. Told is the time of the processor, the best tenth of many looks: a busy machine changes it little. There is
no worker in it, and the tail works: nothing of it is done where calls are answered.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "console")]

from test_pages import CONFIG, PAGES, _attempt  # noqa: E402

from console_desk import Browser, Desk  # noqa: E402

LOOKS = 200
# How often a page asks when each row is another one than at its last look; else every second.
BUSY_EVERY_S = 2.0
AT_RATES = (100, 500, 1000, 2000)


async def run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        desk = await Desk(Path(folder) / "state", CONFIG).loaded()
        for number in range(400):
            desk.ship(*_attempt(number))
        browser = await desk.browser()
        for path in (*PAGES, "/requests/req_0001"):
            print(f"{path:<24} {(await cpu_ms(browser, path, 20))[0]:7.2f} ms")
        html = (await browser.get("/requests")).text
        found = re.search(r'hx-get="([^"]+live=rows[^"]*)"', html)
        assert found
        tail = found[1].replace("&amp;", "&")
        quiet = await cpu_ms(browser, tail, LOOKS)
        busy = await cpu_ms(browser, tail.split("&seen=")[0], LOOKS)
        for name, (whole, loop) in (("nothing is new", quiet), ("every row is", busy)):
            print(f"a look of the live tail when {name}: {whole:.2f} ms, {loop:.2f} ms of it in the event loop")
        for rate in AT_RATES:
            spread = busy[0] * 1000 / BUSY_EVERY_S / rate
            print(f"one live tail, {rate:>5} requests/s: {spread:5.2f} us of the machine for each")
        desk.close()


async def cpu_ms(browser: Browser, path: str, times: int) -> tuple[float, float]:
    """Processor time for one answer in ms, of the whole process and of its event loop: the best tenth."""
    await browser.get(path)
    whole: list[float] = []
    loop: list[float] = []
    for _ in range(times):
        began, here = time.process_time_ns(), time.thread_time_ns()
        assert (await browser.get(path)).status in (200, 204)
        whole.append((time.process_time_ns() - began) / 1e6)
        loop.append((time.thread_time_ns() - here) / 1e6)
    return sorted(whole)[times // 10], sorted(loop)[times // 10]


if __name__ == "__main__":
    asyncio.run(run())
