"""Strategy `tiered` on the request path: what a call's question and its conversation make of the router's ranking."""

from __future__ import annotations

from typing import Any

from signalbox.core.call import Call
from signalbox.core.snapshot import Deployment
from signalbox.pipeline.affinity import conversation_key
from signalbox.pipeline.stages import Stages
from signalbox.routing.difficulty.normalise import normalise
from signalbox.routing.difficulty.question import asked, goes_on


def tiers(call: Call, stages: Stages, ranked: list[Deployment]) -> tuple[list[Deployment], str]:
    """The ranking with the tier first that this call needs, and why."""
    talk = conversation_key(call) if call.sessions or goes_on(call.doc) else 0
    judged = stages.tiering.judge(
        call.workload,
        ranked,
        call.doc,
        tenant=call.principal.tenant,
        unreadable=call.envelope.opaque,
        talk=talk,
        vector=call.meaning,
    )
    return judged.ranked, judged.note


async def meaning(call: Call, stages: Stages) -> Any:
    """The vector of a call's question; None where there is none, or too many wait for theirs."""
    text = normalise(asked(call.doc).text)[0]
    return await stages.encoding.vector(text) if text else None
