"""Answers that do not fit the schema which their call asked for: held, asked for once more, and refused or given.

The second try is the same call with two turns more: what was answered, and what is wrong with it. It is classified,
judged by the rules, routed, journalled and paid for like any attempt. Streams are judged only where they may be held.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from signalbox.config.schema_guards import ValidJson
from signalbox.core.call import AnswerHead, Call, Decision, Reply
from signalbox.core.errors import AnswerCut, AnswerUnfit, CallError, forget_frames
from signalbox.core.guards import BLOCK, FLAG, Verdict
from signalbox.core.hub import Request
from signalbox.core.stream import Frame
from signalbox.core.usage import Usage
from signalbox.guard.valid_json import ARGUMENTS, NAME, NOT_JSON, Wanted, wanted
from signalbox.pipeline import deciding, guarding
from signalbox.pipeline import pursue as pursuing
from signalbox.pipeline.judging import APIS, answered_in, answered_whole
from signalbox.pipeline.passing_reply import PassingReply
from signalbox.pipeline.settlement import spent_beside, verdicts_of
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.state import counted
from signalbox.routing.answers import Answered
from signalbox.wire import body as wire_body

# What is held of a stream until it is judged. One that is longer passes unjudged.
HELD_BYTES_MAX = 4 * 1024 * 1024
# A frame of hub events has no bytes yet; so many stand for it.
_EVENT_BYTES = 64
# So much of an answer is shown to the model that is to do better.
SHOWN_CHARS_MAX = 20_000
# An answer that ended otherwise was cut or withheld: asked again, it would end the same way.
_WHOLE = frozenset(("stop", "tool_calls"))
_WRONG = {
    NOT_JSON: "It is not valid JSON.",
    ARGUMENTS: "The arguments of a tool call do not fit the schema of that tool.",
}
_DOES_NOT_FIT = "It does not fit the schema that was asked for."

Onward = Callable[[Call, Reply, Stages], Awaitable[None]]


async def through(call: Call, reply: Reply, stages: Stages, onward: Onward) -> None:
    """Answers a decided call of a workload with guards. onward: how it is answered without this."""
    try:
        await _answered(call, reply, stages, onward)
    except AnswerCut:
        pass  # an answer that was held, and is given after its attempt: all that may be shown of it is out
    finally:
        verdicts_of(call, stages)  # of such an answer: its row is written, they are counted


async def _answered(call: Call, reply: Reply, stages: Stages, onward: Onward) -> None:
    settings = stages.guards.of(call.workload.name).json
    asks = _asks(call, settings)
    if settings is None or asks is None:
        await onward(call, reply, stages)
        return
    may_repair = settings.repair and not call.envelope.stateful
    look = partial(guarding.look, call, stages)
    first = _Judged(call, reply, asks, look, keeps=may_repair, refuses=settings.unfit == "refuse")
    await onward(call, first, stages)
    if first.kept and not (_may_go_on(call, stages) and await _repaired(call, first, reply, stages)):
        if settings.unfit == "refuse":
            raise AnswerUnfit("The answer does not fit the schema that was asked for.")
        first.give_unfit()
    elif first.refused:
        raise AnswerUnfit("The answer does not fit the schema that was asked for.")


def _asks(call: Call, settings: ValidJson | None) -> Wanted | None:
    """What the answer has to be; None where it is not to be judged here."""
    if settings is None or call.api not in APIS or call.envelope.n > 1:
        return None
    if call.envelope.stream and not settings.hold_streams:
        return None
    return wanted(call.doc)


def _may_go_on(call: Call, stages: Stages) -> bool:
    """Whether the call has an attempt, money and time left, as its workload bounds them."""
    retries = call.workload.retries
    if call.attempts >= retries.max_attempts:
        return False
    if retries.cost_pico is not None and call.spent_pico >= retries.cost_pico:
        return False
    return stages.now_ns() - call.received_ns < min(retries.total_ns, call.patience_ns)


async def _repaired(call: Call, first: _Judged, reply: Reply, stages: Stages) -> bool:
    """Asks once more; whether that answered the call."""
    own = _longer(call, _turns(first.answer, first.wrong))
    second = _Judged(
        call, reply, first.asks, first.look, keeps=False, refuses=first.refuses, spent_pico=call.spent_pico
    )
    second.instead = True
    given = first.head.deployment if first.head is not None else None
    try:
        classified = await stages.classifier.classify(own)
        own.labels, own.found = classified.labels | call.labels, {**call.found, **classified.found}
        own.permitted = call.permitted & stages.interlock.permitted(own)
        decided = deciding.decide(own, stages)
        # Whoever answered knows the question; the sort is stable.
        choices = tuple(sorted(decided.choices, key=lambda one: one is not given))
        own.decision = Decision(choices, f"{decided.reason} repair:{first.wrong}")
        own.decided_ns = stages.now_ns()
        await pursuing.pursue(own, second, stages)
    except CallError as failure:
        if reply.content_sent:
            raise
        forget_frames(failure)
        return False
    finally:
        counted(call, own)
        spent_beside(call, own.spent_pico)
    return second.answered and not second.refused


def _turns(answer: Answered, wrong: str) -> list[dict[str, str]]:
    """What was said, and what is said to it, in words that every dialect takes. A tool's result, which nobody vouches
    for, is no part of it."""
    if wrong == ARGUMENTS:
        said = "\n".join(f"{name}({arguments})" for name, arguments in answer.calls)
        ask = f"{_WRONG[ARGUMENTS]} Nothing was called. Call again, with arguments that fit."
    else:
        said = answer.text
        ask = f"{_WRONG.get(wrong, _DOES_NOT_FIT)} Answer again, with nothing but JSON that fits the schema."
    return [{"role": "assistant", "content": said[:SHOWN_CHARS_MAX]}, {"role": "user", "content": ask}]


def _longer(call: Call, turns: list[dict[str, str]]) -> Call:
    """The call with turns added at its end; apart from it, because guards compare an answer with what its caller said.
    Both are one call in every record, and have one count of attempts."""
    key = "input" if call.api == "responses" else "messages"
    before: Any = call.doc.get(key)
    if isinstance(before, str):
        before = [{"role": "user", "content": before}]
    said = [*cast("list[Any]", before or []), *turns]
    own = Call(
        id=call.id,
        api=call.api,
        snapshot=call.snapshot,
        principal=call.principal,
        body=wire_body.splice(call.body, call.doc, [wire_body.Edit(key, said)]),
        doc={**call.doc, key: said},
        envelope=call.envelope,
        model=call.model,
        workload=call.workload,
        pinned=call.pinned,
        data_header=call.data_header,
        headers=call.headers,
        query=call.query,
        received_ns=call.received_ns,
        auth_ns=call.auth_ns,
        sessions=call.sessions,
        patience_ns=call.patience_ns,
        for_whom=call.for_whom,
        trace=call.trace,
    )
    own.guarded, own.attempts, own.is_counted = call.guarded, call.attempts, call.is_counted
    return own


class _Judged(PassingReply):
    """Implements core.call.Reply over another one, for answers that have to fit `asks`. keeps: one that does not is
    kept from the client, to be asked for again; refuses: else it is refused, on record.

    kept, refused: that happened. answered: the client got something. answer, wrong: what was kept, and what is wrong
    with it. look: has guards look at what is kept. instead: a provider's own error is not passed on, because there is
    something to give. spent_pico: what the tries before cost, told with the rest.
    """

    __slots__ = (
        "_bytes",
        "_call",
        "_cost_pico",
        "_ending",
        "_frames",
        "_keeps",
        "_request",
        "_spent_pico",
        "_unary",
        "answer",
        "answered",
        "asks",
        "head",
        "instead",
        "kept",
        "look",
        "refused",
        "refuses",
        "wrong",
    )

    def __init__(
        self,
        call: Call,
        inner: Reply,
        asks: Wanted,
        look: Callable[[Callable[[Reply], None]], None],
        *,
        keeps: bool,
        refuses: bool,
        spent_pico: int = 0,
    ) -> None:
        super().__init__(inner)
        self._call = call
        self._keeps = keeps
        self._spent_pico = spent_pico
        self._cost_pico: int | None = None
        self.asks = asks
        self.look = look
        self.refuses = refuses
        self.instead = self.answered = self.kept = self.refused = False
        self.answer = Answered("")
        self.wrong = ""
        self._anew(None)

    def _anew(self, head: AnswerHead | None) -> None:
        """An attempt begins to answer; what another one had begun is forgotten."""
        self.head = head
        self._unary = b""
        self._request: Request | None = None
        self._frames: list[Frame] | None = None
        self._bytes = 0
        self._ending: tuple[Usage | None, bool] = (None, False)

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self._anew(head)
        self._unary = body
        self._cost_pico = cost_pico if cost_pico is None else cost_pico + self._spent_pico
        if self._fits(answered_whole(self._call, body)):
            self.give()

    def error(self, head: AnswerHead, body: bytes) -> None:
        if not self.instead:
            self._inner.error(head, body)

    def start(self, head: AnswerHead, request: Request | None) -> None:
        self._anew(head)
        self._request, self._frames = request, []

    def send(self, frames: list[Frame]) -> None:
        if self._frames is None:
            self._inner.send(frames)
            return
        self._frames += frames
        self._bytes += sum([len(frame.raw) or _EVENT_BYTES for frame in frames])
        if self._bytes > HELD_BYTES_MAX:
            self._release()

    def end(self, usage: Usage | None, complete: bool) -> None:
        self._ending = (usage, complete)
        if self._frames is None:
            self._inner.end(usage, complete)
        elif self._fits(answered_in(self._call, self._frames)):
            self.give()

    def give(self) -> None:
        """The client gets what is here."""
        self.answered = True
        self._tell(self._inner)

    def give_unfit(self) -> None:
        """The same for what does not fit and is all there is."""
        assert self.head is not None
        self.head.doubted = True
        with guarding.heard(self._call):
            self.give()

    def _tell(self, reply: Reply) -> None:
        assert self.head is not None
        if self._unary:
            reply.unary(self.head, self._unary, self._cost_pico)
        elif self._frames is not None:
            self._begin(reply, self._frames)
            reply.end(*self._ending)

    def _release(self) -> None:
        frames, self._frames = self._frames, None
        self.answered = True
        self._begin(self._inner, frames or [])

    def _begin(self, reply: Reply, frames: list[Frame]) -> None:
        assert self.head is not None
        reply.start(self.head, self._request)
        if frames:
            reply.send(frames)

    def _fits(self, answer: Answered | None) -> bool:
        """Whether the client may have this answer now. On record is what is wrong with one that it may not."""
        wrong = _wrong(self.asks, answer)
        if answer is None or not wrong or not (self._keeps or self.refuses):
            if wrong and self.head is not None:
                self.head.doubted = True
            return True
        self.answer, self.wrong = answer, wrong
        self.kept, self.refused = self._keeps, not self._keeps
        if self._keeps:
            self.look(self._tell)
        record = self._call.guarded
        assert record is not None
        where = "tool" if wrong == ARGUMENTS else "text"
        verdict = Verdict(NAME, wrong, FLAG if self._keeps else BLOCK, where)
        # Where arguments come as an object, the guard that was just asked has seen no text to judge.
        if verdict.name not in record.counts:
            record.note([verdict])
        return False


def _wrong(asks: Wanted, answer: Answered | None) -> str:
    """What is wrong with an answer that has come to its own end, in a word."""
    if answer is None or answer.refused or answer.finish not in _WHOLE:
        return ""
    found = (asks.of_arguments(name, arguments) for name, arguments in answer.calls)
    return next(filter(None, found), "") or ("" if answer.calls else asks.of_text(answer.text))
