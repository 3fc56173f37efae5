"""What the reader of a body collects on its way: where it leads further, and what only its provider can read."""

from __future__ import annotations


class BodyScan:
    """What was found so far. Dicts are used as ordered sets: each name is told once, in order of appearance."""

    __slots__ = ("media", "onward", "opaque", "stateful", "unknown_tools")

    def __init__(self) -> None:
        self.onward: dict[str, None] = {}
        self.unknown_tools: dict[str, None] = {}
        self.stateful: dict[str, None] = {}
        # Parts that no detector can read; and whether callers bring some of them, or only what a provider encrypted.
        self.opaque = self.media = False
