"""What is usual in the answers of one workload, learnt by each process for itself: which tools they call, how long they
are. Bounded, forgotten with the process; nothing is told apart before enough was seen."""

from __future__ import annotations

import math
from collections import OrderedDict

# Before so many tool calls, or answers, everything may be new.
CALLS_MIN, ANSWERS_MIN = 100, 200
TOOLS_MAX = 512
# So many standard deviations of the logarithm of its length above the mean, and at least so many characters.
LONG_DEVIATIONS, LONG_CHARS_MIN = 4.0, 2000
# No workload's answers are so much alike that a smaller deviation says anything.
_DEVIATION_MIN = 0.25
# What is older counts less: about so many answers are remembered.
_REMEMBERED = 1000


class Usual:
    __slots__ = ("_answers", "_calls", "_mean", "_tools", "_variance")

    def __init__(self) -> None:
        self._tools: OrderedDict[str, None] = OrderedDict()
        self._calls = 0
        self._answers = 0
        self._mean = 0.0
        self._variance = 0.0

    def is_new_tool(self, name: str) -> bool:
        """Whether a workload that has called tools often calls this one for the first time in long; it is known now."""
        new = name not in self._tools
        self._tools[name] = None
        self._tools.move_to_end(name)
        if len(self._tools) > TOOLS_MAX:
            self._tools.popitem(last=False)
        self._calls += 1
        return new and self._calls > CALLS_MIN

    def is_long(self, chars: int) -> bool:
        """Whether an answer is far longer than this workload's are; it counts among them now."""
        value = math.log1p(chars)
        deviation = max(_DEVIATION_MIN, math.sqrt(self._variance))
        long = (
            self._answers >= ANSWERS_MIN
            and chars >= LONG_CHARS_MIN
            and value > self._mean + LONG_DEVIATIONS * deviation
        )
        self._answers += 1
        share = 1 / min(self._answers, _REMEMBERED)
        before = value - self._mean
        self._mean += share * before
        self._variance = (1 - share) * (self._variance + share * before * before)
        return long
