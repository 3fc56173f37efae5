"""The state of one attempt while it runs."""

from __future__ import annotations

import msgspec

from signalbox.core.call import AnswerHead, Call
from signalbox.core.hub import Request
from signalbox.core.permit import Permit
from signalbox.core.ports import Entry
from signalbox.core.snapshot import Deployment
from signalbox.core.usage import Usage
from signalbox.policy.budgets import Hold
from signalbox.upstream.time_share import TimeShare
from signalbox.upstream.transport import UpstreamResponse


def counted(call: Call, own: Call) -> None:
    """The attempts of a call of our own that has gone on counting where this one was are its own."""
    call.attempts = own.attempts


class Attempt(msgspec.Struct, eq=False):
    """The state of one attempt while it runs. usage: the provider's figure once told. out_chars, out_events: what was
    seen of a stream. limit: output tokens of each choice that the body asks for at most, 0 for none. share: what it may
    take of its client's time, None for what its deployment allows. left_out: what the client's headers said and this
    deployment is not told, where the body passes through. hold: what it has reserved of budgets. opened_ms: the time on
    its record, whose prices hold. opening, closing: the first bytes of an answer that passes through, and the last
    event of its stream. ended: its protocol's end was seen. cut: it was ended because its budget was. unsent: it ended
    before a byte of it left. guard: which one transformed its bytes, empty for none. entry: its record while it is on
    its way into the journal."""

    id: str
    call: Call
    deployment: Deployment
    api: str
    started_ns: int
    limit: int
    share: TimeShare | None = None
    hub: Request | None = None
    left_out: tuple[str, ...] = ()
    opened_ms: int = 0
    opening: bytes = b""
    closing: bytes = b""
    ttft_ns: int = 0
    usage: Usage | None = None
    out_chars: int = 0
    out_events: int = 0
    reserved_in: int = 0
    hold: Hold | None = None
    ended: bool = False
    cut: bool = False
    unsent: bool = False
    guard: str = ""
    cost_pico: int | None = None
    permit: Permit | None = None
    entry: Entry | None = None

    def __repr__(self) -> str:
        return f"Attempt({self.id})"  # never what it carries

    @classmethod
    def of(
        cls, call: Call, deployment: Deployment, api: str, started_ns: int, share: TimeShare | None = None
    ) -> Attempt:
        """The next attempt of a call."""
        call.attempts = number = call.attempts + 1
        identity = f"{call.id}{call.errand}-{number}"
        return cls(identity, call, deployment, api, started_ns, call.envelope.max_tokens or 0, share)

    def withdrawn(self) -> None:
        """It was not made after all, and does not count."""
        self.call.attempts -= 1

    def head(self, upstream: UpstreamResponse) -> AnswerHead:
        """The head of the answer that `upstream` gives; a translated one carries none of its headers."""
        call = self.call
        passed = upstream.headers if self.api == call.api else []
        reason = self.permit.reason if self.permit is not None else ""
        dropped = tuple(self.hub.dropped) if self.hub is not None else self.left_out
        lowered = self.hold.lowered if self.hold is not None else 0
        return AnswerHead(200, self.deployment, reason, passed, dropped, lowered)
