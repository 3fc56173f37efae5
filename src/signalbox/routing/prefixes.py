"""Which replica knows the beginning of a prompt: blocks of prompts that were sent to each, and what each had to do.

Engines keep what they computed of a prompt and compute only what follows. A call goes where most of its beginning is
known, unless that replica has clearly more to do than the others. Each process knows its own calls; one that nobody
here has seen is placed by a hash that all processes share, so that they agree without asking each other.
"""

from __future__ import annotations

from collections.abc import Sequence

# So much of a prompt is one block, about 256 tokens, and so many blocks of one prompt are looked at.
BLOCK_BYTES = 1024
BLOCKS_MAX = 1024
# Of each replica so many blocks are remembered, about four million tokens; to remember more than it does is harmless.
HELD_MAX = 16_384
# Longer than this a block is not believed to be in a cache that goes on being used.
HELD_NS = 1_800_000_000_000
# What a replica had to do counts half as much after this time.
WORK_HALF_NS = 120_000_000_000
# What a call costs besides its blocks (its answer), in blocks.
CALL_WORK = 16.0
# How much work, in blocks over all recent calls, has to be there before differences in it mean much.
WORK_FLOOR = 256.0
# A replica's share of work above the average counts so much against the share of the prompt that it knows.
LOAD_WEIGHT = 0.5
# Calls whose beginning nobody knows pass over a replica with so much more to do than the average.
COLD_MORE = 0.15


def blocks_of(prompt: bytes, seed: int) -> list[int]:
    """A number for each whole block of a prompt, which stands for everything up to its end. seed: what besides the
    prompt has to be equal."""
    found: list[int] = []
    chained = seed
    for at in range(0, min(len(prompt), BLOCKS_MAX * BLOCK_BYTES) - BLOCK_BYTES + 1, BLOCK_BYTES):
        chained = hash((chained, prompt[at : at + BLOCK_BYTES]))
        found.append(chained)
    return found


class Held:
    """What one replica is taken to hold, the least recently used forgotten first, and what it had to do of late."""

    __slots__ = ("_since_ns", "_work", "blocks")

    def __init__(self) -> None:
        self.blocks: dict[int, int] = {}
        self._work = 0.0
        self._since_ns = 0

    def matched(self, blocks: Sequence[int], now_ns: int) -> int:
        """How many of these, from the first on, it holds. Whoever holds one holds all before it, which were used as
        late or later; so the end is found by halving."""
        low, high = 0, len(blocks)
        oldest_ns, held = now_ns - HELD_NS, self.blocks
        while low < high:
            middle = (low + high) // 2
            if held.get(blocks[middle], oldest_ns) > oldest_ns:
                low = middle + 1
            else:
                high = middle
        return low

    def take(self, blocks: Sequence[int], matched: int, now_ns: int) -> None:
        """A call with these blocks goes there."""
        held = self.blocks
        for block in reversed(blocks):
            held.pop(block, None)
            held[block] = now_ns
        while len(held) > HELD_MAX:
            del held[next(iter(held))]
        self._work = self.work(now_ns) + len(blocks) - matched + CALL_WORK
        self._since_ns = now_ns

    def work(self, now_ns: int) -> float:
        """What it had to compute of late, in blocks."""
        return self._work * 0.5 ** ((now_ns - self._since_ns) / WORK_HALF_NS) if self._work else 0.0


def nearest(held: Sequence[Held], order: Sequence[int], blocks: Sequence[int], now_ns: int) -> int:
    """The position of the replica for a call with these blocks, which is then taken to hold them. order: positions in
    the order of the call's hash, for calls whose beginning is known nowhere or everywhere alike."""
    matched = [one.matched(blocks, now_ns) for one in held]
    work = [one.work(now_ns) for one in held]
    mean = sum(work) / len(work)
    if max(matched) == min(matched):
        most = (1.0 + COLD_MORE) * mean + WORK_FLOOR * COLD_MORE
        chosen = next((at for at in order if work[at] <= most), order[0])
    else:
        share, floor = 1.0 / len(blocks), mean + WORK_FLOOR
        chosen = max(order, key=lambda at: matched[at] * share - LOAD_WEIGHT * (work[at] - mean) / floor)
    held[chosen].take(blocks, matched[chosen], now_ns)
    return chosen
