"""The end of an attempt in the books: the provider's usage, or an upper estimate of it that says so."""

from __future__ import annotations

import msgspec

from signalbox.core.call import Call
from signalbox.core.records import FAILED, SETTLED, Settled
from signalbox.core.usage import NO_USAGE, PICO, Usage
from signalbox.ledger.estimate import OUT_DEFAULT, Calibration
from signalbox.pipeline import money
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.state import Attempt
from signalbox.pipeline.tracing import seen
from signalbox.pricing.cost import cost
from signalbox.pricing.tariff import charge
from signalbox.routing.trails import lost_pico
from signalbox.upstream.transport import UpstreamResponse
from signalbox.wire.tokens import kind_of

# How long a provider may go on after we closed: what was on its way to us, until it sees the close, until it stops. The
# first two are known where its connections were timed, and otherwise taken to be ROUND_TRIP_S. Where this process is
# behind with its own work, others on its machine may be too; of a stream it has then not read all that had come.
ROUND_TRIP_S = 0.1
STOP_S = 0.03
LAGS = 2
IN_FLIGHT_S_MAX = 1.0
# A stream must have shown so many events before its own pace says more than its deployment's.
_OWN_PACE_EVENTS_MIN = 16
_NO_OUTPUT = frozenset({"embeddings", "count_tokens", "scan"})


def settle(this: Attempt, state: str, error: str, upstream: UpstreamResponse | None, stages: Stages) -> None:
    """Books the one end of the attempt."""
    call, now_ns = this.call, stages.now_ns()
    usage, source = _usage(this, state, upstream is not None, now_ns, stages)
    if this.unsent:
        this.cost_pico = 0  # not even what each request costs
    elif usage is not this.usage or this.cost_pico is None:
        this.cost_pico = _cost(this, usage, source)
    cost_pico, status = this.cost_pico, upstream.status if upstream is not None else 0
    if cost_pico:
        call.spent_pico += cost_pico
    if this.hold is not None:
        money.settle(this, usage)
    if call.trail and state == SETTLED and this.usage is not None:
        _follow(this, this.usage, now_ns, stages)
    verdicts = verdicts_of(call, stages) if call.guarded is not None else {}
    stages.open.closed(this.id)
    took_ns = now_ns - this.started_ns
    first_ns = this.ttft_ns - this.started_ns if this.ttft_ns else 0
    if this.entry is None or this.entry.error is None:  # else it never was on record
        stages.journal.append_soon(
            Settled(  # by position, as `Opened` is
                this.id,
                stages.time_ms(),
                state,
                usage,
                source,
                cost_pico,
                status,
                error,
                first_ns // 1_000_000,
                took_ns // 1_000_000,
                0,
                verdicts,
            )
        )
    if call.trace is not None:
        call.trace.attempts.append(seen(this, call.trace, state, error, usage, source, status, now_ns, verdicts))
    stages.metrics.attempt(this.deployment.name, call.workload.name, state, usage, cost_pico, took_ns, first_ns)


def _follow(this: Attempt, usage: Usage, now_ns: int, stages: Stages) -> None:
    """Remembers where the conversation is now, and counts what it lost by leaving a cached beginning elsewhere."""
    call, trails = this.call, stages.fleet.trails
    before = trails.find(call.trail, now_ns)
    if before is not None and before.deployment != this.deployment.name:
        home = call.snapshot.deployment_by_name.get(before.deployment)
        lost = lost_pico(before, home, usage, now_ns) if home is not None else 0
        if lost:
            stages.metrics.add(("signalbox_prompt_cache_lost_usd_total", call.workload.name), lost / PICO)
    trails.follow(call.trail, this.deployment, usage, now_ns)


def spent_beside(call: Call, pico: int) -> None:
    """Adds what an errand of ours cost to the call that it was for. Each of its attempts is booked already."""
    call.spent_pico += pico


def _cost(this: Attempt, usage: Usage, source: str) -> int | None:
    """Whose tier nobody told costs what the dearest that it asked for does."""
    deployment = this.deployment
    if source == "estimated" and deployment.tariff is not None and not usage.tier and this.permit is not None:
        return cost(usage, money.rates_bound(this, this.permit.body))
    return charge(usage, deployment.rates, deployment.tariff, this.opened_ms)


def verdicts_of(call: Call, stages: Stages) -> dict[str, int]:
    """What guards said since the last row of the call was settled."""
    guarded = call.guarded
    if guarded is None or not guarded.counts:
        return {}
    counts, guarded.counts = guarded.counts, {}
    for name, count in counts.items():
        guard, _, rest = name.partition(".")
        action = rest.partition(":")[2].partition("@")[0]
        stages.metrics.add(("signalbox_guard_verdicts_total", call.workload.name, guard, action or "more"), count)
    return counts


