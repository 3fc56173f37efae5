"""THE request: one function that reads like the picture in the architecture page."""

from __future__ import annotations

from collections.abc import Awaitable

from signalbox.core.call import Call, Reply
from signalbox.pipeline import (
    caching,
    capturing,
    cascading,
    deadline,
    deciding,
    guarding,
    repairing,
    rescue,
    shadowing,
    tiering,
)
from signalbox.pipeline.pursue import pursue
from signalbox.pipeline.stages import Stages
from signalbox.policy.access import of_models


async def handle(call: Call, reply: Reply, stages: Stages) -> None:
    """Answer `call` through `reply`, or raise the CallError that the edge turns into an error body.

    By law first (1 to 3), then by quality and cost (5); every attempt (6) asks the interlock again for its own bytes,
    is in the journal before they leave, and settles (7) however it ends.
    """
    stages.limits.admit(max(call.workload.criticality, call.principal.criticality))
    with stages.limits:  # 1 admit
        if call.workload.loops is not None:
            stages.repeats.check(call, call.workload.loops)
        classified = stages.classifier.at_once(call) or await stages.classifier.classify(call)  # 2 data class
        call.labels, call.found = classified.labels, classified.found
        if call.envelope.stateful:
            stages.owners.check(call)
        call.permitted = stages.interlock.permitted(call)  # 3 rules
        if call.principal.models is not None:
            call.permitted &= of_models(call.snapshot, call.principal.models)
        tiered = call.workload.tiered
        if tiered is not None and tiered.compares:
            call.meaning = await tiering.meaning(call, stages)
        deciding.take(call, deciding.decide(call, stages))  # 5 decide
        call.decided_ns = stages.now_ns()
        deadline.check(call, stages)
        if call.workload.capture_bytes:
            reply = capturing.through(call, reply, stages)
        asking = ask if call.workload.shadow is None else twice
        if call.workload.cache is None:
            await asking(call, reply, stages)
        else:
            await caching.answer(call, reply, stages, asking)  # 4 cache


async def twice(call: Call, reply: Reply, stages: Stages) -> None:
    """Some calls, drawn by lot, are asked of another model too."""
    await shadowing.beside(call, reply, stages, ask)


def ask(call: Call, reply: Reply, stages: Stages) -> Awaitable[None]:
    """What comes between a client and the attempts, from the client inwards, where a workload asks for it."""
    reply = guarding.through(call, reply, stages)
    reply = rescue.through(call, reply, stages)
    onward = pursue if call.workload.cascade is None else cascading.pursue
    if call.workload.guards:
        return repairing.through(call, reply, stages, onward)
    return onward(call, reply, stages)  # 6 and 7
