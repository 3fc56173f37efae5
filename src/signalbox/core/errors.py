"""The whole error tree on one page: status, code, whether a client should retry, and a message safe to show.

SignalboxError
 ├─ ConfigError                    the operator's file is wrong (file, line, fix)
 ├─ CallError                      a call ends with an error body in the caller's dialect
 │   ├─ BadRequest            400  the caller's body, headers or parameters
 │   │   ├─ Unsupported       400  a contract parameter that no permitted target can honour
 │   │   │   └─ NoThreads     400  conversation state kept by the provider, where the target keeps none
 │   │   ├─ NoPermittedPlacement 400  the rules forbid every deployment
 │   │   ├─ NoCapablePlacement 400  deployments are permitted, none of them can do what the call needs
 │   │   ├─ BodyTooLarge      413  the body is larger than the gateway or the provider takes
 │   │   ├─ Stopped           400  an operator stopped these calls
 │   │   ├─ Looping           400  the same call again and again
 │   │   ├─ GuardBlocked      400  a guard ended the call because of what it holds
 │   │   └─ HeadersTooLarge   431  too many header lines, or too many bytes in them
 │   ├─ Unauthenticated       401  no virtual key, a wrong, revoked or expired one, or two different ones
 │   ├─ TooManyGuesses        429  too many wrong keys from one address in a short time
 │   ├─ Forbidden             403  the key is good but not for this
 │   ├─ NotFound              404  no such endpoint, model or workload, or none this key may use
 │   ├─ Conflict              409  an idempotency key that came with another body before
 │   ├─ MethodNotAllowed      405  the endpoint exists, for another method
 │   ├─ BudgetExhausted       429  a hard budget is used up (402 to clients of the Messages API)
 │   │   └─ Unpriced          400  the model has no price, and a budget in dollars is in force
 │   ├─ RateLimited           429  too many calls or tokens in a short window, or too many calls at once
 │   │   └─ DeploymentLimited 429  the same of one deployment: another one may do
 │   ├─ RequestTimeout        408  a client too slow to send its request
 │   ├─ GuardFailed           503  a guard could not do its work, and is declared to fail closed
 │   ├─ Overloaded            503  this gateway sheds load or is draining
 │   ├─ LeaseUnavailable      503  nobody can tell at the moment what is left of a hard budget
 │   ├─ PlacementUnavailable  503  permitted deployments exist, none is alive
 │   ├─ UpstreamCredential    503  our credential, quota, address or model at the provider, never the caller's fault
 │   ├─ BadGateway            502  the upstream answered with something that is not an answer
 │   │   ├─ Quarantined       502  the body broke several upstreams and is not sent again for a while
 │   │   └─ AnswerUnfit       502  the answer does not fit the schema that was asked for, and is refused
 │   ├─ DeadlineTooShort      504  no placement has ever answered as quickly as this caller asks for
 │   ├─ UpstreamTimeout       504  the upstream did not answer in the time its deployment allows
 │   ├─ UpstreamRejected      4xx  the upstream refused what the caller sent, told across dialects
 │   └─ Internal              500  a defect of ours; the message says only the request id
 ├─ UpstreamAnswer                 the upstream answered with an error status of its own (passed on or fallen over)
 ├─ UpstreamFault                  the upstream failed at the transport: connect, headers, idle, reset, protocol
 ├─ AnswerCut                      a guard ended a stream whose beginning is out
 ├─ LedgerError                    the journal cannot take a record: nothing may be sent
 └─ StoreError                     the database cannot be used; requests go on without it
"""

from __future__ import annotations


class SignalboxError(Exception):
    """Root of everything this product raises on purpose."""


class ConfigError(SignalboxError):
    """The declared configuration is wrong; `problems` holds one line per finding: `file:line: what. fix`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CallError(SignalboxError):
    """Ends a call. Only the gateway edge turns it into a body, in the caller's dialect.

    status: HTTP status. code: stable machine-readable string. openai_type/anthropic_type: each dialect's own
    error type. anthropic_status: the status that clients of the Messages API get, where it is another. should_retry:
    sent as `x-should-retry` when not None. retry_after_s: sent as `retry-after`.
    """

    status = 500
    code = "internal_error"
    openai_type = "server_error"
    anthropic_type = "api_error"
    anthropic_status: int | None = None
    should_retry: bool | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        self.retry_after_s = retry_after_s
        self.close = close


class BadRequest(CallError):
    status = 400
    code = "invalid_request"
    openai_type = "invalid_request_error"
    anthropic_type = "invalid_request_error"
    should_retry = False


class Unsupported(BadRequest):
    code = "unsupported_parameter"


class NoThreads(Unsupported):
    """Clients of the Messages API go on without a thread when they read this in `details`, sending everything."""

    code = "thread_unsupported_request"


class NoPermittedPlacement(BadRequest):
    """rules: ids of those that forbid."""

    code = "no_permitted_placement"

    def __init__(self, message: str, rules: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.rules = rules


class NoCapablePlacement(BadRequest):
    code = "no_capable_placement"


class BodyTooLarge(BadRequest):
    status = 413
    code = "request_too_large"
    anthropic_type = "request_too_large"


class HeadersTooLarge(BadRequest):
    status = 431
    code = "headers_too_large"


class Stopped(BadRequest):
    """A 403 would read as failed authentication, which some clients answer by trying again."""

    code = "stopped_by_operator"


class Looping(BadRequest):
    """A 429 would be tried again."""

    code = "repeated_call"


class GuardBlocked(BadRequest):
    """A guard ended the call because of what it holds. The same again would end the same way."""

    code = "blocked_by_guard"
    should_retry = False


class GuardFailed(CallError):
    """A guard could not do its work, and is declared to fail closed."""

    status = 503
    code = "guard_failed"
    anthropic_type = "overloaded_error"
    should_retry = False


class Unauthenticated(CallError):
    status = 401
    code = "invalid_api_key"
    openai_type = "invalid_request_error"
    anthropic_type = "authentication_error"
    should_retry = False


class TooManyGuesses(CallError):
    status = 429
    code = "too_many_failures"
    openai_type = "rate_limit_error"
    anthropic_type = "rate_limit_error"
    should_retry = False


class Forbidden(CallError):
    status = 403
    code = "forbidden"
    openai_type = "invalid_request_error"
    anthropic_type = "permission_error"
    should_retry = False


class NotFound(CallError):
    status = 404
    code = "not_found"
    openai_type = "invalid_request_error"
    anthropic_type = "not_found_error"
    should_retry = False


class Conflict(CallError):
    status = 409
    code = "idempotency_conflict"
    openai_type = "invalid_request_error"
    anthropic_type = "invalid_request_error"
    should_retry = False


class MethodNotAllowed(CallError):
    status = 405
    code = "method_not_allowed"
    openai_type = "invalid_request_error"
    anthropic_type = "invalid_request_error"
    should_retry = False


class BudgetExhausted(CallError):
    """anthropic_status: clients of the Messages API know 402 for this, those of OpenAI's 429 with this very code."""

    status = 429
    anthropic_status = 402
    code = "insufficient_quota"
    openai_type = "insufficient_quota"
    anthropic_type = "billing_error"
    should_retry = False


