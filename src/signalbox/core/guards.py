"""What guards of a workload are, compiled, and what they have to say about one call: verdicts, never a value."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

# What a guard did about what it found, mildest first. skipped: it failed, and is declared to fail open.
FLAG, SKIPPED, REPLACE, CUT, BLOCK = "flag", "skipped", "replace", "cut", "block"

# One call's verdicts are counted under at most so many names; what is beyond that is counted as `more`.
VERDICTS_MAX = 64
MORE = "more"


class GuardUse(msgspec.Struct, frozen=True, gc=False):
    """One guard as a workload declares it. options: its struct of config/schema_guards.py. fail_open: when the guard
    itself fails, the call goes on without it. timeout_s: what counts as failing; 0 for no limit."""

    name: str
    options: msgspec.Struct
    fail_open: bool = False
    timeout_s: float = 0.0


class Channel(msgspec.Struct, frozen=True, gc=False):
    """Where in an answer a text stands. kind: text, tool (a call's arguments, JSON), reasoning, refusal, call (the name
    of a tool that is called), echo (the caller's instructions, repeated by the protocol), or whole (any other string);
    the last three come all at once. choice, part: which one, as the dialect numbers them."""

    kind: str
    choice: int = 0
    part: int = 0


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """One finding of a guard. rule: what exactly was found, short and stable. where: `request` or a channel's kind.
    action: FLAG to BLOCK. count: how often."""

    guard: str
    rule: str
    action: str
    where: str = "request"
    count: int = 1

    @property
    def name(self) -> str:
        """As ledger and metrics know it."""
        return f"{self.guard}.{self.rule}:{self.action}@{self.where}"


class Guarded:
    """What guards keep of one call while it runs. counts: verdicts by name. memory: by guard, what it keeps to itself
    between request and answer. skipped: one that fails open has failed. heard: the answer that is being told was looked
    at while it was held, and what guards said of it is on record."""

    __slots__ = ("counts", "heard", "memory", "skipped")

    def __init__(self) -> None:
        self.heard = False
        self.counts: dict[str, int] = {}
        self.memory: dict[str, object] = {}
        self.skipped = False

    def quiet(self) -> Guarded:
        """For an answer that was heard: with what guards remember, and apart from the record."""
        other = Guarded()
        other.memory = self.memory
        return other

    def note(self, verdicts: Iterable[Verdict]) -> None:
        counts = self.counts
        for verdict in verdicts:
            name = verdict.name
            self.skipped = self.skipped or verdict.action == SKIPPED
            if name not in counts and len(counts) >= VERDICTS_MAX:
                name = MORE
            counts[name] = counts.get(name, 0) + verdict.count
