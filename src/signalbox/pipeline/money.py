"""What one attempt may use: reserved before its bytes leave, extended while it streams, settled when it has ended."""

from __future__ import annotations

from typing import cast

from signalbox.core.budgets import CONCURRENCY, GPU, REQUESTS, TOKENS, USD
from signalbox.core.call import Call
from signalbox.core.errors import BudgetExhausted, DeploymentLimited, Unpriced
from signalbox.core.usage import NO_USAGE, Rates, Usage
from signalbox.ledger.estimate import Calibration
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.state import Attempt
from signalbox.policy.budgets import Hold
from signalbox.pricing.cost import at_dearest
from signalbox.pricing.tariff import dearest
from signalbox.wire import body as wire_body
from signalbox.wire.image_tokens import image_tokens
from signalbox.wire.limit import limit_edits
from signalbox.wire.marks import find
from signalbox.wire.tokens import body_bound, bound, kind_of, text_bound

# What a stream that is watched reserves at first, whatever its client asks for: most answers are shorter.
EXPECTED_TOKENS = 1024
# Fewer output tokens than these are no answer: then the call is refused.
LEAST_TOKENS = 32
# Content that is only referred to (files, remote images, stored answers) may fill the window, where it is not known.
REFERRED_TOKENS = 200_000
_OF_A_TIER = (b'"service_tier"', b'"speed"', b'"inference_geo"')
_METERED = frozenset(("chat", "completions", "messages"))
_NO_OUTPUT = frozenset(("embeddings", "count_tokens", "scan"))
_BY_REFERENCE = frozenset(("file_id", "file_url", "image_url", "conversation", "thread", "documents"))


async def reserve(this: Attempt, body: bytes, stages: Stages) -> bytes:
    """Reserves what the attempt may use of every budget it falls under, and returns the body it may send: with a lower
    token limit where less is affordable, or where nobody could watch what it uses.

    Raises BudgetExhausted, RateLimited or LeaseUnavailable; then another deployment may be affordable.
    """
    try:
        return await _reserve(this, body, stages)
    except (BudgetExhausted, DeploymentLimited):
        this.withdrawn()
        raise


async def _reserve(this: Attempt, body: bytes, stages: Stages) -> bytes:
    call, budgets = this.call, stages.budgets
    found = budgets.lines(call, this.deployment)
    lines, hard = found.lines, found.hard
    if found.told:
        call.limits = found.told
    if call.is_counted or call.errand or call.holds:
        # One call is one request and one slot, whatever it takes to answer it; a deployment counts what it gets.
        done = (REQUESTS, CONCURRENCY) if call.errand or call.holds else (REQUESTS,)
        lines = [line for line in lines if line.budget.unit not in done or line.budget.scope == "deployment"]
    if not lines:
        return body
    meter = stages.metering.of(this.deployment.name, this.api)
    fixed, per_out = _amounts(this, body, meter, stages, dollars=found.dollars, hard=hard)
    if this.api in _NO_OUTPUT:
        _held(this, await budgets.reserve(lines, fixed, per_out, 0, 0))
        return body
    n, stated = call.envelope.n, call.envelope.max_tokens
    watched = not hard or (call.envelope.stream and n == 1 and not _hides(call, this.api, meter))
    most = call.workload.max_tokens_default if stated is None and not watched else stated
    wanted = min(EXPECTED_TOKENS, most or EXPECTED_TOKENS) if watched else most or 0
    hold = budgets.reserve_now(lines, fixed, per_out, wanted * n)
    if hold is None:
        least = min(wanted, _thought(call) + LEAST_TOKENS)
        hold = await budgets.reserve(lines, fixed, per_out, least * n, wanted * n)
    _held(this, hold)
    paid = hold.tokens_out // n
    if not hard or (stated is not None and paid >= stated):
        return body
    if watched and paid >= wanted:
        hold.metered = True
        return body
    this.limit = hold.lowered = paid
    doc = call.doc if this.api == call.api else wire_body.parse(body)
    return wire_body.splice(body, doc, limit_edits(this.api, doc, this.deployment.model, paid))


def _held(this: Attempt, hold: Hold) -> None:
    this.hold, this.call.is_counted = hold, True
    if this.call.workload.hedge_ns:
        this.call.holds += (hold,)


def _pass_on(call: Call, hold: Hold) -> None:
    """An attempt has ended. Where another one goes on beside it, the call is still there, and so is its slot."""
    call.holds = tuple([one for one in call.holds if one is not hold])
    if call.holds:
        heir: Hold = call.holds[0]
        slots = [item for item in hold.items if item.unit == CONCURRENCY and item.account.budget.scope != "deployment"]
        hold.items = [item for item in hold.items if item not in slots]
        heir.items = [*heir.items, *slots]


