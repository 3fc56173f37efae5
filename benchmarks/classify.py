"""What classification and the rules' decision cost: `python -m benchmarks.classify [--rounds N]`. CPU microseconds.

Every row is timed once in each round, rounds are spread over time, and the best of each row counts: a shared machine
is up to twice as slow from one minute to the next. The last part measures what other requests feel while a large body
is read: in steps on the loop, and in a thread.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from signalbox.config.load import load_text
from signalbox.core.call import Call, Envelope, Principal
from signalbox.core.labels import NONE
from signalbox.core.usage import Rates
from signalbox.policy.classify import Classifier
from signalbox.policy.compiling import compile_snapshot
from signalbox.policy.interlock import Interlock
from signalbox.policy.sticky import Conversations

WORDS = (  # noqa: SIM905
    "the quarterly plan of our team says that people should meet on the second floor and talk about the new release "
    "because customers asked for a faster search and better reports while the office moves to another building soon"
).split()
RULES = """
environments:
  local: {kind: on-prem, region: eu/de}
  cloud: {kind: cloud, region: us}
deployments:
  a: {environment: local, protocol: openai, base_url: "http://127.0.0.1:1/v1", model: a}
  b: {environment: cloud, protocol: openai, base_url: "http://127.0.0.1:2/v1", model: b}
rules:
  - {id: personal-stays, when: {data: [personal]}, allow: {region: [eu]}}
  - {id: phi-stays, when: {data: [phi]}, allow: {kind: [on-prem]}}
workloads:
  w: {placements: [a, b]}
"""


def _unpriced(_provider: str, _model: str, _on: date) -> Rates | None:
    return None


SNAPSHOT = compile_snapshot(load_text(RULES, "signalbox.yaml", {}), 1, "2026-11-21", _unpriced)
WORKLOAD = SNAPSHOT.workloads["w"]
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


class Row:
    """One row. fresh: a classifier and the calls that it is to read in the round, made ready outside the time taken."""

    def __init__(self, name: str, chars: int, fresh: Callable[[int], tuple[Classifier, list[Call]]]) -> None:
        self.name, self.chars, self.fresh = name, chars, fresh
        self.decides = False
        self.us: list[float] = []

    def run(self, round_: int) -> None:
        classifier, calls = self.fresh(round_)
        interlock = Interlock(SNAPSHOT, classifier)
        began = time.thread_time_ns()
        for one in calls:
            read = classifier.at_once(one) or _now(classifier.classify(one))
            if self.decides:
                one.labels = read.labels
                one.permitted = interlock.permitted(one)
        self.us.append((time.thread_time_ns() - began) / len(calls) / 1000)

    def told(self) -> str:
        best = min(self.us)
        per_kb = f"{best / (self.chars / 1024):7.1f} us/KB" if self.chars else " " * 13
        return f"{self.name:52} {best:9.1f} us {per_kb}   median round {statistics.median(self.us):9.1f}"


def _now(coroutine: Any) -> Any:
    while True:
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value


def rows(new: Callable[[], Classifier]) -> list[Row]:
    def short(round_: int) -> list[Call]:
        return [call(turn(400, round_ * 500 + n)) for n in range(500)]

    def warm(calls: list[Call]) -> tuple[Classifier, list[Call]]:
        classifier = new()
        classifier.at_once(calls[0])
        return classifier, calls

    def longer(round_: int) -> tuple[Classifier, list[Call]]:
        classifier, old = new(), history(400_000, 200, round_)
        classifier.classify_now(call(old))
        return classifier, [call([*old, {"role": "user", "content": prose(400, 77)}])]

    def sized(size: int) -> Callable[[int], tuple[Classifier, list[Call]]]:
        count = max(2, 100_000 // size)
        return lambda round_: (new(), [call(turn(size, round_ * 1000 + n)) for n in range(count)])

    found = [
        Row("0.4 KB, never seen", 400, lambda round_: (new(), short(round_))),
        Row("0.4 KB, never seen, and the decision", 400, lambda round_: (new(), short(round_))),
        Row("0.4 KB, seen before", 0, lambda _: warm([call(turn(400, 1))] * 2000)),
        Row("0.4 KB, seen before, with a session", 0, lambda _: warm([call(turn(400, 1), ("session-1",))] * 2000)),
        *(Row(f"{size / 1024:.0f} KB in one message, never seen", size, sized(size)) for size in SIZES),
        Row("100K tokens in 200 messages, never seen", 400_000, lambda r: (new(), [call(history(400_000, 200, r))])),
        Row("100K tokens, only the last message is new", 0, longer),
    ]
    found[1].decides = True
    return found


SIZES = (1024, 10 * 1024, 64 * 1024, 400_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between rounds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        conversations = Conversations(Path(folder) / "conversations", b"k" * 32)

        def new() -> Classifier:
            made = Classifier(conversations, b"k" * 32, lambda: 1_000_000_000)
            made.profile(WORKLOAD.classify)
            return made

        table = rows(new)
        for round_ in range(options.rounds):
            for row in table:
                row.run(round_)
            time.sleep(options.pause)
        for row in table:
            print(row.told())
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
