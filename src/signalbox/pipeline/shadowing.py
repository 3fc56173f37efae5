"""The shadow slice: a few calls, drawn by lot, are asked of the other model of a pair as well, and label themselves.

The client notices nothing: its answer has ended before the other model is asked, as an errand under the same rules,
permit, journal and budgets. The comparison says whether the weak answer would have done, and that, with the features of
the question and the probability of the draw, is a labelled row for `signalbox router fit --from-ledger`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from signalbox.core.call import Call, Principal, Reply
from signalbox.core.errors import CallError, ConfigError, LedgerError, StoreError
from signalbox.core.ports import Errand
from signalbox.core.shadowing import Shadow
from signalbox.core.snapshot import INFRA
from signalbox.pipeline.dispatch import Dispatcher
from signalbox.pipeline.judging import APIS, answered_whole
from signalbox.pipeline.recorder import Recorder
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.tiering import meaning
from signalbox.routing.answers import conclusion
from signalbox.routing.difficulty.features import features
from signalbox.routing.difficulty.question import asked

Answering = Callable[[Call, Reply, Stages], Awaitable[None]]
SHADOW, JUDGE = "shadow", "shadow-judge"
SHADOW_S, JUDGE_S = 120.0, 30.0
# So many comparisons go on at once; further draws come to nothing.
COMPARISONS_MAX = 32
TEXT_CHARS_MAX = 8000
_WHO = Principal(key_id=INFRA, tenant=INFRA, team="", workloads=None, deployments=frozenset())
_VERDICT = (
    "A question and two answers to it follow. Say whether the first answer serves whoever asked at least as well as "
    "the second: as right, as complete, as much as was asked for. Reply with YES or NO only.\n\n"
    "<question>\n{0}\n</question>\n\n<first>\n{1}\n</first>\n\n<second>\n{2}\n</second>"
)


async def beside(call: Call, reply: Reply, stages: Stages, ask: Answering) -> None:
    """Answers a decided call of a workload with a shadow slice. ask: how it is answered without one."""
    settings = call.workload.shadow
    if settings is None or not stages.shadows.drawn(settings):
        await ask(call, reply, stages)
        return
    why = _why_not(call, settings, stages)
    if why:
        _count(call, stages, why)
        await ask(call, reply, stages)
        return
    recorder = Recorder(reply, miss=False)
    await ask(call, recorder, stages)
    if recorder.keepable(call.api, frozenset()) and recorder.head is not None and recorder.text:
        mine = recorder.head.deployment.name
        if mine in (settings.weak, settings.strong) and stages.comparisons.later(
            call, _compared(call, settings, mine, recorder.text, stages)
        ):
            return
    _count(call, stages, "unread")


def _why_not(call: Call, settings: Shadow, stages: Stages) -> str:
    """Why a drawn call is not asked twice, in a word; empty when it is."""
    envelope = call.envelope
    if call.workload.guards:
        # What the client got is not what its model said.
        return "guards"
    if call.labels.level > settings.level_max:
        return "class"
    if call.api not in APIS or envelope.n > 1 or envelope.stateful or envelope.onward or envelope.opaque:
        return "unread"
    if call.doc.get("tools"):
        return "tools"
    named = [call.snapshot.deployment_by_name.get(name) for name in (settings.weak, settings.strong, settings.judge)]
    if any(one is not None and not one.rates.priced for one in named):
        return "unpriced"
    return "spent" if stages.shadows.spent(call.workload.name, stages.time_ms()) >= settings.day_pico else ""


async def _compared(call: Call, settings: Shadow, mine: str, text: str, stages: Stages) -> None:
    """Asks the other one, compares, and writes the row; what goes wrong only means that there is none."""
    before = call.spent_pico
    try:
        good = await _is_good(call, settings, mine, text, stages)
    except (CallError, LedgerError, ConfigError, ValueError):
        good = None
    finally:
        stages.shadows.pay(call.workload.name, stages.time_ms(), call.spent_pico - before)
    if good is None:
        _count(call, stages, "failed")
        return
    vector = call.meaning
    if vector is None and call.workload.tiered is not None and call.workload.tiered.encoder:
        vector = await meaning(call, stages)
    try:
        await asyncio.to_thread(
            stages.shadows.book.add,
            call.workload.name,
            (settings.weak, settings.strong),
            msgspec.structs.replace(features(asked(call.doc)), vector=vector),
            (float(good), 1.0),
            settings.share,
            stages.time_ms(),
            "" if vector is None else stages.encoding.id,
        )
    except StoreError:
        _count(call, stages, "failed")
        return
    _count(call, stages, "agreed" if good else "differed")


async def _is_good(call: Call, settings: Shadow, mine: str, text: str, stages: Stages) -> bool | None:
    """Whether the weak answer would have done; None where nobody can tell."""
    other = settings.strong if mine == settings.weak else settings.weak
    doc = {name: value for name, value in call.doc.items() if name not in ("model", "stream", "stream_options")}
    purpose = f"{SHADOW} p={settings.share:.4f}"
    fetched = await _errand(call, Errand(purpose, call.api, doc, other, SHADOW_S), settings, stages)
    if fetched.deployment != other:
        return None
    answered = answered_whole(call, fetched.body)
    if answered is None or not answered.text or answered.finish not in ("stop", "stop_sequence"):
        return None
    weak, strong = (text, answered.text) if mine == settings.weak else (answered.text, text)
    if conclusion(weak) == conclusion(strong):
        return True
    if not settings.judge:
        return False
    question = asked(call.doc).text
    prompt = _VERDICT.format(*(each[:TEXT_CHARS_MAX] for each in (question, weak, strong)))
    wanted = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 16, "temperature": 0}
    fetched = await _errand(call, Errand(JUDGE, "chat", wanted, settings.judge, JUDGE_S), settings, stages)
    return _verdict(fetched.body)


def _errand(call: Call, errand: Errand, settings: Shadow, stages: Stages) -> Coroutine[Any, Any, Any]:
    return Dispatcher(stages, _WHO if settings.infra else None).ask(call, errand)


def _verdict(body: bytes) -> bool | None:
    try:
        answer: Any = msgspec.json.decode(body)
        said = str(answer["choices"][0]["message"]["content"]).strip().upper()
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError):
        return None
    return True if said.startswith("YES") else False if said.startswith("NO") else None


def _count(call: Call, stages: Stages, outcome: str) -> None:
    stages.metrics.add(("signalbox_shadow_calls_total", call.workload.name, outcome))
