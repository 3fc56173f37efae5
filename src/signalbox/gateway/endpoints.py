"""The data plane's endpoints: from bytes to a call, and the list of models."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import msgspec

from signalbox.core.call import PATIENT_NS, Call, Principal
from signalbox.core.errors import BadRequest, CallError, Overloaded, forget_frames
from signalbox.core.labels import NONE, Labels
from signalbox.core.snapshot import Snapshot
from signalbox.core.tracing import Trace
from signalbox.gateway.access import authenticated
from signalbox.gateway.attribution import for_whom
from signalbox.gateway.auth import Keyring
from signalbox.gateway.deadline import SECOND_NS, SILENCE_HEADERS, TIMEOUT_HEADERS, patience_ns
from signalbox.gateway.framing import Headers
from signalbox.gateway.http import Connection
from signalbox.gateway.idempotency import Answers, Kept
from signalbox.gateway.reply import JSON, HttpReply, RecordedReply, send_body
from signalbox.gateway.request import Request
from signalbox.pipeline.count import count_tokens
from signalbox.pipeline.run import handle
from signalbox.pipeline.stages import Stages
from signalbox.policy.access import resolve
from signalbox.policy.classify import declared
from signalbox.policy.stops import Stops
from signalbox.wire import body as wire_body
from signalbox.wire.dialect import Dialect

MODEL_CHARS_MAX = 256
NAME = itemgetter(0)
# What clients name their conversations with.
SESSION_HEADERS = frozenset((b"x-signalbox-session", b"x-claude-code-session-id", b"session-id", b"thread-id"))
TOLD_HEADERS = SESSION_HEADERS | TIMEOUT_HEADERS
CONTENT_TYPE = b"content-type"
# All that say something about a call besides its credential and that its body is JSON.
MEANT_HEADERS = TOLD_HEADERS | {b"x-signalbox-workload", b"x-signalbox-data", b"x-signalbox-tags", b"idempotency-key"}
# What nearly every call says of its body.
AS_JSON = (CONTENT_TYPE, JSON)


class Said(NamedTuple):
    """What headers say of a call. patience_ns: how long its client waits. silence_ns: how long it waits for the
    next byte. tags: the header's value."""

    workload: str | None = None
    data: Labels = NONE
    sessions: tuple[str, ...] = ()
    patience_ns: int = PATIENT_NS
    silence_ns: int = PATIENT_NS
    tags: bytes = b""
    idempotency_key: str | None = None


SAYS_NOTHING = Said()


class Plane(Protocol):
    """What the endpoints need of the process that runs them. streams: those that may need a heartbeat. wholes: other
    calls under way. answers: those with idempotency keys."""

    stages: Stages
    keyring: Keyring
    streams: set[HttpReply]
    wholes: set[HttpReply]
    answers: Answers
    stops: Stops

    now_ns: Callable[[], int]
    now_s: Callable[[], float]

    def answered(self, api: str, status: int, received_ns: int) -> None: ...

    def not_ready(self) -> str: ...

    def told(self, failure: Exception, call_id: str) -> CallError: ...


def generate(plane: Plane, request: Request, connection: Connection, dialect: Dialect, call_id: str) -> Awaitable[None]:
    """POST endpoints that talk to a model."""
    stages = plane.stages
    principal = authenticated(plane.keyring, request.headers, plane.now_s(), connection, dialect.api)
    auth_ns = plane.now_ns()
    trace = stages.observer.begin(request.headers, request.received_ns) if stages.observer.traces else None
    call = _call(request, principal, stages.snapshot, dialect, call_id, auth_ns, trace)
    if plane.stops.orders:
        plane.stops.check(call, plane.now_s() * 1000)
    if call.idempotency_key is not None:
        return _once(plane, call, call.idempotency_key, dialect, connection)
    return _answer(plane, call, HttpReply(call, dialect, connection, plane.now_ns), dialect)


async def _once(plane: Plane, call: Call, key: str, dialect: Dialect, connection: Connection) -> None:
    """A call with an idempotency key: the answer that there is, or a new one that is kept when it is whole."""
    found = await plane.answers.find(call, key)
    if isinstance(found, Kept):
        identity = found.call_id.encode()
        headers = [(b"content-type", found.content_type), (b"x-request-id", identity), (b"request-id", identity)]
        headers.append((b"x-signalbox-reason", b"idempotent replay"))
        send_body(connection, 200, headers, found.body)
        plane.answered(dialect.api, 200, call.received_ns)
        return
    recorded = RecordedReply(call, dialect, connection, plane.now_ns)
    try:
        await _answer(plane, call, recorded, dialect)
    finally:
        # A client that closes its connection as soon as it has its answer ends this task: what it got is kept.
        if recorded.whole:
            await found.keep(call.id, recorded.content_type, recorded.body)
        else:
            found.end()


