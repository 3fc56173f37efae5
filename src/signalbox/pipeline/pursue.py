"""The attempts of one decided call, one after another, until one has answered or nothing more may be tried."""

from __future__ import annotations

import asyncio

from signalbox.core.call import Call, Reply
from signalbox.core.errors import UpstreamFault
from signalbox.pipeline import ending
from signalbox.pipeline.attempt import attempt
from signalbox.pipeline.hedge import hedged
from signalbox.pipeline.pursuit import Pursuit
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.verdict import FAILURES


async def pursue(call: Call, reply: Reply, stages: Stages) -> None:
    """Answer a call whose labels, permitted set and decision are known, or raise the CallError that fits."""
    pursuit = Pursuit(call, reply, stages)
    try:
        while pursuit.advance():
            if pursuit.asleep and not await stages.wakes.up(
                pursuit.deployment, pursuit.group, pursuit.replica, pursuit.hold_s()
            ):
                pursuit.failed(UpstreamFault("asleep", "it was asleep and did not wake in time", sent=False))
                continue
            try:
                if call.workload.hedge_ns:
                    await hedged(call, pursuit, reply, stages)
                else:
                    await attempt(call, pursuit.deployment, pursuit.replica, reply, stages, pursuit.share())  # 6 and 7
                return pursuit.answered()
            except FAILURES as failure:
                pursuit.failed(failure)
            if pursuit.pause_s:
                await asyncio.sleep(pursuit.pause_s)
        return ending.conclude(call, pursuit, reply, stages)
    finally:
        pursuit.over()
