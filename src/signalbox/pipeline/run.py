"""THE request: one function that reads like the picture in the architecture page."""

from __future__ import annotations

import asyncio

from signalbox.core.call import Call, Reply
from signalbox.core.errors import UpstreamFault
from signalbox.pipeline import deadline, ending, rescue
from signalbox.pipeline.attempt import attempt
from signalbox.pipeline.hedge import hedged
from signalbox.pipeline.pursuit import Pursuit
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.verdict import FAILURES
from signalbox.policy.access import of_models
from signalbox.routing.router import needs


async def handle(call: Call, reply: Reply, stages: Stages) -> None:
    """Answer `call` through `reply`, or raise the CallError that the edge turns into an error body.

    By law first (1 to 3), then by quality and cost (5); every attempt (6) asks the interlock again for its own bytes,
    is in the journal before they leave, and settles (7) however it ends.
    """
    stages.limits.admit(call.workload.criticality)
    with stages.limits:  # 1 admit
        classified = await stages.classifier.classify(call)  # 2 data class
        call.labels, call.found = classified.labels, classified.found
        call.permitted = stages.interlock.permitted(call)  # 3 rules
        if call.principal.models is not None:
            call.permitted &= of_models(call.snapshot, call.principal.models)
        call.decision = stages.router.decide(call.workload, call.permitted, needs(call), call.pinned)  # 5 decide
        call.decided_ns = stages.now_ns()
        deadline.check(call, stages)
        reply = rescue.through(call, reply, stages)
        pursuit = Pursuit(call, reply, stages)
        try:
            while pursuit.advance():
                if pursuit.asleep and not await stages.wakes.up(pursuit.deployment, pursuit.group, pursuit.replica):
                    pursuit.failed(UpstreamFault("asleep", "it was asleep and did not wake in time", sent=False))
                    continue
                try:
                    if call.workload.hedge_ns:
                        await hedged(call, pursuit, reply, stages)
                    else:
                        await attempt(call, pursuit.deployment, pursuit.replica, reply, stages)  # 6 and 7
                    return pursuit.answered()
                except FAILURES as failure:
                    pursuit.failed(failure)
                if pursuit.pause_s:
                    await asyncio.sleep(pursuit.pause_s)
            return ending.conclude(call, pursuit, reply, stages)
        finally:
            pursuit.over()