async def _answer(plane: Plane, call: Call, reply: HttpReply, dialect: Dialect) -> None:
    stages = plane.stages
    under_way = plane.streams if call.envelope.stream else plane.wholes
    under_way.add(reply)
    try:
        if dialect.api == "count_tokens":
            await count_tokens(call, reply, stages)
        else:
            await handle(call, reply, stages)
    except asyncio.CancelledError:
        if reply.stopped is not None:
            reply.fail(reply.stopped)
        elif stages.limits.draining:
            # The client is still there: it is us who stop.
            reply.fail(Overloaded("This gateway is shutting down.", retry_after_s=1, close=True))
        raise
    except Exception as failure:
        reply.fail(plane.told(failure, call.id))
        forget_frames(failure)
    finally:
        under_way.discard(reply)
        plane.answered(dialect.api, reply.status, call.received_ns)
        if stages.observer.every or reply.status >= 500:
            stages.observer.end(call, reply.status, reply.code)


def _call(
    request: Request,
    principal: Principal,
    snapshot: Snapshot,
    dialect: Dialect,
    call_id: str,
    auth_ns: int,
    trace: Trace | None,
) -> Call:
    headers = request.headers
    names = list(map(NAME, headers))
    if AS_JSON not in headers or names.count(CONTENT_TYPE) != 1:
        check_content_type(headers)
    said = SAYS_NOTHING if MEANT_HEADERS.isdisjoint(names) else _said(headers)
    doc = wire_body.parse(request.body)
    model = read_model(doc)
    envelope = dialect.envelope(doc)
    workload, pinned = resolve(snapshot, principal, model, said.workload)
    # By position: by name takes as long as all the rest of this function.
    return Call(
        call_id,
        dialect.api,
        snapshot,
        principal,
        request.body,
        doc,
        envelope,
        model,
        workload,
        pinned,
        said.data,
        headers,
        request.query,
        request.received_ns,
        auth_ns,
        said.sessions,
        said.patience_ns if said.silence_ns == PATIENT_NS else _patience_ns(said, envelope.stream, snapshot),
        for_whom(doc, said.sessions, said.tags),
        said.idempotency_key,
        trace,
    )


def _patience_ns(said: Said, stream: bool, snapshot: Snapshot) -> int:
    """Until when something must have come. A stream's heartbeats are bytes too, and come a second late at most."""
    if stream and said.silence_ns > (snapshot.heartbeat_after_s + 1) * SECOND_NS:
        return said.patience_ns
    return min(said.patience_ns, said.silence_ns)


def read_model(doc: dict[str, Any]) -> str:
    model: object = doc.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("`model` must be a non-empty string.", param="model")
    if len(model) > MODEL_CHARS_MAX or not model.isprintable():
        raise BadRequest("`model` is not a model name.", param="model")
    return model


def check_content_type(headers: Headers) -> None:
    for name, value in headers:
        if name == CONTENT_TYPE and value.partition(b";")[0].strip().lower() != JSON:
            raise BadRequest("The body must be JSON: send content-type: application/json.", code="unsupported_media")


def _said(headers: Headers) -> Said:
    workload: str | None = None
    data = NONE
    sessions: tuple[str, ...] = ()
    patience = silence = PATIENT_NS
    tags = b""
    idempotency_key: str | None = None
    for name, value in headers:
        if name not in MEANT_HEADERS:
            continue
        if name == b"x-signalbox-workload":
            named = value.decode("latin-1").strip()
            if workload is not None and named != workload:
                raise BadRequest("Two different x-signalbox-workload headers were sent. Send one.")
            workload = named
        elif name == b"x-signalbox-data":
            data |= declared(value.decode("latin-1"))
        elif name in TOLD_HEADERS and value:
            if name in SILENCE_HEADERS:
                silence = min(silence, patience_ns(name, value) or PATIENT_NS)
            elif name in TIMEOUT_HEADERS:
                patience = min(patience, patience_ns(name, value) or PATIENT_NS)
            else:
                sessions += (value.decode("latin-1"),)
        elif name == b"idempotency-key":
            named = value.decode("latin-1")
            if idempotency_key is not None and named != idempotency_key:
                raise BadRequest("Two different idempotency-key headers were sent. Send one.")
            idempotency_key = named
        elif name == b"x-signalbox-tags":
            tags = tags + b"," + value if tags else value
    return Said(workload, data, sessions, patience, silence, tags, idempotency_key)


def send_json(connection: Connection, document: object, call_id: str) -> None:
    identity = call_id.encode()
    headers = [(b"content-type", JSON), (b"x-request-id", identity), (b"request-id", identity)]
    send_body(connection, 200, headers, msgspec.json.encode(document))


async def healthz(plane: Plane, request: Request, connection: Connection, dialect: Dialect, call_id: str) -> None:
    """GET /healthz: this process runs its loop. It depends on nothing else."""
    send_json(connection, {"status": "ok"}, call_id)


async def readyz(plane: Plane, request: Request, connection: Connection, dialect: Dialect, call_id: str) -> None:
    """GET /readyz: this process takes calls."""
    why = plane.not_ready()
    if why:
        raise Overloaded(why, retry_after_s=1)
    send_json(connection, {"status": "ready", "config": plane.stages.snapshot.version}, call_id)
