"""One try at one deployment: the body it gets, its permit, its records, its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from signalbox.core.call import Call, Reply
from signalbox.core.errors import AnswerCut, CallError, LedgerError, Unsupported, UpstreamAnswer, UpstreamFault
from signalbox.core.permit import Permit
from signalbox.core.records import CANCELLED, FAILED, SETTLED, UNKNOWN, Opened
from signalbox.core.snapshot import Deployment
from signalbox.core.together import FEW
from signalbox.core.usage import NO_USAGE
from signalbox.pipeline import guarding, money, stream
from signalbox.pipeline.affinity import response_id
from signalbox.pipeline.provider_words import refusal
from signalbox.pipeline.salting import salted
from signalbox.pipeline.settlement import is_told, settle, told_to_client
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.state import Attempt
from signalbox.pipeline.unstored import unstored
from signalbox.pricing.tariff import charge
from signalbox.routing.replica import Replica
from signalbox.routing.translation import target_api, translated
from signalbox.upstream.head import extend
from signalbox.upstream.providers import PROVIDERS
from signalbox.upstream.time_share import TimeShare
from signalbox.upstream.transport import Unsent, UpstreamResponse
from signalbox.wire import body as wire_body
from signalbox.wire.parameters import as_sent
from signalbox.wire.surrogates import mended
from signalbox.wire.table import DIALECTS

ERROR_BYTES_MAX = 64 * 1024
ANSWER_BYTES_MAX = 64 * 1024 * 1024


def attempt(
    call: Call, deployment: Deployment, replica: Replica, reply: Reply, stages: Stages, share: TimeShare | None = None
) -> Coroutine[Any, Any, None]:
    """Answer `call` from `deployment` at `replica`. Raises UpstreamAnswer or UpstreamFault when it failed to; the
    caller decides whether another attempt may be made. Whatever happens, this one is settled in the journal exactly
    once. share: what it may take of its client's time. (A plain function: it goes straight to the exchange where
    nothing has to be awaited before.)"""
    api = target_api(call.api, deployment)
    if api is None:
        raise Unsupported(f"{deployment.name!r} cannot serve {call.api}.")
    this = Attempt.of(call, deployment, api, stages.now_ns(), share)
    if call.workload.guards or stages.budgets.any or call.principal.budget_pico is not None:
        return _prepared(this, replica, reply, stages)
    return _judged(this, _body(this, stages), replica, reply, stages)


async def _prepared(this: Attempt, replica: Replica, reply: Reply, stages: Stages) -> None:
    """An attempt whose bytes go past guards, or that has to be paid for."""
    call = this.call
    body = _body(this, stages)
    if call.workload.guards:
        body = await guarding.outgoing(this, body, stages)
    if stages.budgets.any or call.principal.budget_pico is not None:
        body = await money.reserve(this, body, stages)
    try:
        await _judged(this, body, replica, reply, stages)
    finally:
        if this.hold is not None:
            money.settle(this, NO_USAGE)  # it was never opened


async def _judged(this: Attempt, body: bytes, replica: Replica, reply: Reply, stages: Stages) -> None:
    """The attempt with its final bytes: permit, record, exchange, settlement."""
    call, deployment, api = this.call, this.deployment, this.api
    if api != call.api or this.guard:
        await stages.classifier.prepare(call, body, guarded=bool(this.guard))
    permit = stages.interlock.permit(call, deployment, this.id, api, body, this.guard)
    this.permit = permit
    _open(this, permit, stages)
    group = stages.fleet.groups[deployment.index]
    group.active += 1
    shares = group.shares
    if shares is not None:
        shares.begin(call.workload.name)
    replica.begin(this.started_ns)
    state, error, upstream = UNKNOWN, "", None
    try:
        if stages.durable:
            await stages.journal.synced()
        head = PROVIDERS[deployment.protocol].request(
            deployment, api, call.headers, call.query, this.id, idempotency_scope=call.principal.key_id
        )
        if call.trace is not None and call.trace.propagate:
            head = extend(head, ((b"traceparent", call.trace.header(this.id)),))
        streams = call.envelope.stream
        share = this.share
        if share is not None:
            share = share.after((stages.now_ns() - this.started_ns) / 1e9)
        upstream = await stages.transport.send(
            permit, replica.origin, head, stream=streams, until_content=streams, share=share, entry=this.entry
        )
        call.queue_us, call.connect_us, call.ttfb_us = upstream.queue_us, upstream.connect_us, upstream.ttfb_us
        if upstream.status != 200:
            raise UpstreamAnswer(upstream.status, upstream.headers, await upstream.body(ERROR_BYTES_MAX))
        if streams:
            await stream.relay(this, upstream, reply, stages)
        else:
            _unary(this, upstream, upstream.whole() or await upstream.body(ANSWER_BYTES_MAX), reply, stages)
        state, error = SETTLED, "budget" if this.cut else ""
        now_ns = stages.now_ns()
        if api == "responses" == call.api:
            call.answer_id = response_id(this.opening)
        first_ns = this.ttft_ns - this.started_ns if this.ttft_ns else 0
        replica.succeeded(now_ns, first_ns, now_ns - this.started_ns, this.out_events)
    except asyncio.CancelledError as gone:
        this.unsent = isinstance(gone, Unsent)
        # Whoever asked is gone, or this process is (its grace at shutdown is over), or another attempt was faster.
        usual = "shutdown" if stages.limits.draining else "client_gone"
        state, error = (SETTLED if this.ended else CANCELLED), str(gone.args[0]) if gone.args else usual
        if this.unsent:
            raise asyncio.CancelledError(*gone.args) from None
        raise
    except AnswerCut:
        state, error = SETTLED, "guard"  # what may be shown of it was, and so was its end
    except LedgerError:
        this.unsent = True
        state, error = FAILED, "journal"
        raise
    except UpstreamAnswer as answer:
        state, error = FAILED, str(answer.status)
        raise
    except CallError:
        state, error = (SETTLED if this.ended else UNKNOWN), "gateway"
        raise
    except UpstreamFault as fault:
        this.unsent = not fault.sent
        # An answer that came whole, and of which no use can be made, told what it cost.
        state, error = (SETTLED if this.ended else UNKNOWN if fault.sent else FAILED), fault.kind
        raise
    finally:
        group.active -= 1
        if shares is not None:
            shares.end(call.workload.name)
        replica.end()
        if upstream is not None:
            upstream.release(ended=this.ended)
        if api == "responses" == call.api and stages.owners.shared:
            stages.owners.keep(call, this.opening, this.closing)
        settle(this, state, error, upstream, stages)


def _body(this: Attempt, stages: Stages) -> bytes:
    """The bytes for this deployment: the client's own apart from the licensed edits, or a translation."""
    call, deployment = this.call, this.deployment
    if this.api == call.api:
        if deployment.betas is not None:
            this.left_out = _left_out(this, ())
        envelope = call.envelope
        edits = (
            _edits(this, stages)
            if envelope.stream or envelope.onward or deployment.cache_salt or deployment.no_store
            else None
        )  # most calls get none
        if edits:
            if call.model != deployment.model:
                edits.append(wire_body.Edit("model", deployment.model))
            return wire_body.splice(call.body, call.doc, edits)
        return call.body if call.model == deployment.model else wire_body.rename(call.body, call.doc, deployment.model)
    if call.hub is None:
        call.hub = DIALECTS[call.api].read_request(call.doc)
    this.api, hub, written = translated(call.api, call.hub, deployment, call.workload.max_tokens_default)
    this.hub = hub
    hub.dropped = list(_left_out(this, as_sent(call.api, hub.dropped)))
    if deployment.cache_salt or deployment.no_store:
        doc = wire_body.parse(written)
        edits = [*unstored(deployment, this.api, doc), *salted(call, deployment, this.api, stages.salt)]
        written = wire_body.splice(written, doc, edits) if edits else written
    return written


