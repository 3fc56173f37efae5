"""Strategy `cascade`: a weak model answers, its answer is judged, and where it is doubtful a strong one is asked.

Both are attempts like any other: permitted for their own bytes, in the journal before they leave, paid for. The client
gets one answer. A weak answer is held until it is judged, while heartbeats keep a stream alive; a weak model that
fails is fallen over from as always; and when the strong one cannot be had, the weak answer is better than none.
"""

from __future__ import annotations

from signalbox.core.call import AnswerHead, Call, Decision, Reply
from signalbox.core.choosing import Cascade
from signalbox.core.errors import CallError
from signalbox.core.hub import Event, Request
from signalbox.core.snapshot import Deployment
from signalbox.core.stream import Frame
from signalbox.core.usage import Usage
from signalbox.pipeline import pursue as pursuing
from signalbox.pipeline.judging import answered_in, answered_whole, asked_of
from signalbox.pipeline.stages import Stages
from signalbox.routing.answers import PRIOR, Answered, Asked, features

# What is held of a stream until it is judged. A longer answer is judged by its beginning.
HELD_BYTES_MAX = 4 * 1024 * 1024
# A frame of hub events has no bytes yet; so many stand for it.
_EVENT_BYTES = 64


async def pursue(call: Call, reply: Reply, stages: Stages) -> None:
    """Answer a decided call of a workload with a cascade, or raise the CallError that fits."""
    pair, decision = call.workload.cascade, call.decision
    if pair is None or decision is None or not _has_both(decision.choices, pair, call):
        return await pursuing.pursue(call, reply, stages)
    asked = asked_of(call)
    why = _why_not(call, pair, asked)
    strong = tuple(one for one in decision.choices if one.index != pair.weak)
    if why or asked is None:
        _count(call, stages, "skipped")
        call.decision = Decision((*strong, decision.choices[0]), f"{decision.reason} {why or 'unread'}")
        return await pursuing.pursue(call, reply, stages)
    first = _Judged(call, reply, pair, asked, stages)
    await pursuing.pursue(call, first, stages)
    if first.doubted:
        await _escalate(call, first, Decision(strong, f"{decision.reason} doubted"), reply, stages)
    return None


def _has_both(choices: tuple[Deployment, ...], pair: Cascade, call: Call) -> bool:
    """Whether there is anything to decide: the weak one comes first, and the strong one may be asked after it."""
    if call.pinned is not None or not choices or choices[0].index != pair.weak:
        return False
    return any(one.index == pair.strong for one in choices)


def _why_not(call: Call, pair: Cascade, asked: Asked | None) -> str:
    """Why a call goes to the strong model at once, in a word; empty when the weak one may try."""
    if asked is None:
        return "unread"
    if call.envelope.stateful:
        return "stateful"
    return "stream" if call.envelope.stream and not pair.holds_streams else ""


async def _escalate(call: Call, first: _Judged, decision: Decision, reply: Reply, stages: Stages) -> None:
    """The strong model's answer or, when that cannot be had, the weak one's after all."""
    late = stages.now_ns() - call.received_ns >= min(call.workload.retries.total_ns, call.patience_ns)
    if late and first.whole:
        _count(call, stages, "late")
        first.give("late")
        return
    call.decision, call.detour = decision, ""
    second = _Second(reply, call.spent_pico, instead=first.whole)
    try:
        await pursuing.pursue(call, second, stages)
    except CallError:
        if reply.content_sent or not first.whole:
            raise
        second.refused = True
    if second.refused:
        _count(call, stages, "unescalated")
        first.give("unescalated")
        return
    _count(call, stages, "escalated")


def _count(call: Call, stages: Stages, outcome: str) -> None:
    stages.metrics.add(("signalbox_cascades_total", call.workload.name, outcome))


