"""Questions in other words: looked up, given or tried by lot, and learnt from every answer that was asked for."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any, cast

import msgspec

from signalbox.cache import scope
from signalbox.cache.entry import Entry
from signalbox.cache.scope import Name
from signalbox.cache.semantic import Asked, Trial, Workspace
from signalbox.cache.verify import ANSWER_CHARS_MAX, Reading
from signalbox.core.caching import Semantic
from signalbox.core.call import Call
from signalbox.core.errors import CallError, ConfigError, LedgerError
from signalbox.core.ports import Errand
from signalbox.embedding.extras import numpy
from signalbox.pipeline.dispatch import Dispatcher
from signalbox.pipeline.stages import Stages

EMBEDDING, JUDGE = "cache-embedding", "cache-judge"
# A look-up that takes longer is not worth having.
EMBED_S_MAX, JUDGE_S_MAX = 2.0, 20.0
# So many answers are judged at once; others are not.
TRIALS_MAX = 64
_VERDICT = (
    "Two answers to nearly the same question follow. Say whether a user who got the second instead of the first would "
    "be told the same, with every fact, number, name and instruction alike. Reply with YES or NO only.\n\n"
    "<first>\n{0}\n</first>\n\n<second>\n{1}\n</second>"
)


class Lookup(msgspec.Struct, frozen=True):
    """A call that the semantic cache may answer. asked: its question. given: an entry that may be given now. mark:
    where the list of invalidations was."""

    workspace: Workspace
    asked: Asked
    given: Entry | None
    mark: int


async def look(call: Call, name: Name, stages: Stages) -> Lookup | None:
    """What is known of a call's question, which is none about now unless these are kept; None where it is none of this
    cache's business, or cannot be told now."""
    caching, cache = call.workload.cache, stages.cache
    if caching is None or caching.semantic is None or call.api == "embeddings":
        return None
    workspace = cache.semantic.of(call.workload.name)
    # What a guard would do to these words is not what it did to others.
    guarded = call.workload.guards and stages.guards.of(call.workload.name).requests
    if workspace is None or guarded:
        return None
    found = scope.partition(call, caching, name, cache.secret, workspace.encoder)
    mark = await cache.heard() if found is not None else -1
    if found is None or mark < 0:
        return None
    try:
        vector = await _embedded(call, caching.semantic, found[1], stages) if caching.semantic.embedding else None
    except (CallError, LedgerError, ValueError):
        return None
    asked = await cache.semantic.look(workspace, *found, vector, stages.time_ms())
    if asked is None:
        cache.count(call.workload.name, "busy")
        return None
    candidate = asked.candidate
    if candidate is None or name.refresh:
        return Lookup(workspace, asked, None, mark)
    workspace.risk.see(candidate.relation, candidate.score)
    trusted = workspace.risk.trusts(candidate.relation, candidate.score)
    if trusted and random.random() < caching.semantic.audit_share:  # noqa: S311 (a sample, no secret)
        cache.count(call.workload.name, "audited")
        trusted = False
    entry = candidate.known.entry
    # It took a while: what was invalidated meanwhile is not given.
    given = trusted and await cache.holds(entry.tags, mark)
    return Lookup(workspace, asked, entry if given else None, mark)


def learn(call: Call, lookup: Lookup, entry: Entry, text: str, settings: Semantic, stages: Stages) -> None:
    """Takes an answer that was asked for: a trial of what would have been given, and a new known question."""
    kept = msgspec.structs.replace(entry, expires_ms=entry.stored_ms + round(settings.ttl_s * 1000))
    learnt = Learnt(lookup, kept, text[:ANSWER_CHARS_MAX])
    judged = bool(settings.judge) and len(text) <= ANSWER_CHARS_MAX
    told = stages.cache.semantic.learn(lookup.workspace, lookup.asked, kept, text, judged=judged)
    if told is not None:
        told.add_done_callback(partial(_tried, call, learnt, settings.judge, stages))


class Learnt(msgspec.Struct, frozen=True):
    """A fresh answer to a question that was looked up, with its text as far as a judge is told it."""

    lookup: Lookup
    entry: Entry
    text: str


def _tried(call: Call, learnt: Learnt, judge: str, stages: Stages, told: asyncio.Future[Trial]) -> None:
    if told.cancelled() or told.exception() is not None:
        return
    trial = told.result()
    if trial.doubtful:
        stages.trials.later(call, _judge(call, learnt, trial.answer, judge, stages))
    elif trial.right is not None:
        _observe(call, learnt, trial.right, stages)


def _observe(call: Call, learnt: Learnt, right: bool, stages: Stages) -> None:
    candidate = learnt.lookup.asked.candidate
    assert candidate is not None
    learnt.lookup.workspace.risk.observe(candidate.relation, candidate.score, right=right)
    stages.cache.count(call.workload.name, "tried_right" if right else "tried_wrong")


async def _judge(call: Call, learnt: Learnt, answer: Reading, judge: str, stages: Stages) -> None:
    """Asks whether two answers agree; where nobody can tell, the new question stands by itself."""
    lookup = learnt.lookup
    assert lookup.asked.candidate is not None
    right = await _judged(call, learnt.text, lookup.asked.candidate.known.answer, judge, stages)
    # It took a while: what was invalidated meanwhile is not kept.
    if stages.cache.mark() != lookup.mark:
        return
    if right is not None:
        _observe(call, learnt, right, stages)
    stages.cache.semantic.keep(lookup.workspace, lookup.asked, learnt.entry, answer, right)


async def _embedded(call: Call, settings: Semantic, text: str, stages: Stages) -> Any:
    """The vector that a deployment makes of a text, of unit length. Raises CallError or ValueError."""
    errand = Errand(EMBEDDING, "embeddings", {"input": text}, settings.embedding, EMBED_S_MAX)
    fetched = await Dispatcher(stages).ask(call, errand)
    try:
        values = numpy().asarray(_first_vector(fetched.body), dtype="float32")
    except (ConfigError, KeyError, IndexError, TypeError, msgspec.MsgspecError) as error:
        raise ValueError("the answer holds no vector") from error
    length = float((values @ values) ** 0.5)
    if values.ndim != 1 or not 0 < length < float("inf"):
        raise ValueError("the answer holds no vector")
    return values / length


def _first_vector(body: bytes) -> list[float]:
    doc: Any = msgspec.json.decode(body)
    return cast("list[float]", doc["data"][0]["embedding"])


async def _judged(call: Call, text: str, known: Reading, judge: str, stages: Stages) -> bool | None:
    """What a model says of two answers; None when it cannot be asked or does not say. The known one is told by its
    words in order, which is all that is kept of it."""
    prompt = _VERDICT.format(" ".join(known.tokens), text[:ANSWER_CHARS_MAX])
    doc = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 16, "temperature": 0}
    try:
        fetched = await Dispatcher(stages).ask(call, Errand(JUDGE, "chat", doc, judge, JUDGE_S_MAX))
        answer: Any = msgspec.json.decode(fetched.body)
        verdict = str(answer["choices"][0]["message"]["content"]).strip().upper()
    except (CallError, LedgerError, ValueError, KeyError, IndexError, TypeError, msgspec.MsgspecError):
        return None
    return True if verdict.startswith("YES") else False if verdict.startswith("NO") else None