def settle(this: Attempt, usage: Usage) -> None:
    """Once, with what the ledger says; whatever was reserved beyond it is free again. Where the ledger cannot say what
    it cost (a service tier or a class without a price), what its tokens cost at the dearest is taken all the same: a
    budget that unknown costs leave whole limits nothing."""
    hold, this.hold = this.hold, None
    if hold is None:
        return
    if this.call.holds:
        _pass_on(this.call, hold)
    cost_pico = this.cost_pico
    if cost_pico is None and usage is not NO_USAGE and this.permit is not None:
        cost_pico = at_dearest(usage, rates_bound(this, this.permit.body))
    hold.settle(usage, cost_pico or 0)


def _amounts(
    this: Attempt, body: bytes, meter: Calibration, stages: Stages, *, dollars: bool, hard: bool
) -> tuple[dict[str, int], dict[str, int]]:
    """By unit: what the attempt takes in any case, and for each output token. A unit that it does not touch is not
    there: a free deployment serves on when the money is gone."""
    call, deployment = this.call, this.deployment
    fixed, per_out = {CONCURRENCY: 1, REQUESTS: 1}, {CONCURRENCY: 0, REQUESTS: 0}
    if this.api == "count_tokens":
        return fixed, per_out
    # What others of its size were counted for says nothing for certain of this one: a hard budget goes by its content.
    tokens_in = _content_bound(this, body) if hard else input_bound(this, body, meter)
    if call.envelope.stateful or not _BY_REFERENCE.isdisjoint(call.envelope.onward):
        tokens_in = max(tokens_in, deployment.context_tokens or REFERRED_TOKENS)
    fixed[TOKENS], per_out[TOKENS] = tokens_in, 1
    gpu_ns = deployment.rates.gpu_ns
    if gpu_ns:
        fixed[GPU], per_out[GPU] = tokens_in * gpu_ns, gpu_ns
    if dollars:
        price = stages.budgets.price(deployment, tiered=may_be_tiered(body))
        if not deployment.rates.priced:
            raise Unpriced(
                f"The model of {deployment.name!r} has no price, and a budget in dollars is in force.", param="model"
            )
        if not price.free:
            rate = price.worst_in if find(body, b'"cache_control"') >= 0 else price.plain_in
            fixed[USD], per_out[USD] = price.fixed + tokens_in * rate, price.out
    return fixed, per_out


def input_bound(this: Attempt, body: bytes, meter: Calibration) -> int:
    """What the input is probably counted for at most: as the provider counted others of its kind and size, or, where it
    has not yet, and for what is no text, by what is in it."""
    known = 0 if this.call.envelope.opaque else meter.tokens_known(len(body), kind_of(body))
    return known or _content_bound(this, body)


def input_cut(this: Attempt, meter: Calibration) -> int:
    """The same of an attempt that was cut, in the books: by now its provider may have counted others of its kind; where
    it has not, by what is in it, in the words of `text_bound`: no money hangs on it any more that somebody could take
    by writing what defeats an estimate."""
    permit = this.permit
    if permit is None or this.call.envelope.opaque:
        return this.reserved_in
    known = meter.tokens_known(len(permit.body), kind_of(permit.body))
    return known or min(this.reserved_in, text_bound(permit.body, tools=_has_tools(this)))


def _has_tools(this: Attempt) -> bool:
    return bool(this.call.doc.get("tools") or this.call.doc.get("functions"))


def _content_bound(this: Attempt, body: bytes) -> int:
    """The most that the input is counted for, by what is in it."""
    call = this.call
    if not call.envelope.opaque:
        return body_bound(body, tools=_has_tools(this))
    doc = call.doc if this.api == call.api else wire_body.parse(body)
    return bound(doc, image_tokens(this.deployment.model))


def may_be_tiered(body: bytes) -> bool:
    """Whether a body speaks of a service tier that has prices of its own."""
    return any(find(body, name) >= 0 for name in _OF_A_TIER)


def rates_bound(this: Attempt, body: bytes) -> Rates:
    """What an attempt without an end that is known is priced at."""
    deployment = this.deployment
    if deployment.tariff is None:
        return deployment.rates
    return dearest(deployment.rates, deployment.tariff, this.opened_ms, tiered=may_be_tiered(body))


def _hides(call: Call, api: str, meter: Calibration) -> bool:
    """Whether its output cannot be counted from what streams: it asks for reasoning, the model was seen to reason in
    hiding, or nobody knows the model yet."""
    if api not in _METERED:
        return True
    doc = call.doc
    return bool(doc.get("reasoning_effort") or doc.get("reasoning") or doc.get("thinking")) or meter.may_hide


def _thought(call: Call) -> int:
    """Tokens of thinking that the limit has to hold besides an answer, as the Messages API counts them."""
    thinking: object = call.doc.get("thinking")
    budget = cast("dict[str, object]", thinking).get("budget_tokens") if isinstance(thinking, dict) else None
    return budget if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0 else 0
