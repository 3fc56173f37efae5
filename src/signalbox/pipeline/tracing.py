"""An attempt that has ended, as its call's trace shows it."""

from __future__ import annotations

from signalbox.core.tracing import SeenAttempt, Trace
from signalbox.core.usage import Usage
from signalbox.pipeline.state import Attempt


def seen(
    this: Attempt,
    trace: Trace,
    state: str,
    error: str,
    usage: Usage,
    source: str,
    status: int,
    now_ns: int,
    verdicts: dict[str, int],
) -> SeenAttempt:
    """The attempt as its call's trace shows it."""
    call, deployment, permit = this.call, this.deployment, this.permit
    environment = deployment.environment
    received_ns = trace.received_ns
    return SeenAttempt(
        attempt_id=this.id,
        span_id=trace.child(this.id),
        deployment=deployment.name,
        environment=environment.name,
        operator=environment.operator,
        protocol=deployment.protocol,
        model=deployment.model,
        host=deployment.replicas[0].host,
        api=this.api,
        stream=call.envelope.stream,
        labels=permit.labels.names() if permit is not None else (),
        reason=permit.reason if permit is not None else "",
        state=state,
        error=error,
        status=status,
        usage=usage,
        source=source,
        cost_pico=this.cost_pico,
        started_ns=this.started_ns - received_ns,
        first_ns=this.ttft_ns - received_ns if this.ttft_ns else 0,
        ended_ns=now_ns - received_ns,
        verdicts=verdicts,
    )
