"""Settings of loop protection, each with its unit, default and a sentence about it; part of config/schema.py."""

from typing import Annotated

from msgspec import Meta, Struct


class Loops(Struct, frozen=True, forbid_unknown_fields=True):
    """When calls are taken for a loop and refused (`repeated_call`). What a session may use in all is a budget
    `for: session`."""

    same_call_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Calls of one session (of one key, where no session is named) that end in the same two turns, "
            "ids, case and white space aside; 0: any number. Counted over all workers of a machine.",
        ),
    ] = 0
    same_tool_call_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="How often the last 64 tool calls of a conversation may be the same tool with the same "
            "arguments; 0: any number.",
        ),
    ] = 0
    window_s: Annotated[float, Meta(ge=1, le=86_400, description="Seconds over which equal calls are counted.")] = 600.0
