"""What the console costs in processor time: each page once, and one look of the live tail a second.

    python -m benchmarks.console_tail

A whole control plane in this process, over a ledger of 400 attempts; pages read at most so many rows however long the
ledger is. Processor time is told, not wall time: a busy machine does not change it.
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


async def run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        desk = await Desk(Path(folder) / "state", CONFIG).loaded()
        for number in range(400):
            desk.ship(*_attempt(number))
        browser = await desk.browser()
        for path in (*PAGES, "/requests/req_0001"):
            print(f"{path:<24} {await cpu_ms(browser, path, 10):7.2f} ms")
        html = (await browser.get("/requests")).text
        found = re.search(r'hx-get="([^"]+live=rows[^"]*)"', html)
        assert found
        tail = found[1].replace("&amp;", "&")
        quiet, busy = await cpu_ms(browser, tail, LOOKS), await cpu_ms(browser, tail.split("&seen=")[0], LOOKS)
        print(f"a look of the live tail: {quiet:.2f} ms while nothing is new, {busy:.2f} ms when rows are")
        print(f"added to each request at 1,000 a second: {quiet:.1f} to {busy:.1f} us")
        desk.close()


async def cpu_ms(browser: Browser, path: str, times: int) -> float:
    """Mean processor time of the whole process for one answer, after a first one."""
    await browser.get(path)
    began = time.process_time()
    for _ in range(times):
        assert (await browser.get(path)).status in (200, 204)
    return (time.process_time() - began) * 1000 / times


if __name__ == "__main__":
    asyncio.run(run())
