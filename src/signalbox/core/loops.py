"""When the calls of a workload are taken for a loop, as compiled."""

from __future__ import annotations

import msgspec


class Loops(msgspec.Struct, frozen=True):
    """same_call_max, same_tool_call_max: so many are let through, 0 for any number. window_s: over which equal calls
    are counted, from the first of them."""

    same_call_max: int
    same_tool_call_max: int
    window_s: int
