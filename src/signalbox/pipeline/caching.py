"""Calls of workloads that keep answers: given from the cache where the rules allow it, else asked once and kept.

The rules have judged the call before it comes here. A kept answer is given only if the deployment that once gave it
could be asked by this very call now, and passes the guards of this very call; nothing leaves then, and the ledger has a
row that says so, at no cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from signalbox.cache import question, scope
from signalbox.cache.entry import BODY, EVENTS, Entry
from signalbox.cache.exact import Flight
from signalbox.cache.scope import Name
from signalbox.core.caching import Caching
from signalbox.core.call import AnswerHead, Call, Reply
from signalbox.core.errors import (
    AnswerCut,
    BadGateway,
    GuardFailed,
    PlacementUnavailable,
    UpstreamRejected,
    UpstreamTimeout,
)
from signalbox.core.records import CACHED, Opened, Settled
from signalbox.core.snapshot import Deployment
from signalbox.core.stream import Frame, Seen
from signalbox.core.usage import NO_USAGE, PICO
from signalbox.pipeline import guarding, meaning
from signalbox.pipeline.recorder import Recorder
from signalbox.pipeline.settlement import verdicts_of
from signalbox.pipeline.stages import Stages
from signalbox.wire.table import DIALECTS

# Stands for "the call is answered".
GIVEN = Flight(0)
Answering = Callable[[Call, Reply, Stages], Awaitable[None]]
# Who waits for somebody else's answer waits no longer than this; then they ask themselves.
JOIN_S_MAX = 120.0
# Answers from this length on are read in a thread.
LONG_BYTES = 64 << 10
# After so many askers in a row got no answer, those who wait are told what the last of them was told.
FAILURES_MAX = 2
# What the provider did, and would do to everybody who asks the same at this moment.
_COMMON = (BadGateway, UpstreamTimeout, PlacementUnavailable, UpstreamRejected)


async def answer(call: Call, reply: Reply, stages: Stages, ask: Answering) -> None:
    """Answers a decided call of a workload with a cache. ask: how it is answered without one."""
    caching = call.workload.cache
    assert caching is not None
    name = scope.name(call, caching, stages.cache.secret)
    if isinstance(name, str):
        _count(call, stages, f"bypass_{name}")
        await ask(call, reply, stages)
        return
    before = await _known(call, reply, stages, caching, name)
    if before is GIVEN:
        return
    if not caching.time_dependent and call.api != "embeddings" and question.about_now(call.doc):
        _count(call, stages, "bypass_now")
        await ask(call, reply, stages)
        return
    flight = _begun(stages, caching, name, before)
    try:
        await _lead(call, reply, stages, ask, caching, name, flight)
    except _COMMON as error:
        if flight is not None:
            flight.failures += 1
            flight.error = error if flight.failures >= FAILURES_MAX else None
        raise
    except Exception:
        # Whose budget is used up, or whom the rules refuse, says nothing about the others.
        if flight is not None:
            flight.alone = True
        raise
    finally:
        if flight is not None:
            del stages.cache.flights[name.key]
            flight.over.set()


def _begun(stages: Stages, caching: Caching, name: Name, before: Flight | None) -> Flight | None:
    """The flight of a call that looks further, so that equal ones wait for it; None where each goes by itself. before:
    the one that ended without an answer."""
    flights = stages.cache.flights
    if not caching.single_flight or name.key in flights or (before is not None and before.alone):
        return None
    flight = flights[name.key] = Flight(before.failures if before is not None else 0)
    return flight


async def _known(call: Call, reply: Reply, stages: Stages, caching: Caching, name: Name) -> Flight | None:
    """Gives the answer to the very same question, or to an equal call under way, and returns GIVEN. Otherwise the
    flight that ended without an answer for this call, or None when there was none."""
    flight = None
    if not caching.exact_ttl_s:
        return None
    while not name.refresh:
        entry = await stages.cache.look_up(name)
        if entry is not None and (by := _giver(call, entry)) is not None:
            give(call, reply, stages, entry, by, "exact" if flight is None else "joined")
            return GIVEN
        if not caching.single_flight or (flight is not None and flight.alone):
            break
        earlier, flight = flight, stages.cache.flights.get(name.key)
        if flight is None:
            return earlier
        await _wait(flight)
        if flight.error is not None:
            raise flight.error
    return flight


async def _wait(flight: Flight) -> None:
    try:
        async with asyncio.timeout(JOIN_S_MAX):
            await flight.over.wait()
    except TimeoutError:
        flight.alone = True


async def _lead(
    call: Call, reply: Reply, stages: Stages, ask: Answering, caching: Caching, name: Name, flight: Flight | None
) -> None:
    """Gives what was answered to the same in other words; else asks, and keeps the answer for those who wait."""
    lookup = await meaning.look(call, name, stages) if caching.semantic is not None else None
    if lookup is not None and lookup.given is not None and (by := _giver(call, lookup.given)) is not None:
        if flight is not None:
            flight.alone = True
        give(call, reply, stages, lookup.given, by, "semantic")
        return
    _count(call, stages, "miss")
    since, recorder = stages.cache.mark(), Recorder(reply)
    await ask(call, recorder, stages)
    entry = await _entry(call, recorder, caching, stages)
    if entry is not None:
        _keep(call, entry, recorder, name, since, lookup, stages)
    elif flight is not None:
        flight.failures += recorder.refused
        flight.alone = not recorder.refused or flight.failures >= FAILURES_MAX


def _keep(
    call: Call,
    entry: Entry,
    recorder: Recorder,
    name: Name,
    since: int,
    lookup: meaning.Lookup | None,
    stages: Stages,
) -> None:
    caching, cache = call.workload.cache, stages.cache
    assert caching is not None
    if not cache.current(entry.tags, since):
        return
    if caching.exact_ttl_s:
        cache.keep(name, entry, since)
    if lookup is not None and caching.semantic is not None and recorder.text:
        meaning.learn(call, lookup, entry, recorder.text, caching.semantic, stages)


async def _entry(call: Call, recorder: Recorder, caching: Caching, stages: Stages) -> Entry | None:
    """What is kept of an answer that has ended well; None when it is for whoever asked only."""
    head = recorder.head
    if head is None or head.doubted:
        return None
    keepable = partial(recorder.keepable, call.api, caching.safe_tools)
    # To read all events of a long stream once more takes milliseconds, in which the loop is to serve others.
    if not (keepable() if len(recorder.content) < LONG_BYTES else await asyncio.to_thread(keepable)):
        return None
    if call.guarded is not None and call.guarded.skipped:
        return None  # a guard that failed has not seen it
    now_ms = stages.time_ms()
    return Entry(
        form=recorder.form,
        content=recorder.content,
        deployment=head.deployment.name,
        attempt=f"{call.id}-{call.attempts}",
        cost_pico=call.spent_pico,
        stored_ms=now_ms,
        expires_ms=now_ms + round(caching.exact_ttl_s * 1000),
        tags=scope.tags(call, caching, head.deployment.name, head.deployment.model),
        dropped=head.dropped,
        complete=recorder.complete,
        usage=recorder.usage,
    )


def _giver(call: Call, entry: Entry) -> Deployment | None:
    """The deployment that gave the answer, if this call might ask it now."""
    assert call.decision is not None
    return next((one for one in call.decision.choices if one.name == entry.deployment), None)


def give(call: Call, reply: Reply, stages: Stages, entry: Entry, by: Deployment, kind: str) -> None:
    """Answers from an entry, and books it: a row that cost nothing, with what it saved."""
    age_s = max(0, stages.time_ms() - entry.stored_ms) // 1000
    reason = f"cache:{kind}"
    head = AnswerHead(200, by, reason, [], entry.dropped, cache=f"hit; kind={kind}; age={age_s}")
    _begin(call, stages, entry, by, reason)
    error = ""
    try:
        # Guards have seen the answer, but for another call: what its caller had said itself, this one may not have.
        _tell(call, guarding.through(call, reply, stages), entry, head)
    except AnswerCut:
        error = "guard"
    except GuardFailed:
        error = "gateway"
        raise
    finally:
        _end(call, stages, entry, error)
    _count(call, stages, kind)
    if entry.cost_pico:
        stages.metrics.add(("signalbox_cache_saved_usd_total", call.workload.name), entry.cost_pico / PICO)
        stages.cache.count(call.workload.name, "saved_pico", entry.cost_pico)


def _tell(call: Call, reply: Reply, entry: Entry, head: AnswerHead) -> None:
    if entry.form == BODY:
        reply.unary(head, entry.content, 0)
    elif entry.form == EVENTS:
        request = DIALECTS[call.api].read_request(call.doc)
        request.expected_in = entry.usage.input_total if entry.usage is not None else 0
        reply.start(head, request)
        reply.send([Frame(b"", entry.events(), Seen())])
        reply.end(entry.usage, entry.complete)
    else:
        reply.start(head, None)
        reply.send([Frame(entry.content, None, Seen())])
        reply.end(entry.usage, entry.complete)


def _begin(call: Call, stages: Stages, entry: Entry, by: Deployment, reason: str) -> None:
    principal = call.principal
    stages.journal.append_soon(
        Opened(
            attempt_id=f"{call.id}-cache",
            call_id=call.id,
            time_ms=stages.time_ms(),
            tenant=principal.tenant,
            team=principal.team,
            key_id=principal.key_id,
            workload=call.workload.name,
            deployment=by.name,
            environment=by.environment.name,
            model=by.model,
            api=call.api,
            labels=call.labels.names(),
            reason=f"{reason} {entry.attempt}",
            config=call.snapshot.version,
            stream=call.envelope.stream,
            found=call.found,
            user=call.for_whom.user,
            session=call.for_whom.session,
            tags=call.for_whom.tags,
        )
    )


def _end(call: Call, stages: Stages, entry: Entry, error: str) -> None:
    stages.journal.append_soon(
        Settled(
            attempt_id=f"{call.id}-cache",
            time_ms=stages.time_ms(),
            state=CACHED,
            usage=NO_USAGE,
            source="none",
            cost_pico=0,
            error=error,
            saved_pico=entry.cost_pico or 0,
            duration_ms=(stages.now_ns() - call.received_ns) // 1_000_000,
            guards=verdicts_of(call, stages),
        )
    )


def _count(call: Call, stages: Stages, outcome: str) -> None:
    stages.metrics.add(("signalbox_cache_lookups_total", call.workload.name, outcome))
    stages.cache.count(call.workload.name, outcome)
