"""What classification costs: `python -m benchmarks.classify`. CPU microseconds, best of several runs.

The last part measures what other requests feel while a large body is read: in steps on the loop, and in a thread.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from signalbox.core.call import Call, Envelope, Principal
from signalbox.core.labels import NONE
from signalbox.core.snapshot import Classify, Workload
from signalbox.policy.classify import Classifier
from signalbox.policy.sticky import Conversations

WORDS = (  # noqa: SIM905
    "the quarterly plan of our team says that people should meet on the second floor and talk about the new release "
    "because customers asked for a faster search and better reports while the office moves to another building soon"
).split()
WORKLOAD = Workload("w", NONE, frozenset(), (), "fixed", 1, NONE, classify=Classify())
PRINCIPAL = Principal("key", "tenant", "team", None, frozenset())


def prose(chars: int, seed: int) -> str:
    rng = random.Random(seed)
    words: list[str] = []
    size = 0
    while size < chars:
        words.append(rng.choice(WORDS))
        size += len(words[-1]) + 1
    return " ".join(words)[:chars]


def call(messages: list[dict[str, Any]], sessions: tuple[str, ...] = ()) -> Call:
    doc = {"model": "w", "messages": messages}
    body = msgspec.json.encode(doc)
    return Call(
        id="c", api="chat", snapshot=None, principal=PRINCIPAL, body=body, doc=msgspec.json.decode(body),  # type: ignore[arg-type]
        envelope=Envelope(False), model="w", workload=WORKLOAD, pinned=None, data_header=NONE, headers=[], query=b"",
        received_ns=0, auth_ns=0, sessions=sessions,
    )  # fmt: skip


def turn(chars: int, seed: int) -> list[dict[str, Any]]:
    return [{"role": "system", "content": prose(120, 0)}, {"role": "user", "content": prose(chars - 120, seed)}]


def history(chars: int, turns: int, seed: int) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": prose(chars // turns, seed * 1000 + n)} for n in range(turns)]


def best_us(classifier: Callable[[], Classifier], calls: Callable[[int], list[Call]], runs: int = 5) -> float:
    """Per call, over calls that this classifier has not seen."""
    best = float("inf")
    for run in range(runs):
        fresh, todo = classifier(), calls(run)
        began = time.process_time_ns()
        for one in todo:
            _now(fresh.classify(one))
        best = min(best, (time.process_time_ns() - began) / len(todo))
    return best / 1000


def _now(coroutine: Any) -> Any:
    while True:
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        conversations = Conversations(Path(folder) / "conversations", b"k" * 32)

        def new() -> Classifier:
            made = Classifier(conversations, b"k" * 32, lambda: 1_000_000_000)
            made.profile(WORKLOAD.classify)
            return made

        def show(name: str, us: float, of_chars: int = 0) -> None:
            per_kb = f"  {us / (of_chars / 1024):7.1f} us/KB" if of_chars else ""
            print(f"{name:48} {us:10.1f} us{per_kb}")

        show("0.4 KB, never seen", best_us(new, lambda run: [call(turn(400, run * 500 + n)) for n in range(500)]), 400)
        same = [call(turn(400, 1))] * 2000
        show("0.4 KB, seen before", best_us(new, lambda _: same))
        named = [call(turn(400, 1), ("session-1",))] * 2000
        show("0.4 KB, seen before, with a session", best_us(new, lambda _: named))
        for size in (1024, 10 * 1024, 64 * 1024, 400_000):
            count = max(2, 100_000 // size)
            us = best_us(new, lambda run, s=size, c=count: [call(turn(s, run * 1000 + n)) for n in range(c)])
            show(f"{size / 1024:.0f} KB in one message, never seen", us, size)
        us = best_us(new, lambda run: [call(history(400_000, 200, run))])
        show("100K tokens in 200 messages, never seen", us, 400_000)

        best = float("inf")
        for run in range(5):
            warm, old = new(), history(400_000, 200, run)
            _now(warm.classify(call(old)))
            longer = call([*old, {"role": "user", "content": prose(400, 77)}])
            began = time.process_time_ns()
            _now(warm.classify(longer))
            best = min(best, (time.process_time_ns() - began) / 1000)
        show("100K tokens, only the last message is new", best)

        for name, large in (("in steps on the loop", False), ("in a thread", True)):
            waits = asyncio.run(_felt(new, large))
            print(f"others wait while 4 x 400 KB are read {name}: p50 {waits[len(waits) // 2]:.2f} ms,"
                  f" p99 {waits[int(len(waits) * 0.99)]:.2f} ms, max {waits[-1]:.2f} ms")  # fmt: skip


async def _felt(new: Callable[[], Classifier], threaded: bool) -> list[float]:
    """How late a callback comes that is due at once, again and again, while large bodies are read."""
    waits: list[float] = []
    done = False

    async def ticker() -> None:
        while not done:
            began = time.perf_counter()
            await asyncio.sleep(0.0005)
            waits.append((time.perf_counter() - began - 0.0005) * 1000)

    todo = [(call(history(400_000, 20, 50 + n)), new()) for n in range(4)]
    task = asyncio.get_running_loop().create_task(ticker())
    for one, fresh in todo:
        if threaded:
            await asyncio.to_thread(fresh.classify_now, one)
        else:
            await fresh.classify(one)
    done = True
    await task
    return sorted(waits)


if __name__ == "__main__":
    main()
