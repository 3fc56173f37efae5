"""How a call ends when no attempt answered it: what the caller is told."""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.core.call import AnswerHead, Call, Reply
from signalbox.core.errors import (
    BadGateway,
    BudgetExhausted,
    CallError,
    NoCapablePlacement,
    NoPermittedPlacement,
    PlacementUnavailable,
    UpstreamAnswer,
    UpstreamCredential,
    UpstreamFault,
    UpstreamRejected,
    UpstreamTimeout,
)
from signalbox.core.records import Refused
from signalbox.core.stream import Frame, Seen
from signalbox.pipeline.pursuit import Pursuit
from signalbox.pipeline.settlement import verdicts_of
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.verdict import CALLERS_OWN, Ours, of_our_configuration, refuses_content
from signalbox.routing.retry import retry_after_s
from signalbox.routing.router import needs
from signalbox.routing.translation import target_api
from signalbox.upstream.scrub import scrub

PASS_ON = CALLERS_OWN | {429, 529}
TIMEOUTS = frozenset({"headers_timeout", "first_token_timeout", "idle_timeout", "total_timeout", "silent", "hurried"})
RETRY_AFTER_UNREACHED_S_MAX = 5.0
NOT_REACHED = frozenset({"connect", "refused_address", "dns", "tls", "saturated", "asleep"})

REFUSED = "The provider refused the request."
REFUSES_US = "The provider refused this gateway's credential or quota. The operator must act."


def conclude(call: Call, pursuit: Pursuit, reply: Reply, stages: Stages) -> None:
    """Answer with the last upstream error when it is the caller's, else raise the CallError that fits."""
    fault = pursuit.fault
    if fault is None:
        raise _nothing_alive(call, pursuit, stages) if pursuit.nothing_alive else _nothing_chosen(call, stages)
    failed = pursuit.failed_at
    if isinstance(fault, NoPermittedPlacement | BudgetExhausted):
        put_on_record(call, fault, stages)
    if isinstance(fault, Ours):
        raise fault
    if isinstance(fault, UpstreamFault):
        raise _of_fault(fault, pursuit)
    if of_our_configuration(fault, call.doc):
        raise _misconfigured(f"({failed.name}: {fault.status})", fault.status)
    if fault.status == 503:
        raise PlacementUnavailable(
            "The provider is unavailable.", retry_after_s=_retry_after(fault, stages) or pursuit.retry_after_s()
        )
    body = scrub(fault.body, failed.auth[1]) if failed.auth is not None else fault.body
    # Told in another dialect, its words would go past the guards of the answer.
    message = _message(body) if not call.workload.guards else REFUSED
    if refuses_content(fault) and fault.status not in PASS_ON:
        raise UpstreamRejected(400, message)
    if fault.status not in PASS_ON:
        raise BadGateway(f"The provider answered with status {fault.status} ({failed.name}).")
    if target_api(call.api, failed) == call.api and not reply.started:
        if call.api == "responses" and fault.events and not call.workload.guards:
            # Codex makes room in its conversation when its stream says so, and not for any status.
            events = scrub(fault.events, failed.auth[1]) if failed.auth is not None else fault.events
            reply.start(AnswerHead(200, failed, "upstream_error", fault.headers), None)
            reply.send([Frame(events, None, Seen())])
            reply.end(None, complete=True)
            raise UpstreamRejected(fault.status, message)
        reply.error(AnswerHead(fault.status, failed, "upstream_error", fault.headers), body)
        return
    raise UpstreamRejected(fault.status, message, retry_after_s=_retry_after(fault, stages))


def _misconfigured(where: str, status: int) -> UpstreamCredential:
    if status == 404:
        return UpstreamCredential(
            f"The provider knows no such address or model {where}. The operator must look at `base_url` and `model`."
        )
    return UpstreamCredential(REFUSES_US.replace(".", f" {where}.", 1))


def _nothing_alive(call: Call, pursuit: Pursuit, stages: Stages) -> CallError:
    """Deployments are permitted and able, but all of them are out of use: on record, and nothing was sent."""
    error: CallError = PlacementUnavailable(
        "No permitted deployment is available at the moment.", retry_after_s=pursuit.retry_after_s()
    )
    if pursuit.credentials_only:
        error = UpstreamCredential(REFUSES_US)
    if call.api != "count_tokens":
        put_on_record(call, error, stages)
    return error


def _nothing_chosen(call: Call, stages: Stages) -> CallError:
    """No deployment was permitted and able: on record, then refused with the reason."""
    error: CallError
    if not (call.permitted if call.pinned is None else call.permitted >> call.pinned.index & 1):
        error = stages.interlock.refusal(call)
    else:
        error = NoCapablePlacement(
            f"No permitted deployment of workload {call.workload.name!r} can serve {call.api}"
            f"{' with tools' if needs(call).tools else ''}."
        )
        if call.api == "count_tokens":
            return error  # answered by an estimate: nothing was refused
    put_on_record(call, error, stages)
    return error


def put_on_record(call: Call, error: CallError, stages: Stages) -> None:
    """A call that is refused without an attempt."""
    rules = error.rules if isinstance(error, NoPermittedPlacement) else ()
    if call.trace is not None:
        call.trace.rules = rules
    stages.journal.append(
        Refused(
            call_id=call.id,
            time_ms=stages.time_ms(),
            tenant=call.principal.tenant,
            team=call.principal.team,
            key_id=call.principal.key_id,
            workload=call.workload.name,
            labels=call.labels.names(),
            reason=f"{error.code} {call.reason}" if call.errand else error.code,
            config=call.snapshot.version,
            found=call.found,
            rules=rules,
            guards=verdicts_of(call, stages),
        )
    )
    stages.metrics.add(("signalbox_refused_calls_total", call.workload.name, error.code))


def _of_fault(fault: UpstreamFault, pursuit: Pursuit) -> CallError:
    where = f"({pursuit.failed_at.name}: {fault.kind})"
    if fault.kind in TIMEOUTS:
        return UpstreamTimeout(f"The provider did not answer in time {where}.")
    if fault.kind in NOT_REACHED:
        # Nobody was kept waiting: whoever tries again soon loses little.
        wait_s = min(RETRY_AFTER_UNREACHED_S_MAX, pursuit.retry_after_s())
        return PlacementUnavailable(f"No permitted deployment could be reached {where}.", retry_after_s=wait_s)
    return BadGateway(f"The provider's answer broke off or was not valid {where}.")


def _message(body: bytes) -> str:
    try:
        doc: Any = msgspec.json.decode(body)
        message = doc["error"]["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return REFUSED
    return message[:2000] if isinstance(message, str) else REFUSED


def _retry_after(fault: UpstreamAnswer, stages: Stages) -> float | None:
    return retry_after_s(fault.headers, fault.body, stages.time_ms() / 1000)
