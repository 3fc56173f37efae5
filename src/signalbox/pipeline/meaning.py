"""Questions in other words: looked up, given or tried by lot, and learnt from every answer that was asked for."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any, cast

import msgspec

from signalbox.cache import question, scope
from signalbox.cache.entry import Entry
from signalbox.cache.neighbours import Candidate
from signalbox.cache.scope import Name
from signalbox.cache.semantic import Asked, Workspace
from signalbox.cache.verify import REWORDED, Reading, compare, read
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
# Answers whose words are common to this share say the same, if nothing in them is turned round.
SAME_SHARE = 0.8
# Below this score nobody is asked whether two answers agree.
PLAUSIBLE = 0.4
ANSWER_CHARS_MAX = 4000
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
    """What is known of a call's question; None where it is none of this cache's business, or cannot be told now."""
    caching, cache = call.workload.cache, stages.cache
    if caching is None or caching.semantic is None or call.api == "embeddings":
        return None
    workspace = cache.semantic.of(call.workload.name)
    # What a guard would do to these words is not what it did to others.
    guarded = call.workload.guards and stages.guards.of(call.workload.name).requests
    if workspace is None or guarded or (not caching.time_dependent and question.about_now(call.doc)):
        return None
    found = scope.partition(call, caching, name, cache.secret, workspace.encoder)
    mark = await cache.heard() if found is not None else -1
    if found is None or mark < 0:
        return None
    try:
        vector = await _embedded(call, caching.semantic, found[1], stages) if caching.semantic.embedding else None
    except (CallError, LedgerError, ValueError):
        return None
    work = partial(cache.semantic.look, workspace, found[0], found[1], vector, stages.time_ms())
    asked = await asyncio.get_running_loop().run_in_executor(cache.semantic.thread, work)
    candidate = asked.candidate
    if candidate is None or name.refresh:
        return Lookup(workspace, asked, None, mark)
    workspace.risk.see(candidate.relation, candidate.score)
    trusted = workspace.risk.trusts(candidate.relation, candidate.score)
    if trusted and random.random() < caching.semantic.audit_share:  # noqa: S311 (a sample, no secret)
        cache.count(call.workload.name, "audited")
        trusted = False
    return Lookup(workspace, asked, candidate.known.entry if trusted else None, mark)


def learn(call: Call, lookup: Lookup, entry: Entry, text: str, settings: Semantic, stages: Stages) -> None:
    """Takes an answer that was asked for: a trial of what would have been given, and a new known question."""
    candidate = lookup.asked.candidate
    learnt = Learnt(lookup, entry, text[:ANSWER_CHARS_MAX], read(text[:ANSWER_CHARS_MAX]))
    if candidate is None:
        _take(call, learnt, None, stages)
    elif same(learnt.answer, candidate.known.answer):
        _take(call, learnt, True, stages)
    elif settings.judge and candidate.score >= PLAUSIBLE:
        stages.cache.semantic.later(_take_as_judged(call, learnt, candidate, settings.judge, stages))
    else:
        _take(call, learnt, False, stages)


class Learnt(msgspec.Struct, frozen=True):
    """A fresh answer to a question that was looked up."""

    lookup: Lookup
    entry: Entry
    text: str
    answer: Reading


def _take(call: Call, learnt: Learnt, right: bool | None, stages: Stages) -> None:
    """right: whether the candidate's answer would have been; None where nobody can tell."""
    workspace, candidate = learnt.lookup.workspace, learnt.lookup.asked.candidate
    group = 0
    if candidate is not None and right is not None:
        workspace.risk.observe(candidate.relation, candidate.score, right=right)
        stages.cache.count(call.workload.name, "tried_right" if right else "tried_wrong")
        group = candidate.known.group if right else 0
    if not group:
        workspace.groups += 1
        group = workspace.groups
    expires_ms = learnt.entry.stored_ms + round(workspace.settings.ttl_s * 1000)
    kept = msgspec.structs.replace(learnt.entry, expires_ms=expires_ms)
    stages.cache.semantic.keep(workspace, learnt.lookup.asked, kept, learnt.answer, group)


async def _take_as_judged(call: Call, learnt: Learnt, candidate: Candidate, judge: str, stages: Stages) -> None:
    right = await _judged(call, learnt.text, candidate.known.answer, judge, stages)
    # It took a while: what was invalidated meanwhile is not kept.
    if stages.cache.mark() == learnt.lookup.mark:
        _take(call, learnt, right, stages)


def same(one: Reading, other: Reading) -> bool:
    """Whether two answers say the same as far as their words can tell."""
    if one.tokens == other.tokens:
        return True
    if one.firm != other.firm or compare(one, other) != REWORDED:
        return False
    mine, yours = set(one.tokens), set(other.tokens)
    return len(mine & yours) >= SAME_SHARE * len(mine | yours)


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