def _usage(this: Attempt, state: str, begun: bool, now_ns: int, stages: Stages) -> tuple[Usage, str]:
    """What it used, and who says so. begun: the head of an answer came."""
    if state == FAILED or this.unsent:
        return NO_USAGE, "none"
    if this.api == "count_tokens":
        return NO_USAGE, "provider" if state == SETTLED else "none"
    meter = stages.metering.of(this.deployment.name, this.api)
    told = this.usage
    if told is not None and this.ended and is_told(told, this.out_chars):
        if meter.wants_more():
            _learn(this, told, now_ns, meter, stages.open.lag_s)
        return told, "provider"
    late_s = stages.open.lag_s * (LAGS if this.call.envelope.stream else 1)
    in_flight_s = min(IN_FLIGHT_S_MAX, (meter.round_trip_s or ROUND_TRIP_S) + STOP_S + late_s)
    out = _output_bound(this, begun, now_ns, meter, in_flight_s)
    return _filled(this, told, out, meter), "estimated"


def told_to_client(this: Attempt, stages: Stages) -> Usage:
    """The usage of a whole answer that is translated: its API tells one in every answer, and zeros would be read as an
    answer that cost nothing. What the provider does not count is estimated, as the ledger will have it."""
    told = this.usage
    if told is not None and is_told(told, this.out_chars):
        return told
    meter = stages.metering.of(this.deployment.name, this.api)
    return _filled(this, told, meter.tokens_out(this.out_chars, this.out_events), meter)


def _filled(this: Attempt, told: Usage | None, out: int, meter: Calibration) -> Usage:
    told = told or NO_USAGE
    if not told.input_total:
        told = msgspec.structs.replace(told, tokens_in=money.input_cut(this, meter))
    return msgspec.structs.replace(told, tokens_out=max(told.tokens_out, out))


def is_told(usage: Usage, chars: int) -> bool:
    """Whether a provider's figure can be that of an answer with so many characters: one that counts nothing at all, or
    nothing for what was answered, says what it cost as little as none. NO_USAGE itself is what those tell whose answers
    are not counted in tokens."""
    return bool(usage.tokens_out or usage.output_total or (usage.input_total and not chars)) or usage is NO_USAGE


def _output_bound(this: Attempt, begun: bool, now_ns: int, meter: Calibration, in_flight_s: float) -> int:
    """The most it can have been billed for. A stream that ended without telling its usage is what was seen of it. One
    that was cut may have hidden some and have some on its way; one that does not stream is bounded by its time."""
    if this.api in _NO_OUTPUT:
        return 0
    shown = meter.tokens_out(this.out_chars, this.out_events)
    if this.ended:
        return shown
    elapsed_s = (now_ns - this.started_ns) / 1e9
    envelope = this.call.envelope
    stated = this.limit * envelope.n
    if not envelope.stream:
        most = stated or OUT_DEFAULT * envelope.n
        # Whose answer has begun to come, that has been generated.
        return most if begun else min(most, meter.tokens_by(elapsed_s + in_flight_s) * envelope.n)
    # What was hidden went before what was shown.
    hidden_s = ((this.ttft_ns or now_ns) - this.started_ns) / 1e9
    bound = shown + meter.tokens_hidden(hidden_s) + _in_flight(this, now_ns, meter, in_flight_s)
    if this.cut and this.hold is not None:
        # It was closed before more than this can have been generated.
        bound = min(bound, this.hold.tokens_out)
    return max(shown, min(bound, stated)) if stated else bound


def _in_flight(this: Attempt, now_ns: int, meter: Calibration, in_flight_s: float) -> int:
    if not this.out_events:
        # It cannot have begun before its deployment's shortest wait was over.
        elapsed_s = (now_ns - this.started_ns) / 1e9
        return min(meter.tokens_by(elapsed_s + in_flight_s), meter.tokens_in_flight(in_flight_s))
    if this.out_events < _OWN_PACE_EVENTS_MIN:
        return meter.tokens_in_flight(in_flight_s)
    seen_s = max(1e-3, (now_ns - this.ttft_ns) / 1e9)
    return int(this.out_events / seen_s * in_flight_s) + 2


def _learn(this: Attempt, usage: Usage, now_ns: int, meter: Calibration, late_s: float) -> None:
    """From an attempt whose end is known: what its bytes, characters and seconds were in tokens."""
    meter.observe_connect(this.call.connect_us)
    if this.permit is not None and not this.call.envelope.opaque:
        meter.observe_in(len(this.permit.body), usage.input_total, kind_of(this.permit.body))
    if this.out_chars:
        meter.observe_out(this.out_chars, this.out_events, usage)
        wait_ns = this.ttft_ns - this.started_ns if this.ttft_ns else 0
        # What was hidden came while one waited for the first event.
        timed = min(usage.output_total, max(usage.tokens_out, this.out_events)) if wait_ns else usage.output_total
        meter.observe_rate(timed, (now_ns - this.started_ns - wait_ns) / 1e9, wait_ns / 1e9, late_s)