class _Passing:
    """Implements core.call.Reply over another one, changing nothing."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Reply) -> None:
        self._inner = inner

    @property
    def started(self) -> bool:
        return self._inner.started

    @property
    def content_sent(self) -> bool:
        return self._inner.content_sent

    @property
    def slow(self) -> bool:
        return self._inner.slow

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self._inner.unary(head, body, cost_pico)

    def error(self, head: AnswerHead, body: bytes) -> None:
        self._inner.error(head, body)

    def own(self, body: bytes, reason: str) -> None:
        self._inner.own(body, reason)

    def start(self, head: AnswerHead, request: Request | None) -> None:
        self._inner.start(head, request)

    def send(self, frames: list[Frame]) -> None:
        self._inner.send(frames)

    async def drain(self) -> None:
        await self._inner.drain()

    def resume(self, request: Request, told: list[Frame]) -> list[Event]:
        return self._inner.resume(request, told)

    def comment(self, text: str) -> None:
        self._inner.comment(text)

    def end(self, usage: Usage | None, complete: bool) -> None:
        self._inner.end(usage, complete)


class _Judged(_Passing):
    """The reply as the first attempts see it: what the weak model answers is held until it is judged.

    doubted: it was, and is not trusted. whole: all of it is held, so that it can still be given.
    """

    __slots__ = ("_asked", "_call", "_ending", "_frames", "_head", "_held_bytes", "_pair", "_stages", "_unary",
                 "doubted", "whole")  # fmt: skip

    def __init__(self, call: Call, inner: Reply, pair: Cascade, asked: Asked, stages: Stages) -> None:
        super().__init__(inner)
        self._call = call
        self._pair = pair
        self._asked = asked
        self._stages = stages
        self._unary: tuple[AnswerHead, bytes, int | None] | None = None
        self._head: tuple[AnswerHead, Request | None] | None = None
        # None while nothing is held: whoever answers is not the weak one, or its answer was trusted and is under way.
        self._frames: list[Frame] | None = None
        self._held_bytes = 0
        self._ending: tuple[Usage | None, bool] | None = None
        self.doubted = False
        self.whole = True

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self._anew()
        if self._is_weak(head):
            self._unary = (head, body, cost_pico)
            if not self._trusts(answered_whole(self._call, body)):
                self.doubted = True
                return
            _count(self._call, self._stages, "kept")
        self._inner.unary(head, body, cost_pico)

    def start(self, head: AnswerHead, request: Request | None) -> None:
        """An attempt begins to answer; what another one had begun is forgotten."""
        self._anew()
        if not self._is_weak(head):
            self._inner.start(head, request)
            return
        self._head = (head, request)
        self._frames = []

    def send(self, frames: list[Frame]) -> None:
        held = self._frames
        if held is None:
            if not self.doubted:
                self._inner.send(frames)
            return
        held += frames
        self._held_bytes += sum([len(frame.raw) or _EVENT_BYTES for frame in frames])
        if self._held_bytes > HELD_BYTES_MAX:
            self._judge_stream()
            if self.doubted:
                # Nobody will be told any of it: the rest is only waited for, so that its cost is known.
                self._frames, self.whole = None, False

    def end(self, usage: Usage | None, complete: bool) -> None:
        if self._frames is not None:
            self._judge_stream()
        if self.doubted:
            self._ending = (usage, complete)
            return
        self._inner.end(usage, complete)

    def give(self, why: str) -> None:
        """The doubtful answer is given after all."""
        if self._unary is not None:
            head, body, cost_pico = self._unary
            head.reason = f"{head.reason} {why}"
            self._inner.unary(head, body, cost_pico)
            return
        if self._head is not None and self._ending is not None:
            self._head[0].reason = f"{self._head[0].reason} {why}"
            self._release()
            self._inner.end(*self._ending)

    def _anew(self) -> None:
        self._frames, self._held_bytes = None, 0
        self.doubted, self.whole = False, True

    def _is_weak(self, head: AnswerHead) -> bool:
        return head.deployment.index == self._pair.weak

    def _judge_stream(self) -> None:
        """Lets go of what is held when it is trusted."""
        if self._trusts(answered_in(self._call, self._frames or ())):
            _count(self._call, self._stages, "kept")
            self._release()
        else:
            self.doubted = True

    def _release(self) -> None:
        assert self._head is not None
        frames, self._frames = self._frames, None
        self._inner.start(*self._head)
        if frames:
            self._inner.send(frames)

    def _trusts(self, answered: Answered | None) -> bool:
        """Whatever cannot be read is doubtful."""
        if answered is None:
            return False
        return PRIOR.trust(features(self._asked, answered)) >= self._pair.threshold


class _Second(_Passing):
    """The reply as the strong model's attempts see it. spent_pico: what the weak one cost, told with the rest. instead:
    there is an answer to give instead of an error. refused: so the provider's own error was not passed on."""

    __slots__ = ("_instead", "_spent_pico", "refused")

    def __init__(self, inner: Reply, spent_pico: int, *, instead: bool) -> None:
        super().__init__(inner)
        self._instead = instead
        self._spent_pico = spent_pico
        self.refused = False

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self._inner.unary(head, body, None if cost_pico is None else cost_pico + self._spent_pico)

    def error(self, head: AnswerHead, body: bytes) -> None:
        if self._instead:
            self.refused = True
        else:
            self._inner.error(head, body)
