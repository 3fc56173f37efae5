"""What a failed attempt means: who is to blame for it, and what may be done next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from signalbox.core.errors import (
    BudgetExhausted,
    DeploymentLimited,
    LeaseUnavailable,
    NoPermittedPlacement,
    Unsupported,
    UpstreamAnswer,
    UpstreamFault,
)
from signalbox.pipeline.provider_words import (
    CONTEXT_WORDS,
    NOT_KEPT_HERE,
    POLICY_WORDS,
    QUOTA_WORDS,
    blames_account,
    says,
)

# Why one deployment did not answer: it failed, its protocol cannot carry what the call asks for, its translation was
# found to contain more than it may see, there is no money for it, or it is at a limit of its own.
Ours = Unsupported | NoPermittedPlacement | BudgetExhausted | LeaseUnavailable | DeploymentLimited
Failure = UpstreamAnswer | UpstreamFault | Ours
FAILURES = (
    UpstreamAnswer,
    UpstreamFault,
    Unsupported,
    NoPermittedPlacement,
    BudgetExhausted,
    LeaseUnavailable,
    DeploymentLimited,
)

# What may be done next.
STOP = "stop"  # nothing: the caller is told
AGAIN = "again"  # the same deployment once more, then another
ELSEWHERE = "elsewhere"  # another deployment
LARGER = "larger"  # another deployment, with a larger context window

# Who is to blame.
NOBODY = ""  # the caller, or nobody
CRASH = "crash"  # the replica, or this body
OUTAGE = "outage"  # the replica
SILENT = "silent"  # the replica, which kept the caller waiting
OVERLOAD = "overload"  # the deployment, which asks for less
CREDENTIAL = "credential"  # our credential there, or its quota
MODEL = "model"  # what our configuration asks for there


class Verdict(msgspec.Struct, frozen=True, gc=False):
    then: str
    blame: str = NOBODY


# The caller's own doing: never tried elsewhere, told as the upstream told it.
CALLERS_OWN = frozenset({400, 413, 422})

_STOP = Verdict(STOP)
_ELSEWHERE = Verdict(ELSEWHERE)
_LARGER = Verdict(LARGER)
_CRASH = Verdict(AGAIN, CRASH)
_OUTAGE = Verdict(ELSEWHERE, OUTAGE)
_SILENT = Verdict(ELSEWHERE, SILENT)
_OVERLOAD = Verdict(ELSEWHERE, OVERLOAD)
_CREDENTIAL = Verdict(ELSEWHERE, CREDENTIAL)
_MODEL = Verdict(ELSEWHERE, MODEL)
_FAULTS = {
    "connect": _SILENT,
    "dns": _SILENT,
    "tls": _OUTAGE,
    "refused_address": _OUTAGE,
    "saturated": _ELSEWHERE,
    "asleep": _ELSEWHERE,
    "headers_timeout": _SILENT,
    "first_token_timeout": _SILENT,
    "idle_timeout": _SILENT,
    "silent": _SILENT,
    "hurried": _ELSEWHERE,  # no longer than what is usual for it, but its client has no more time
    "total_timeout": _ELSEWHERE,  # as long as the answer that was asked for
    "diverged": _ELSEWHERE,  # a second answer that is as good as the first, and another one
    "reset": _CRASH,
    "truncated": _CRASH,
    "protocol": Verdict(ELSEWHERE, CRASH),
    "upstream_error": Verdict(ELSEWHERE, CRASH),
}
# Faults after something was sent whose message holds nothing that a provider wrote.
_IN_WORDS_OF_OURS = frozenset({"reset", "truncated", "protocol"})
_OVERLOAD_IN_STREAM = ("overloaded", "rate_limit", "capacity")


def told(failure: Failure) -> str:
    """What operators may read of it: words and numbers of ours, never what a provider said."""
    if isinstance(failure, UpstreamAnswer):
        return f"status {failure.status}"
    if isinstance(failure, UpstreamFault):
        ours = not failure.sent or failure.kind in _IN_WORDS_OF_OURS
        return f"{failure.kind} ({failure.message})" if ours else failure.kind
    return failure.code


def judge(failure: Failure, asked: Mapping[str, Any]) -> Verdict:
    """The caller's own 4xx is nobody's fault here; only what the provider or our configuration did is blamed. asked:
    the call's body."""
    if isinstance(failure, UpstreamAnswer):
        return _of_answer(failure, asked)
    if isinstance(failure, UpstreamFault):
        if failure.kind == "upstream_error" and any(word in failure.message for word in _OVERLOAD_IN_STREAM):
            return _OVERLOAD
        return _FAULTS.get(failure.kind, _OUTAGE)
    return _ELSEWHERE


def _of_answer(answer: UpstreamAnswer, asked: Mapping[str, Any]) -> Verdict:
    status = answer.status
    if status < 400:
        return _OUTAGE  # a redirect, or no content: nothing that this API answers
    if status >= 500:
        if status in (500, 502):
            return _CRASH
        return _SILENT if status == 504 else _OVERLOAD if status in (503, 529) else _OUTAGE
    body = answer.body
    if refuses_content(answer):
        return _STOP
    if status in CALLERS_OWN:
        if status == 400 and blames_account(body, asked):
            return _CREDENTIAL
        if asked.get("previous_response_id") and says(body, NOT_KEPT_HERE):
            return _ELSEWHERE
        return _LARGER if says(body, CONTEXT_WORDS) else _STOP
    if status in (401, 402):
        return _CREDENTIAL
    if status in (403, 404):
        return _CREDENTIAL if status == 403 and says(body, QUOTA_WORDS) else _MODEL
    if status == 429:
        return _CREDENTIAL if says(body, QUOTA_WORDS) else _OVERLOAD
    return _SILENT if status == 408 else _ELSEWHERE


def refuses_content(answer: UpstreamAnswer) -> bool:
    """Whether the provider will not have what the caller wrote."""
    return answer.status in (400, 403, 422) and says(answer.body, POLICY_WORDS)


def of_our_configuration(answer: UpstreamAnswer, asked: Mapping[str, Any]) -> bool:
    """401, 403, 404 and exhausted quota come from our configuration, not from the caller."""
    return _of_answer(answer, asked).blame in (CREDENTIAL, MODEL)
