"""The state of one attempt while it runs."""

from __future__ import annotations

from signalbox.core.call import AnswerHead, Call
from signalbox.core.hub import Request
from signalbox.core.permit import Permit
from signalbox.core.snapshot import Deployment
from signalbox.core.usage import Usage
from signalbox.policy.budgets import Hold
from signalbox.upstream.transport import UpstreamResponse


def counted(call: Call, own: Call) -> None:
    """The attempts of a call of our own that has gone on counting where this one was are its own."""
    call.attempts = own.attempts


class Attempt:
    """The state of one attempt while it runs. usage: the provider's figure once told. out_chars, out_events: what was
    seen of a stream. limit: output tokens of each choice that the body asks for at most, 0 for none. hold: what it has
    reserved of budgets. opened_ms: the time on its record, whose prices hold. opening, closing: the first bytes of an
    answer that passes through, and the last event of its stream. ended: its protocol's end was seen. cut: it was ended
    because its budget was. guard: which one transformed its bytes, empty for none."""

    __slots__ = (
        "api",
        "call",
        "closing",
        "cost_pico",
        "cut",
        "deployment",
        "ended",
        "guard",
        "hold",
        "hub",
        "id",
        "limit",
        "opened_ms",
        "opening",
        "out_chars",
        "out_events",
        "permit",
        "reserved_in",
        "started_ns",
        "ttft_ns",
        "usage",
    )

    def __init__(self, call: Call, deployment: Deployment, api: str, started_ns: int) -> None:
        call.attempts += 1
        self.id = f"{call.id}{call.errand}-{call.attempts}"
        self.call = call
        self.deployment = deployment
        self.api = api
        self.hub: Request | None = None
        self.started_ns = started_ns
        self.opened_ms = 0
        self.opening = b""
        self.closing = b""
        self.ttft_ns = 0
        self.usage: Usage | None = None
        self.out_chars = 0
        self.out_events = 0
        self.reserved_in = 0
        self.limit = call.envelope.max_tokens or 0
        self.hold: Hold | None = None
        self.ended = False
        self.cut = False
        self.guard = ""
        self.cost_pico: int | None = None
        self.permit: Permit | None = None

    def withdrawn(self) -> None:
        """It was not made after all, and does not count."""
        self.call.attempts -= 1

    def head(self, upstream: UpstreamResponse) -> AnswerHead:
        """The head of the answer that `upstream` gives; a translated one carries none of its headers."""
        call = self.call
        passed = upstream.headers if self.api == call.api else []
        reason = self.permit.reason if self.permit is not None else ""
        dropped = tuple(self.hub.dropped) if self.hub is not None else ()
        lowered = self.hold.lowered if self.hold is not None else 0
        return AnswerHead(200, self.deployment, reason, passed, dropped, lowered)
