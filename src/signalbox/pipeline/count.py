"""Counting tokens: by the provider where rules and capabilities allow, else by an estimate that says it is one."""

from __future__ import annotations

import msgspec

from signalbox.core.call import Call, Reply
from signalbox.core.errors import CallError
from signalbox.pipeline.run import handle
from signalbox.pipeline.stages import Stages
from signalbox.wire.tokens import estimate

# Nobody could count: not what the caller did wrong, and not what the rules forbid.
ESTIMATED_INSTEAD = frozenset(
    (
        "no_capable_placement",
        "placement_unavailable",
        "bad_gateway",
        "quarantined_request",
        "upstream_timeout",
        "upstream_credential",
    )
)


async def count_tokens(call: Call, reply: Reply, stages: Stages) -> None:
    """Answer a count. A call the rules forbid everywhere is refused as any other; one that no permitted deployment
    can count, or whose provider fails to, is estimated here and never below the truth on ordinary content."""
    try:
        await handle(call, reply, stages)
    except CallError as error:
        if error.code in ESTIMATED_INSTEAD:
            reply.own(msgspec.json.encode({"input_tokens": estimate(call.doc)}), "estimated")
            return
        raise
