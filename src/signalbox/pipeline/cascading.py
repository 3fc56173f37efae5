"""Strategy `cascade`: a weak model answers, its answer is judged, and where it is doubtful a strong one is asked.

Both are attempts like any other: permitted for their own bytes, in the journal before they leave, paid for. The client
gets one answer. A weak answer is held until it is judged, while heartbeats keep a stream alive; a weak model that
fails is fallen over from as always; and when the strong one cannot be had, the weak answer is better than none.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import msgspec

from signalbox.config.schema_guards import ASKING
from signalbox.core.call import AnswerHead, Call, Decision, Reply
from signalbox.core.choosing import Cascade
from signalbox.core.errors import CallError, forget_frames
from signalbox.core.hub import Request
from signalbox.core.ports import Errand, Fetched
from signalbox.core.records import DOUBTED
from signalbox.core.snapshot import Deployment
from signalbox.core.stream import Frame
from signalbox.core.usage import Usage
from signalbox.pipeline import guarding
from signalbox.pipeline import pursue as pursuing
from signalbox.pipeline.deciding import take
from signalbox.pipeline.dispatch import Dispatcher
from signalbox.pipeline.judging import answered_in, answered_whole, asked_of
from signalbox.pipeline.passing_reply import PassingReply
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.tiering import meaning
from signalbox.routing.answers import Answered, Asked
from signalbox.routing.difficulty.features import features as question_features
from signalbox.routing.difficulty.question import asked as question
from signalbox.routing.difficulty.scorer import Scorer, rank_of
from signalbox.routing.difficulty.shipped import shipped
from signalbox.routing.trusting import Judge

# What is held of a stream until it is judged. An answer that is longer is not: the strong one is asked.
HELD_BYTES_MAX = 4 * 1024 * 1024
# How long another cheap model's agreement is waited for.
OPINION_S = 30.0
# A frame of hub events has no bytes yet; so many stand for it.
_EVENT_BYTES = 64


async def pursue(call: Call, reply: Reply, stages: Stages) -> None:
    """Answer a decided call of a workload with a cascade, or raise the CallError that fits."""
    pair, decision = call.workload.cascade, call.decision
    if pair is None or decision is None or not _has_both(decision.choices, pair, call):
        return await pursuing.pursue(call, reply, stages)
    judge = stages.router.judges[call.workload.name]
    asked = asked_of(call)
    rank = _difficulty(call) if pair.easy_share or pair.hard_share or pair.scorer is not None else 0.0
    strong = tuple(one for one in decision.choices if one.index != pair.weak)
    why = _why_not(call, pair, judge, rank)
    if asked is None or why:
        _count(call, stages, "skipped")
        take(call, Decision((*strong, decision.choices[0]), f"{decision.reason} {why or 'unread'}"))
        return await pursuing.pursue(call, reply, stages)
    if rank < pair.easy_share:
        _count(call, stages, "easy")
        take(call, Decision(decision.choices, f"{decision.reason} easy"))
        return await pursuing.pursue(call, reply, stages)
    first = _Held(call, reply, pair, stages)
    # A guard that asks somebody whether the call may leave is asked by the weak model's attempt: it has to end first.
    screened = any(isinstance(use.options, ASKING) for use in call.workload.guards)
    opinions = [] if screened else _opinions(call, pair, asked, stages)
    # While the weak model answers, so that it takes no time.
    vector = asyncio.ensure_future(meaning(call, stages)) if judge.compares else None
    try:
        await pursuing.pursue(call, first, stages)
        if not first.holding:
            return None
        opinions = opinions or _opinions(call, pair, asked, stages)
        told = None if vector is None else await vector
        others = await _told(opinions, call) if opinions else ()
    finally:
        if vector is not None:
            vector.cancel()
            await asyncio.wait((vector,))
        if opinions:
            await _ended(opinions)
    if _is_trusted(judge, asked, rank, told, first.answered(), others):
        _count(call, stages, "kept")
        return first.give("")
    await _escalate(call, first, Decision(strong, decision.reason + DOUBTED), reply, stages)
    return None


def _is_trusted(
    judge: Judge, asked: Asked, rank: float, vector: Any, answered: Answered | None, others: tuple[str, ...]
) -> bool:
    """Whatever cannot be read is doubtful, and so is whatever the scorer cannot compare."""
    if answered is None or judge.threshold is None or (judge.compares and vector is None):
        return False
    asked = msgspec.structs.replace(asked, difficulty=judge.hardness(rank, vector))
    told = msgspec.structs.replace(answered, others=() if answered.calls else others)
    return judge.trust(asked, told) >= judge.threshold


def _difficulty(call: Call) -> float:
    """How hard the question looks, as a rank from 0 to 1 among the questions that signalbox ships with."""
    scorer = _questions()
    return rank_of(scorer.score(question_features(question(call.doc))), scorer.head.ranks)


@cache
def _questions() -> Scorer:
    return Scorer(shipped())


def _opinions(call: Call, pair: Cascade, asked: Asked, stages: Stages) -> list[asyncio.Future[Fetched]]:
    """Other cheap models are asked the same, at the same time; calls of our own with their own permits and records."""
    if not pair.agrees_with or asked.tools:
        return []
    doc = {name: value for name, value in call.doc.items() if name not in ("model", "stream", "stream_options")}
    dispatcher, deployments = Dispatcher(stages), call.snapshot.deployments
    errands = [Errand("agreement", call.api, doc, deployments[one].name, OPINION_S) for one in pair.agrees_with]
    return [asyncio.ensure_future(dispatcher.ask(call, errand)) for errand in errands]


async def _told(opinions: list[asyncio.Future[Fetched]], call: Call) -> tuple[str, ...]:
    """What the other models answered, for as long as that is worth waiting for; whoever failed has no opinion."""
    told: list[str] = []
    for opinion in opinions:
        try:
            fetched = await opinion
        except CallError as failure:
            forget_frames(failure)
            continue
        answered = answered_whole(call, fetched.body)
        if answered is not None:
            told.append(answered.text)
    return tuple(told)


async def _ended(opinions: list[asyncio.Future[Fetched]]) -> None:
    """Nothing goes on when the answer is known; what is cancelled is booked before."""
    for opinion in opinions:
        if not opinion.done():
            opinion.cancel("not_needed")
    await asyncio.wait(opinions)
    for opinion in opinions:
        if not opinion.cancelled():
            opinion.exception()


def _has_both(choices: tuple[Deployment, ...], pair: Cascade, call: Call) -> bool:
    """Whether there is anything to decide: the weak one comes first, and the strong one may be asked after it."""
    if call.pinned is not None or not choices or choices[0].index != pair.weak:
        return False
    return any(one.index == pair.strong for one in choices)


def _why_not(call: Call, pair: Cascade, judge: Judge, rank: float) -> str:
    """Why a call goes to the strong model at once, in a word; empty when the weak one may try."""
    if judge.threshold is None:
        return "unproven"
    if call.envelope.stateful:
        return "stateful"
    if call.envelope.stream and not pair.holds_streams:
        return "stream"
    return "hard" if pair.hard_share and rank > 1.0 - pair.hard_share else ""


async def _escalate(call: Call, first: _Held, decision: Decision, reply: Reply, stages: Stages) -> None:
    """The strong model's answer or, when that cannot be had, the weak one's after all."""
    late = stages.now_ns() - call.received_ns >= min(call.workload.retries.total_ns, call.patience_ns)
    if late and first.whole:
        _count(call, stages, "late")
        first.give("late")
        return
    take(call, decision)
    second = _Second(reply, call.spent_pico, instead=first.whole)
    try:
        await pursuing.pursue(call, second, stages)
    except CallError as failure:
        if reply.content_sent or not first.whole:
            raise
        forget_frames(failure)
        second.refused = True
    if second.refused:
        _count(call, stages, "unescalated")
        first.give("unescalated")
        return
    _count(call, stages, "escalated")


def _count(call: Call, stages: Stages, outcome: str) -> None:
    stages.metrics.add(("signalbox_cascades_total", call.workload.name, outcome))


class _Held(PassingReply):
    """The reply as the first attempts see it: what the weak model answers is held, whatever others answer passes.

    holding: the weak answer is here, to be judged. whole: all of it is, so that it can be given.
    """

    __slots__ = (
        "_call", "_ending", "_frames", "_head", "_held_bytes", "_pair", "_stages", "_unary", "holding", "whole",
    )  # fmt: skip

    def __init__(self, call: Call, inner: Reply, pair: Cascade, stages: Stages) -> None:
        super().__init__(inner)
        self._call = call
        self._stages = stages
        self._pair = pair
        self._anew()

    def _anew(self) -> None:
        """An attempt begins to answer; what another one had begun is forgotten."""
        self._unary: tuple[AnswerHead, bytes, int | None] | None = None
        self._head: tuple[AnswerHead, Request | None] | None = None
        # None while nothing of a stream is held: whoever answers is not the weak one.
        self._frames: list[Frame] | None = None
        self._held_bytes = 0
        self._ending: tuple[Usage | None, bool] | None = None
        self.holding, self.whole = False, True

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self._anew()
        if head.deployment.index == self._pair.weak:
            self._unary, self.holding = (head, body, cost_pico), True
            guarding.look(self._call, self._stages, self._tell)
        else:
            self._inner.unary(head, body, cost_pico)

    def start(self, head: AnswerHead, request: Request | None) -> None:
        self._anew()
        if head.deployment.index == self._pair.weak:
            self._head, self._frames = (head, request), []
        else:
            self._inner.start(head, request)

    def send(self, frames: list[Frame]) -> None:
        held = self._frames
        if held is None:
            self._inner.send(frames)
            return
        self._held_bytes += sum([len(frame.raw) or _EVENT_BYTES for frame in frames])
        if self._held_bytes <= HELD_BYTES_MAX:
            held += frames
        else:
            # Nobody will be told any of it: the rest is only waited for, so that its cost is known.
            held.clear()
            self.whole = False

    def end(self, usage: Usage | None, complete: bool) -> None:
        if self._frames is None:
            self._inner.end(usage, complete)
            return
        self._ending, self.holding = (usage, complete), True
        if self.whole:
            guarding.look(self._call, self._stages, self._tell)

    def answered(self) -> Answered | None:
        """The weak answer, as far as it can be read."""
        if not self.whole:
            return None
        if self._unary is not None:
            return answered_whole(self._call, self._unary[1])
        return answered_in(self._call, self._frames or ())

    def give(self, why: str) -> None:
        """The client gets the weak answer. why: that it is doubtful and is given all the same, in a word."""
        held = self._unary or self._head
        if held is not None and why:
            held[0].reason = f"{held[0].reason} {why}"
            held[0].doubted = True
        with guarding.heard(self._call):
            self._tell(self._inner)

    def _tell(self, reply: Reply) -> None:
        if self._unary is not None:
            head, body, cost_pico = self._unary
            reply.unary(head, body, None if cost_pico is None else self._call.spent_pico)
        elif self._head is not None and self._ending is not None:
            reply.start(*self._head)
            if self._frames:
                reply.send(self._frames)
            reply.end(*self._ending)


class _Second(PassingReply):
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
