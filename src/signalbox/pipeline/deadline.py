"""Refusing at once what cannot be answered in the time its client allows: work for nobody helps nobody."""

from __future__ import annotations

from signalbox.core.call import Call
from signalbox.core.errors import DeadlineTooShort
from signalbox.core.snapshot import Deployment
from signalbox.pipeline.stages import Stages

# Clients that wait longer than this are not measured against anything: libraries say ten minutes by habit.
PATIENCE_NS_MAX = 60_000_000_000
# So many answers must have shown a deployment's pace, and of those only the fastest count against a caller.
SAMPLES_MIN = 20
FASTEST_SHARE = 0.05


def check(call: Call, stages: Stages) -> None:
    """Raises DeadlineTooShort when no choice of this call has answered anybody so quickly."""
    if call.patience_ns > PATIENCE_NS_MAX or call.decision is None or not call.decision.choices:
        return
    left_ns = call.patience_ns - (call.decided_ns - call.received_ns)
    soonest_ns = min(_soonest_ns(deployment, call.envelope.stream, stages) for deployment in call.decision.choices)
    if left_ns < soonest_ns:
        raise DeadlineTooShort(
            f"Nothing answers this within {max(0, left_ns) // 1_000_000} ms; "
            f"the fastest placement takes {soonest_ns // 1_000_000} ms."
        )


def _soonest_ns(deployment: Deployment, stream: bool, stages: Stages) -> int:
    """What its quickest answers take until their first token, or in all; 0 while that is not known."""
    replicas = stages.fleet.of(deployment).replicas
    paces = [replica.first_token if stream else replica.whole for replica in replicas]
    if any(pace.samples < SAMPLES_MIN for pace in paces):
        return 0
    return min((pace.quantile_ns(FASTEST_SHARE) * 4 // 5 for pace in paces), default=0)
