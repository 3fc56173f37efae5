"""THE request: one function that reads like the picture in the architecture page."""

from __future__ import annotations

from signalbox.core.call import Call, Reply
from signalbox.core.errors import NoPermittedPlacement, Unsupported, UpstreamAnswer, UpstreamFault
from signalbox.core.snapshot import Deployment
from signalbox.pipeline import ending
from signalbox.pipeline.attempt import attempt
from signalbox.pipeline.stages import Stages
from signalbox.routing.router import needs


async def handle(call: Call, reply: Reply, stages: Stages) -> None:
    """Answer `call` through `reply`, or raise the CallError that the edge turns into an error body.

    By law first (1 to 3), then by quality and cost (5); every attempt (6) asks the interlock again for its own bytes,
    is in the journal before they leave, and settles (7) however it ends.
    """
    with stages.limits:  # 1 admit
        classified = await stages.classifier.classify(call)  # 2 data class
        call.labels, call.found = classified.labels, classified.found
        call.permitted = stages.interlock.permitted(call)  # 3 rules
        call.decision = stages.router.decide(call.workload, call.permitted, needs(call), call.pinned)  # 5 decide
        call.decided_ns = stages.now_ns()
        fault: ending.Failure | None = None
        failed: Deployment | None = None
        for deployment in call.decision.choices:
            try:
                return await attempt(call, deployment, reply, stages)  # 6 and 7
            except (UpstreamAnswer, UpstreamFault, Unsupported, NoPermittedPlacement) as error:
                if fault is None or not isinstance(error, Unsupported | NoPermittedPlacement):
                    fault, failed = error, deployment
                if reply.content_sent or not ending.may_fall_over(error):
                    break
        return ending.conclude(call, fault, failed, reply, stages)