def _left_out(this: Attempt, parameters: Sequence[str]) -> tuple[str, ...]:
    """Everything that the client said and this deployment is not told: parameters of its body, and beta features that
    its headers name. Raises Unsupported where the workload is strict."""
    call, deployment = this.call, this.deployment
    betas = PROVIDERS[deployment.protocol].betas_left_out(deployment, this.api, call.headers)
    names = (*parameters, *betas)
    if names and call.workload.strict:
        listed = ", ".join(sorted(set(names)))
        raise Unsupported(f"{deployment.name!r} cannot honour: {listed}; the workload is strict.", param=names[0])
    return names


def _edits(this: Attempt, stages: Stages) -> list[wire_body.Edit]:
    """The licensed edits of a pass-through body besides the model's name, each one splice."""
    call, deployment = this.call, this.deployment
    edits: list[wire_body.Edit] = []
    wants_usage = call.envelope.stream and not call.envelope.include_usage and deployment.stream_usage
    if wants_usage and this.api in ("chat", "completions"):
        edits.append(wire_body.Edit("stream_options.include_usage", True))
    if "store" in call.envelope.onward and stages.interlock.writes_no_store(deployment):
        edits.append(wire_body.Edit("store", False))
    elif deployment.no_store:
        edits += unstored(deployment, this.api, call.doc)
    return edits + salted(call, deployment, this.api, stages.salt) if deployment.cache_salt else edits


