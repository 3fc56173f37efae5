"""The decision of one call: what it needs and, where the order depends on it, what is known at this moment."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b

from signalbox.core.call import Call, Decision
from signalbox.core.snapshot import Workload
from signalbox.pipeline.affinity import conversation_key
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.tiering import tiers
from signalbox.routing.router import BYTES_PER_TOKEN
from signalbox.routing.strategies import ANSWER_TOKENS, Situation

# An answer is taken to be a third of a long question, as in common traffic.
_ANSWER_SHARE = 3


def decide(call: Call, stages: Stages) -> Decision:
    """Filter, Score, Pick for a call whose permitted set is known."""
    router = stages.router
    situation = partial(_situation, call, stages) if call.workload.name in router.live else None
    return router.decide(call.workload, call.permitted, router.needs_of(call), call.pinned, situation)


def take(call: Call, decision: Decision) -> None:
    """What the next attempts of a call go by."""
    call.decision = decision


def follows(workload: Workload) -> bool:
    """Whether it counts for this workload where a conversation was before: its cached beginning makes that cheaper, or
    it is to stay there."""
    return workload.choosing.sticky or workload.strategy == "cheapest"


def _situation(call: Call, stages: Stages) -> Situation:
    workload, fleet = call.workload, stages.fleet
    stayed, cached, seed = "", 0, 0
    if follows(workload):
        call.trail = seed = conversation_key(call)
        trail = fleet.trails.find(seed, stages.now_ns())
        if trail is not None:
            stayed, cached = trail.deployment, trail.warm(stages.now_ns())
    if not workload.choosing.sticky:
        seed = int.from_bytes(blake2b(call.id.encode(), digest_size=8).digest(), "big")
    # To the next power of two, so that calls of about the same size share one answer.
    tokens_in = 1 << (len(call.body) // BYTES_PER_TOKEN).bit_length()
    tokens_out = max(ANSWER_TOKENS, tokens_in // _ANSWER_SHARE)
    return Situation(
        choosing=workload.choosing,
        cascade=workload.cascade,
        seed=seed,
        tokens_in=tokens_in,
        tokens_out=min(call.envelope.max_tokens or tokens_out, tokens_out),
        stayed=stayed,
        cached=cached,
        streams=call.envelope.stream,
        time_ms=stages.time_ms(),
        paces=fleet.paces,
        tiers=partial(tiers, call, stages) if workload.tiered is not None else None,
    )
