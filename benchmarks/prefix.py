"""Prefix affinity on request traces: `python -m benchmarks.prefix DIR` with Mooncake traces as JSON lines, gzipped.

Each line of a trace has a `timestamp` in milliseconds, `output_length` in tokens and `hash_ids`, the 512-token blocks
of a prompt. Replicas are simulated as engines with a cache of so many blocks that forget the least recently used; the
choice of the replica is the gateway's own (`routing.group.Group.pick`), which knows nothing of those caches. An ideal
hit is a block that was in any request before: one engine with an endless cache.
"""

from __future__ import annotations

import argparse
import gzip
import heapq
import random
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from signalbox.core.snapshot import Health, Origin
from signalbox.routing.group import Credential, Group
from signalbox.routing.replica import Replica

REPLICAS = 8
ENGINE_BLOCKS = 6_000
# How long an engine takes: prompts at 8,000 tokens/s where they are not cached, answers at 40 tokens/s.
BLOCK_S = 512 / 8_000
TOKEN_S = 1 / 40

_MIX, _MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


class Asked(msgspec.Struct, frozen=True):
    timestamp: float
    hash_ids: list[int]
    output_length: int = 0


class Engine:
    """The real cache of one replica."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def serve(self, blocks: Sequence[int]) -> int:
        """Hits, up to the first block that is not there."""
        hits = 0
        while hits < len(blocks) and blocks[hits] in self._blocks:
            hits += 1
        for block in reversed(blocks):
            self._blocks.pop(block, None)
            self._blocks[block] = None
        while len(self._blocks) > ENGINE_BLOCKS:
            self._blocks.popitem(last=False)
        return hits


class Told(msgspec.Struct, frozen=True):
    """hits: share of all blocks. requests, computed, tokens: the most loaded replica over the average, by calls, by
    blocks that were computed, by blocks in all. pick_us: CPU time of a choice."""

    hits: float
    requests: float
    computed: float
    tokens: float
    pick_us: float


Choice = Callable[[Group, Sequence[int], int], Replica]


def near(group: Group, blocks: Sequence[int], now_ns: int) -> Replica:
    """What the gateway does: the conversation's key is the beginning of its first turns."""
    key = (blocks[min(1, len(blocks) - 1)] + 1) * _MIX & _MASK
    replica = group.pick(now_ns, key=key, blocks=blocks)
    assert replica is not None
    return replica


def keyed(group: Group, blocks: Sequence[int], now_ns: int) -> Replica:
    """What it did before: conversations by their key alone."""
    replica = group.pick(now_ns, key=(blocks[min(1, len(blocks) - 1)] + 1) * _MIX & _MASK)
    assert replica is not None
    return replica


def least(group: Group, blocks: Sequence[int], now_ns: int) -> Replica:
    replica = group.pick(now_ns)
    assert replica is not None
    return replica


def greedy(group: Group, blocks: Sequence[int], now_ns: int) -> Replica:
    """Most of the prefix, whatever else it has to do."""
    matched = [replica.held.matched(blocks, now_ns) for replica in group.replicas]
    at = matched.index(max(matched))
    group.replicas[at].held.take(blocks, matched[at], now_ns)
    return group.replicas[at]


_chance = random.Random(7)


def at_random(group: Group, blocks: Sequence[int], now_ns: int) -> Replica:
    return _chance.choice(group.replicas)


CHOICES: dict[str, Choice] = {
    "random": at_random,
    "least in flight": least,
    "conversation key": keyed,
    "greedy prefix": greedy,
    "prefix and load": near,
}


def read(path: Path) -> list[Asked]:
    with gzip.open(path) as lines:
        return [msgspec.json.decode(line, type=Asked) for line in lines if line.strip()]


def ideal(trace: Sequence[Asked]) -> float:
    seen: set[int] = set()
    hits = total = 0
    for asked in trace:
        for block in asked.hash_ids:
            if block not in seen:
                break
            hits += 1
        seen.update(asked.hash_ids)
        total += len(asked.hash_ids)
    return hits / total


def play(trace: Sequence[Asked], choose: Choice, processes: int) -> Told:
    """processes: gateway workers that share nothing; each request comes to one of them by chance."""
    origins = [Origin("http", f"10.0.0.{number}", 80, "") for number in range(REPLICAS)]
    groups = [
        Group([Replica(origin, Health()) for origin in origins], Credential(), random.Random(at).random)
        for at in range(processes)
    ]
    where = {replica: at for group in groups for at, replica in enumerate(group.replicas)}
    engines = [Engine() for _ in origins]
    requests, computed, tokens = ([0] * REPLICAS for _ in range(3))
    ends: list[tuple[float, int, Replica]] = []
    hits, spent_s, chance = 0, 0.0, random.Random(11)
    for number, asked in enumerate(trace):
        now_s = asked.timestamp / 1000
        while ends and ends[0][0] <= now_s:
            heapq.heappop(ends)[2].end()
        began_s = time.thread_time()
        replica = choose(groups[chance.randrange(processes)], asked.hash_ids, round(now_s * 1e9) + 1)
        spent_s += time.thread_time() - began_s
        at = where[replica]
        found = engines[at].serve(asked.hash_ids)
        replica.begin(1)
        took_s = (len(asked.hash_ids) - found) * BLOCK_S + asked.output_length * TOKEN_S
        heapq.heappush(ends, (now_s + took_s, number, replica))
        hits += found
        requests[at] += 1
        computed[at] += len(asked.hash_ids) - found
        tokens[at] += len(asked.hash_ids)
    return Told(hits / sum(tokens), _uneven(requests), _uneven(computed), _uneven(tokens), spent_s / len(trace) * 1e6)


def _uneven(loads: Sequence[int]) -> float:
    return max(loads) / (sum(loads) / len(loads))


def lines(path: Path) -> Iterator[str]:
    trace = read(path)
    best = ideal(trace)
    yield f"\n{path.name}: {len(trace)} requests, ideal {best:.1%}\n"
    yield "| choice | processes | hits | of ideal | max/mean requests | computed | tokens | CPU a choice |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, choose in CHOICES.items():
        for processes in (1, 4) if choose in (near, keyed) else (1,):
            told = play(trace, choose, processes)
            yield (
                f"| {name} | {processes} | {told.hits:.1%} | {told.hits / best:.1%} | {told.requests:.2f} |"
                f" {told.computed:.2f} | {told.tokens:.2f} | {told.pick_us:.0f} µs |"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="holds prefix_*.jsonl.gz")
    found = sorted(parser.parse_args().directory.glob("prefix_*.jsonl.gz"))
    if not found:
        print("There are no prefix_*.jsonl.gz there.", file=sys.stderr)
        return 2
    for path in found:
        for line in lines(path):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
