"""What happens to a generating request between its last byte and its answer: read, faults, limits, the answer's plan.

A request seen before is not read again: the same bytes always mean the same answer, and benchmarks send the same bytes.
"""

from __future__ import annotations

import hmac
import random
import time
from collections.abc import Mapping

import msgspec

from signalbox.simulator import answers, faults
from signalbox.simulator.bill import Bill
from signalbox.simulator.connection import Connection, HttpRequest
from signalbox.simulator.endpoints import FACES
from signalbox.simulator.exchange import Exchange
from signalbox.simulator.limits import ProviderState
from signalbox.simulator.log import Entry
from signalbox.simulator.model import Answer, Ask, Face, Json, Refusal, Reply, as_doc, bad
from signalbox.simulator.pace import Wheel
from signalbox.simulator.plan import HEALTHY, Plan
from signalbox.simulator.settings import ModelSpec, SimulatorSettings

_KNOWN_MAX = 512
_KNOWN_BYTES_MAX = 8_192
_GAP_S_MAX = 3_600.0


class Known(msgspec.Struct):
    """A request read, and its answer once one was planned without faults."""

    ask: Ask
    answer: Answer | None = None


class Order(msgspec.Struct):
    """One request on its way to an answer. model: its name without a fault suffix."""

    exchange: Exchange
    request: HttpRequest
    entry: Entry
    state: ProviderState
    face: Face
    known: Known
    model: str
    plan: Plan


