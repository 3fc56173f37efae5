"""How a call ends when no attempt answered it: which faults may try elsewhere, and what the caller is told."""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.core.call import AnswerHead, Call, Reply
from signalbox.core.errors import (
    BadGateway,
    CallError,
    NoCapablePlacement,
    NoPermittedPlacement,
    PlacementUnavailable,
    Unsupported,
    UpstreamAnswer,
    UpstreamCredential,
    UpstreamFault,
    UpstreamRejected,
    UpstreamTimeout,
)
from signalbox.core.records import Refused
from signalbox.core.snapshot import Deployment
from signalbox.pipeline.stages import Stages
from signalbox.routing.router import needs, target_api
from signalbox.upstream.scrub import scrub

# The caller's own doing: never tried elsewhere, told as the upstream told it.
CALLERS_OWN = frozenset({400, 413, 422})
PASS_ON = CALLERS_OWN | {429, 529}
RETRY_AFTER_MAX_S = 60.0
QUOTA_WORDS = (b"insufficient_quota", b"credit balance", b"billing_hard_limit", b"exceeded your current quota")
# Anthropic tells an empty account with the status of a bad request.
NO_CREDIT = b"credit balance is too low"
TIMEOUTS = frozenset({"headers_timeout", "first_token_timeout", "idle_timeout", "total_timeout"})
NOT_REACHED = frozenset({"connect", "refused_address", "dns", "tls", "saturated"})


# Why one deployment did not answer: it failed, its protocol cannot carry what the call asks for, or its translation
# was found to contain more than it may see.
Failure = UpstreamAnswer | UpstreamFault | Unsupported | NoPermittedPlacement


def may_fall_over(fault: Failure) -> bool:
    return not (isinstance(fault, UpstreamAnswer) and fault.status in CALLERS_OWN) or _credential(fault)


def conclude(call: Call, fault: Failure | None, failed: Deployment | None, reply: Reply, stages: Stages) -> None:
    """Answer with the last upstream error when it is the caller's, else raise the CallError that fits.

    failed: the deployment that the fault is of."""
    if fault is None or failed is None:
        raise _nothing_chosen(call, stages)
    if isinstance(fault, NoPermittedPlacement):
        _put_on_record(call, fault, stages)
    if isinstance(fault, Unsupported | NoPermittedPlacement):
        raise fault
    if isinstance(fault, UpstreamFault):
        raise _of_fault(fault)
    if _credential(fault):
        raise UpstreamCredential("The provider refused this gateway's credential or quota. The operator must act.")
    if fault.status == 503:
        raise PlacementUnavailable("The provider is unavailable.", retry_after_s=_retry_after(fault) or 2)
    if fault.status not in PASS_ON:
        raise BadGateway(f"The provider answered with status {fault.status}.")
    body = scrub(fault.body, failed.auth[1]) if failed.auth is not None else fault.body
    if target_api(call.api, failed) == call.api and not reply.started:
        reply.error(AnswerHead(fault.status, failed, "upstream_error", fault.headers), body)
        return
    raise UpstreamRejected(fault.status, _message(body), retry_after_s=_retry_after(fault))


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
    _put_on_record(call, error, stages)
    return error


def _put_on_record(call: Call, error: CallError, stages: Stages) -> None:
    stages.journal.append(
        Refused(
            call_id=call.id,
            time_ms=stages.time_ms(),
            tenant=call.principal.tenant,
            team=call.principal.team,
            key_id=call.principal.key_id,
            workload=call.workload.name,
            labels=call.labels.names(),
            reason=error.code,
            config=call.snapshot.version,
            found=call.found,
        )
    )


def _of_fault(fault: UpstreamFault) -> CallError:
    if fault.kind in TIMEOUTS:
        return UpstreamTimeout("The provider did not answer in time.")
    if fault.kind in NOT_REACHED:
        return PlacementUnavailable("No permitted deployment could be reached.", retry_after_s=2)
    return BadGateway("The provider's answer broke off or was not valid.")


def _credential(fault: UpstreamAnswer) -> bool:
    """401, 403, 404 and exhausted quota come from our configuration, not from the caller."""
    if fault.status in (401, 402, 403, 404):
        return True
    return (fault.status == 429 and any(words in fault.body for words in QUOTA_WORDS)) or (
        fault.status == 400 and NO_CREDIT in fault.body
    )


def _message(body: bytes) -> str:
    try:
        doc: Any = msgspec.json.decode(body)
        message = doc["error"]["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return "The provider refused the request."
    return message[:2000] if isinstance(message, str) else "The provider refused the request."


def _retry_after(fault: UpstreamAnswer) -> float | None:
    for name, value in fault.headers:
        if name == b"retry-after":
            try:
                return min(max(float(value), 0.0), RETRY_AFTER_MAX_S)
            except ValueError:
                return None
    return None
