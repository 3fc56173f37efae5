"""Model calls of our own beside a client's: the one implementation of core.ports.Dispatch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from signalbox.core.call import UNATTRIBUTED, AnswerHead, Call, Decision, ForWhom, Principal
from signalbox.core.errors import (
    BadRequest,
    CallError,
    Internal,
    SignalboxError,
    UpstreamRejected,
    UpstreamTimeout,
    forget_frames,
)
from signalbox.core.hub import Event, Request
from signalbox.core.labels import NONE
from signalbox.core.ports import Errand, Fetched
from signalbox.core.snapshot import Deployment, Workload
from signalbox.core.stream import Frame
from signalbox.core.tracing import Trace
from signalbox.core.usage import Usage
from signalbox.pipeline.deciding import decide
from signalbox.pipeline.pursue import pursue
from signalbox.pipeline.settlement import spent_beside
from signalbox.pipeline.stages import Stages
from signalbox.wire.table import DIALECTS

# What a cancelled errand's attempt says of its end in the ledger.
LATE = "late"
# How many errands one call may have: whoever needs more has a loop that does not end.
ERRANDS_MAX = 64


class Dispatcher:
    """Implements core.ports.Dispatch under one snapshot; making one costs nothing.

    An errand runs in the workload of the call it is for, whatever deployment it names: the workload's regulations and
    rules hold, the placements that it lists are for its clients. The models that a key may name bind whoever names
    them, and that is the operator here. It takes no slot of its own, because it runs in its call's.
    """

    def __init__(self, stages: Stages, principal: Principal | None = None) -> None:
        """principal: to whom its errands are booked, whoever the call is for when left out."""
        self._stages = stages
        self._principal = principal

    async def ask(self, call: Call, errand: Errand) -> Fetched:
        stages = self._stages
        if stages.stops.orders:
            stages.stops.check(call, stages.time_ms())  # an errand may begin when its call was answered long ago
        own = _errand_call(call, errand, self._principal, stages)
        classified = await stages.classifier.classify(own)
        own.labels, own.found = classified.labels | call.labels, {**call.found, **classified.found}
        own.permitted = stages.interlock.permitted(own)
        decided = decide(own, stages)
        own.decision = Decision(decided.choices, f"{errand.purpose} {decided.reason}")
        own.decided_ns = stages.now_ns()
        collected = Collected()
        pursuing = asyncio.ensure_future(pursue(own, collected, stages))
        why: tuple[str, ...] = (LATE,)
        try:
            await asyncio.wait((pursuing,), timeout=errand.within_s)
            if not pursuing.done():
                raise UpstreamTimeout(f"The {errand.purpose} had no answer in time.")
            pursuing.result()
        except asyncio.CancelledError as gone:
            why = gone.args
            raise
        except SignalboxError as failure:
            forget_frames(failure)  # whoever asked mostly goes on without an answer
            raise
        finally:
            if not pursuing.done():
                pursuing.cancel(*why)
                await asyncio.wait((pursuing,))  # what is cancelled is booked before
            spent_beside(call, own.spent_pico)
            del pursuing  # it holds what it failed with, which holds this frame
        return collected.fetched(errand)


def _errand_call(call: Call, errand: Errand, principal: Principal | None, stages: Stages) -> Call:
    pinned = None
    if errand.deployment:
        pinned = stages.snapshot.deployment_by_name.get(errand.deployment)
        if pinned is None:
            raise ValueError(f"there is no deployment {errand.deployment!r}")
    if call.errands >= ERRANDS_MAX:
        raise Internal(f"One call may have {ERRANDS_MAX} errands.")
    own = own_call(
        call.id,
        errand.api,
        errand.doc,
        principal or call.principal,
        call.workload,
        pinned,
        stages,
        for_whom=call.for_whom if principal is None else UNATTRIBUTED,
        trace=call.trace,
    )
    if own.envelope.stream:
        raise BadRequest("An errand does not stream.")
    call.errands += 1
    own.errand = f"{call.errand}.{call.errands}"
    if principal is None:
        own.sessions = call.sessions  # the same conversation, whose values have the same tokens
    return own


def own_call(
    call_id: str,
    api: str,
    asked: Mapping[str, Any],
    principal: Principal,
    workload: Workload,
    pinned: Deployment | None,
    stages: Stages,
    *,
    for_whom: ForWhom = UNATTRIBUTED,
    trace: Trace | None = None,
) -> Call:
    """A call that no client made. asked: its body but for the model, which is `pinned`'s, or the workload."""
    model = pinned.model if pinned is not None else workload.name
    doc = {"model": model, **asked}
    now_ns = stages.now_ns()
    return Call(
        id=call_id,
        api=api,
        snapshot=stages.snapshot,
        principal=principal,
        body=msgspec.json.encode(doc),
        doc=doc,
        envelope=DIALECTS[api].envelope(doc),
        model=model,
        workload=workload,
        pinned=pinned,
        data_header=NONE,
        headers=[],
        query=b"",
        received_ns=now_ns,
        auth_ns=now_ns,
        for_whom=for_whom,
        trace=trace,
    )


class Collected:
    """Implements core.call.Reply: takes one whole answer."""

    __slots__ = ("_answer", "_refused")

    started = content_sent = slow = False

    def __init__(self) -> None:
        self._answer: tuple[AnswerHead, bytes, int | None] | None = None
        self._refused: tuple[int, bytes] | None = None

    def fetched(self, errand: Errand) -> Fetched:
        if self._answer is not None:
            head, body, cost_pico = self._answer
            return Fetched(body, head.deployment.name, cost_pico)
        if self._refused is not None:
            raise UpstreamRejected(self._refused[0], f"The provider refused the {errand.purpose}.")
        raise Internal(f"The {errand.purpose} ended without an answer.")

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self._answer = (head, body, cost_pico)

    def error(self, head: AnswerHead, body: bytes) -> None:
        self._refused = (head.status, body)

    def own(self, body: bytes, reason: str) -> None:
        raise _streams()

    def start(self, head: AnswerHead, request: Request | None) -> None:
        raise _streams()

    def send(self, frames: list[Frame]) -> None:
        raise _streams()

    async def drain(self) -> None:
        raise _streams()

    def resume(self, request: Request, told: list[Frame]) -> list[Event]:
        raise _streams()

    def comment(self, text: str) -> None:
        raise _streams()

    def end(self, usage: Usage | None, complete: bool) -> None:
        raise _streams()


def _streams() -> CallError:
    return Internal("An errand does not stream.")