class Intake:
    """Turns requests into exchanges."""

    def __init__(
        self,
        settings: SimulatorSettings,
        providers: Mapping[str, ProviderState],
        bill: Bill,
        book: faults.FaultBook,
        wheel: Wheel,
    ) -> None:
        self._settings = settings
        self._providers = providers
        self._bill = bill
        self._book = book
        self._wheel = wheel
        self._rng = random.Random(settings.seed)
        self._known: dict[tuple[str, str, bytes], Known] = {}

    def reseed(self) -> None:
        self._rng.seed(self._settings.seed)

    def start(self, connection: Connection, request: HttpRequest, entry: Entry) -> Exchange:
        face, state = FACES[entry.endpoint], self._providers[entry.provider]
        model, plan = "", HEALTHY
        known: Known | None = None
        refusal: Refusal | None = None
        try:
            known = self._read(face, request, entry)
            entry.model = known.ask.model
            model, plan = self._plan(known.ask, request, state)
        except Refusal as found:
            refusal = found
        exchange = Exchange(connection, entry, self._wheel, self._bill, plan, request.keep_alive, request.chunked_ok)
        if refusal is None and known is not None:
            try:
                self._proceed(Order(exchange, request, entry, state, face, known, model, plan))
            except Refusal as found:
                refusal = found
        if refusal is not None:
            exchange.refuse(refusal, face, model)
        return exchange

    def _read(self, face: Face, request: HttpRequest, entry: Entry) -> Known:
        body = request.body
        if len(body) > _KNOWN_BYTES_MAX:
            return Known(face.read(_decode(body)))
        key = (entry.provider, entry.endpoint, body)
        known = self._known.get(key)
        if known is None:
            known = Known(face.read(_decode(body)))
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[key] = known
        return known

    def _plan(self, ask: Ask, request: HttpRequest, state: ProviderState) -> tuple[str, Plan]:
        """The model without its fault suffix, and what the suffix and the booked faults do to this request."""
        model, _, suffix = ask.model.partition("!")
        if not suffix and not self._book.rules:
            return model, HEALTHY
        context = faults.Context(ask, request.body, FACES[ask.endpoint], request.served)
        return model, self._book.plan(state.name, model, suffix, context, time.monotonic())

    def _proceed(self, order: Order) -> None:
        exchange, plan, state, ask = order.exchange, order.plan, order.state, order.known.ask
        if plan.hang:
            exchange.hang(order.model)
            return
        if plan.opening:
            exchange.break_now(plan.opening, order.model)
            return
        _check(state, order.request, ask)
        if plan.refusal is not None:
            raise plan.refusal
        name, spec = _model(state, order.model)
        order.model = name
        if plan.canned is not None:
            exchange.canned(plan.canned, name)
            return
        if ask.tokens_in >= spec.context_tokens:
            raise faults.context_exceeded(ask, spec.context_tokens)
        headers = ()
        if state.limited:
            headers = state.admit(ask.tokens_in, time.monotonic(), ask.endpoint == "messages")
        if ask.endpoint == "count_tokens":
            exchange.count(order.face, ask)
            return
        self._generate(order, spec, headers)

    def _generate(self, order: Order, spec: ModelSpec, headers: tuple[tuple[str, str], ...]) -> None:
        state, entry, ask = order.state, order.entry, order.known.ask
        answer = self._answer(order, spec)
        reported = answer.usage
        if order.plan is not HEALTHY:
            reported = faults.claimed(order.plan, answer.usage)
        if ask.dimensions < 1:
            ask.dimensions = spec.dimensions
        ttft_s, gap_s = self._pace(state, answer)
        reply = Reply(
            f"sim{entry.n:016x}", int(entry.at_ms / 1000), ask, answer, reported, state.spec.visible_reasoning
        )
        order.exchange.generate(state, order.face, reply, order.model, headers, ttft_s, gap_s)

    def _answer(self, order: Order, spec: ModelSpec) -> Answer:
        known, plan = order.known, order.plan
        if plan is HEALTHY and known.answer is not None:
            return known.answer
        answer = answers.plan(
            known.ask,
            self._settings.seed,
            length=self._settings.answer_tokens,
            reasoning=spec.reasoning_tokens,
            output_max=min(spec.output_tokens_max, spec.context_tokens - known.ask.tokens_in),
        )
        if plan is HEALTHY:
            known.answer = answer
        else:
            answer.usage.tokens_out += plan.extra_tokens
            faults.diverge(plan, answer)
        return answer

    def _pace(self, state: ProviderState, answer: Answer) -> tuple[float, float]:
        """Seconds to the first token, and between two."""
        ttft_s = gap_s = 0.0
        if self._settings.latency == "on":
            ttft_s = state.spec.ttft_ms.sample(self._rng) / 1000
            gap_s = min(_GAP_S_MAX, 1.0 / max(1e-9, state.spec.tokens_per_s.sample(self._rng)))
        if answer.ttft_ms is not None:
            ttft_s = answer.ttft_ms / 1000
        if answer.delay_ms is not None:
            gap_s = answer.delay_ms / 1000
        return ttft_s, gap_s


def _decode(body: bytes) -> Json:
    try:
        doc = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise bad("We could not parse the JSON body of your request.") from None
    if not isinstance(doc, dict):
        raise bad("The body must be a JSON object.")
    return as_doc(doc)


def _check(state: ProviderState, request: HttpRequest, ask: Ask) -> None:
    keys = state.spec.api_keys
    if keys and not _authorised(request, keys):
        raise Refusal(401, "invalid_api_key", "Incorrect API key provided.")
    api = "messages" if ask.endpoint == "count_tokens" else ask.endpoint
    if api not in state.spec.apis:
        raise Refusal(404, "not_found", f"{state.name} does not offer {ask.endpoint}.")


def _authorised(request: HttpRequest, keys: tuple[str, ...]) -> bool:
    for name, value in request.headers:
        if name in (b"authorization", b"x-api-key", b"api-key"):
            given = value.removeprefix(b"Bearer ")
            if any(hmac.compare_digest(given, key.encode()) for key in keys):
                return True
    return False


def _model(state: ProviderState, model: str) -> tuple[str, ModelSpec]:
    spec = state.spec.models.get(model)
    if spec is not None:
        return model, spec
    wildcard = state.spec.wildcard
    spec = state.spec.models.get(wildcard)
    if spec is None:
        raise Refusal(404, "model_not_found", f"The model `{model}` does not exist or you do not have access to it.")
    return wildcard, spec
