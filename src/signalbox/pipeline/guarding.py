"""The seam of the guards: each attempt's bytes before they leave, and every answer before the client gets it.

A workload without guards pays one look at an empty tuple on either side.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator
from time import perf_counter
from typing import Any, cast

import msgspec

from signalbox.core.call import AnswerHead, Call, Reply
from signalbox.core.errors import AnswerCut, CallError, GuardBlocked, GuardFailed
from signalbox.core.guards import BLOCK, FLAG, SKIPPED, Guarded, Verdict
from signalbox.core.hub import Event, Request
from signalbox.core.stream import Frame
from signalbox.core.usage import Usage
from signalbox.guard.contract import UNTOUCHED, Guard, Outgoing, RequestGuard, Screened
from signalbox.guard.spoken import carried_in
from signalbox.pipeline.affinity import conversation_scope
from signalbox.pipeline.ending import put_on_record
from signalbox.pipeline.guarded_reply import APIS, GuardedReply
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.state import Attempt

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def through(call: Call, reply: Reply, stages: Stages) -> Reply:
    """The reply for a call: its own, or one that lets nothing through which a guard has not seen."""
    if not call.workload.guards:
        return reply
    guards = stages.guards.of(call.workload.name)
    if not guards.answers or call.api not in APIS:
        return reply
    call.guarded = call.guarded or Guarded()
    return GuardedReply(call, reply, guards)


def look(call: Call, stages: Stages, tell: Callable[[Reply], None]) -> None:
    """Has guards look at an answer that is held, while its attempt is under way: what they say of it stands in that
    attempt's row, whether the client gets the answer or not. What they do about it they do when it is told."""
    if not call.workload.guards:
        return
    reply = through(call, _Nowhere(), stages)
    if isinstance(reply, GuardedReply):
        with contextlib.suppress(AnswerCut, GuardFailed):
            tell(reply)


@contextlib.contextmanager
def heard(call: Call) -> Generator[None]:
    """While an answer is told that guards have looked at before."""
    record = call.guarded
    before = record.heard if record is not None else False
    if record is not None:
        record.heard = True
    try:
        yield
    finally:
        if record is not None:
            record.heard = before


class _Nowhere:
    """A reply that nobody hears."""

    started = content_sent = slow = False

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        return None

    def error(self, head: AnswerHead, body: bytes) -> None:
        return None

    def own(self, body: bytes, reason: str) -> None:
        return None

    def start(self, head: AnswerHead, request: Request | None) -> None:
        return None

    def send(self, frames: list[Frame]) -> None:
        return None

    async def drain(self) -> None:
        return None

    def resume(self, request: Request, told: list[Frame]) -> list[Event]:
        return []

    def comment(self, text: str) -> None:
        return None

    def end(self, usage: Usage | None, complete: bool) -> None:
        return None


async def outgoing(this: Attempt, body: bytes, stages: Stages) -> bytes:
    """The bytes that an attempt may send instead of these. Raises GuardBlocked where a guard forbids the call, and
    GuardFailed where one that fails closed cannot do its work; nothing has left then."""
    try:
        return await _transformed(this, body, stages)
    except CallError as error:
        put_on_record(this.call, error, stages)
        raise


async def _transformed(this: Attempt, body: bytes, stages: Stages) -> bytes:
    call = this.call
    record = call.guarded = call.guarded or Guarded()
    needed = stages.interlock.needs_guard(call, this.deployment)
    guards = stages.guards.of(call.workload.name)
    ask = stages.errands(stages)
    conversation = conversation_scope(call) if guards.requests else b""
    doc: dict[str, Any] | None = call.doc if body is call.body else None
    outside: frozenset[str] | None = None
    for guard, requests in guards.requests:
        if doc is None:
            doc = _decode(body)
        if outside is None:
            # Before a guard changes texts: afterwards they are found by where they stand.
            outside = carried_in(call.doc, doc) if this.api != call.api else frozenset()
        sent = Outgoing(call, this.deployment, this.api, body, doc, needed, ask, conversation, outside)
        screened = await _screened(guard, requests, sent, record)
        record.note(screened.verdicts)
        for verdict in screened.verdicts:
            if verdict.action == BLOCK:
                raise GuardBlocked(f"Guard {verdict.guard} does not let this call pass ({verdict.rule}).")
        if screened.transformed:
            this.guard = screened.transformed
        if screened.body is not None:
            body, doc = screened.body, None
    return body


async def _screened(guard: Guard, requests: RequestGuard, sent: Outgoing, record: Guarded) -> Screened:
    use = guard.use
    try:
        if not use.timeout_s:
            return _as_promised(await requests.screen(sent))
        began_s = perf_counter()
        async with asyncio.timeout(use.timeout_s):
            screened = _as_promised(await requests.screen(sent))
        if perf_counter() - began_s > use.timeout_s:
            raise TimeoutError  # it never waited, so nothing could stop it
        return screened
    except asyncio.CancelledError:
        raise
    except Exception as error:
        rule = "timeout" if isinstance(error, TimeoutError) else "failed"
        record.note([Verdict(use.name, rule, SKIPPED if use.fail_open else FLAG)])
        if use.fail_open:
            return UNTOUCHED
        if isinstance(error, CallError):
            raise
        raise GuardFailed(f"Guard {use.name} could not look at the call.") from error


def _as_promised(screened: object) -> Screened:
    """Raises TypeError for anything that is not what a guard has to say."""
    if not isinstance(screened, Screened) or not isinstance(cast("object", screened.body), bytes | None):
        raise TypeError("a guard said what no guard says")
    return screened