def _open(this: Attempt, permit: Permit, stages: Stages) -> None:
    """On record before the first byte leaves; LedgerError keeps it from leaving."""
    call, deployment, envelope, principal = this.call, this.deployment, this.call.envelope, this.call.principal
    this.reserved_in = money.input_bound(this, permit.body, stages.metering.of(deployment.name, this.api))
    this.opened_ms = stages.time_ms()
    whom = call.for_whom
    # Who asked for a stream waits for its first token.
    at_once = stages.durable or envelope.stream or len(stages.open) < FEW
    this.entry = (stages.journal.append if at_once else stages.journal.enter)(
        Opened(  # by position: by name takes four times as long
            this.id,
            call.id,
            this.opened_ms,
            principal.tenant,
            principal.team,
            principal.key_id,
            call.workload.name,
            deployment.name,
            deployment.environment.name,
            deployment.model,
            this.api,
            permit.labels.names(),
            f"{permit.reason} rescue" if call.rescued else permit.reason,
            call.snapshot.version,
            call.attempts,
            envelope.stream,
            this.reserved_in,
            this.limit * envelope.n,
            deployment.rates if deployment.tariff is None else money.rates_bound(this, permit.body),
            len(permit.body),
            call.found,
            whom.user,
            whom.session,
            whom.tags,
            this.hold.paid_from if this.hold is not None else (),
        )
    )
    stages.open.opened(this.id)


def _translated(this: Attempt, body: bytes, stages: Stages) -> bytes:
    """A whole answer in the client's dialect. An upstream's answer that has no form there is its fault: another
    deployment may do better."""
    call, hub = this.call, this.hub
    try:
        answer = DIALECTS[this.api].read_response(body)
        if hub is not None:
            answer.freeform = frozenset(tool.name for tool in hub.tools if tool.freeform)
        # Not every API tells when; a client that shows it would show 1970.
        answer.created_s = answer.created_s or this.opened_ms // 1000
        written = DIALECTS[call.api].write_response(answer, told_to_client(this, stages))
    except ValueError:
        raise UpstreamFault("protocol", "the upstream's answer has not the shape of its API", sent=True) from None
    if hub is not None:
        hub.dropped += answer.dropped
    return written


def _unary(this: Attempt, upstream: UpstreamResponse, body: bytes, reply: Reply, stages: Stages) -> None:
    call, deployment = this.call, this.deployment
    dialect = DIALECTS[this.api]
    seen = dialect.seen(body)
    if not seen.ok:
        body = mended(body)
        seen = dialect.seen(body)
    if not seen.ok:
        refused = refusal(this.api, *seen.error, body) if seen.error is not None else None
        if refused is not None:
            raise UpstreamAnswer(refused[0], upstream.headers, refused[1])
        raise UpstreamFault("protocol", "the upstream's answer is not an answer of its API", sent=True)
    this.usage, this.ended, this.out_chars = seen.usage, True, seen.content_chars
    this.opening = body
    if this.usage is not None and is_told(this.usage, this.out_chars):
        this.cost_pico = charge(this.usage, deployment.rates, deployment.tariff, this.opened_ms)
    if this.api != call.api:
        body = _translated(this, body, stages)
    reply.unary(this.head(upstream), body, this.cost_pico)
