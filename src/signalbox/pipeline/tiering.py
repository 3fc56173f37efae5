"""Strategy `tiered` on the request path: what a call's question and its conversation make of the router's ranking."""

from __future__ import annotations

from signalbox.core.call import Call
from signalbox.core.snapshot import Deployment
from signalbox.pipeline.affinity import conversation_key
from signalbox.pipeline.stages import Stages
from signalbox.routing.difficulty.question import goes_on


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
    )
    return judged.ranked, judged.note