class Unpriced(BudgetExhausted):
    status = 400
    anthropic_status = 400
    code = "unpriced_model"
    openai_type = "invalid_request_error"
    anthropic_type = "invalid_request_error"


class RateLimited(CallError):
    status = 429
    code = "rate_limit_exceeded"
    openai_type = "rate_limit_error"
    anthropic_type = "rate_limit_error"


class DeploymentLimited(RateLimited):
    """One deployment's limit, not the caller's."""


class RequestTimeout(CallError):
    status = 408
    code = "request_timeout"
    openai_type = "invalid_request_error"
    anthropic_type = "timeout_error"


class Overloaded(CallError):
    status = 503
    code = "server_overloaded"
    anthropic_type = "overloaded_error"


class LeaseUnavailable(CallError):
    status = 503
    code = "budget_unavailable"
    anthropic_type = "overloaded_error"


class PlacementUnavailable(CallError):
    status = 503
    code = "placement_unavailable"


class UpstreamCredential(CallError):
    status = 503
    code = "upstream_credential"
    should_retry = False


class BadGateway(CallError):
    status = 502
    code = "bad_gateway"


class Quarantined(BadGateway):
    code = "quarantined_request"
    should_retry = False


class AnswerUnfit(BadGateway):
    code = "answer_does_not_fit"
    should_retry = False


class UpstreamTimeout(CallError):
    status = 504
    code = "upstream_timeout"
    anthropic_type = "timeout_error"


class DeadlineTooShort(CallError):
    status = 504
    code = "deadline_too_short"
    anthropic_type = "timeout_error"
    should_retry = False


class UpstreamRejected(CallError):
    """The upstream refused the caller's own request (400, 413, 422, 429, 529); its status and words are kept."""

    openai_type = "invalid_request_error"
    anthropic_type = "invalid_request_error"

    def __init__(self, status: int, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, code="upstream_rejected", retry_after_s=retry_after_s)
        self.status = status
        if status == 429:
            self.openai_type = self.anthropic_type = "rate_limit_error"
        elif status == 529:
            self.openai_type, self.anthropic_type = "server_error", "overloaded_error"
        elif status == 413:
            self.anthropic_type = "request_too_large"


class Internal(CallError):
    pass


class UpstreamAnswer(SignalboxError):
    """The upstream answered with an error status. `body` is its own, unread beyond a bound, credentials unscrubbed.
    events: the stream in which it told so, where it did that under a 200."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, events: bytes = b"") -> None:
        super().__init__(f"upstream answered {status}")
        self.events = events
        self.status = status
        self.headers = headers
        self.body = body


class UpstreamFault(SignalboxError):
    """The upstream failed below HTTP semantics.

    kind: one of connect, refused_address, dns, tls, headers_timeout, first_token_timeout, idle_timeout,
    total_timeout, reset, truncated, protocol; silent and hurried when only its share of the client's time was over,
    which says something of the upstream or nothing. sent: whether any request byte may have reached the upstream.
    """

    def __init__(self, kind: str, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.sent = sent


class AnswerCut(SignalboxError):
    """A guard ended a stream: what may be shown of it is out, and so is its end."""


class LedgerError(SignalboxError):
    """The journal cannot make a record durable; the attempt must not be sent."""


class StoreError(SignalboxError):
    """The store cannot be reached, read or written; the message names the file and the reason."""


def forget_frames(failure: BaseException | None) -> None:
    """For a failure that was dealt with, and those that it came of. The frames that it passed through hold all that
    their call was about, the body too, and often the failure itself: it would stay until the collector walks what is
    old, which it does rarely."""
    while failure is not None and failure.__traceback__ is not None:
        failure.__traceback__ = None
        failure = failure.__cause__ or failure.__context__
