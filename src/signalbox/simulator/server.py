"""The simulator itself: listeners, routes, and what happens to a request between its last byte and its answer."""

from __future__ import annotations

import asyncio
import hmac
import random
import time
import urllib.parse

import msgspec

from signalbox.simulator import answers, control, faults, openai_errors
from signalbox.simulator.bill import Bill
from signalbox.simulator.connection import Connection, HttpRequest
from signalbox.simulator.endpoints import ENDPOINTS, FACES, models_body
from signalbox.simulator.exchange import Exchange
from signalbox.simulator.faults import FaultBook, Rule
from signalbox.simulator.limits import ProviderState
from signalbox.simulator.log import Entry, RequestLog
from signalbox.simulator.model import Ask, Face, Json, Refusal, Reply, as_doc, bad, encode
from signalbox.simulator.pace import Wheel
from signalbox.simulator.plan import HEALTHY, Plan
from signalbox.simulator.ports import ProviderPort
from signalbox.simulator.settings import ModelSpec, Prices, SimulatorSettings

_BACKLOG = 2_048
_PLAIN_FACE = Face(
    read=FACES["chat"].read,
    unary=FACES["chat"].unary,
    stream=FACES["chat"].stream,
    error_body=openai_errors.error_body,
    error_event=openai_errors.error_event,
)


class Simulator:
    """Many fake providers in one process. Start it on a running event loop; `bill`, `log` and `prices` are live."""

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self.bill = Bill(self.settings.providers, self.settings.bill_rows)
        self.log = RequestLog(self.settings.log_entries, self.settings.log_bytes)
        self.faults = FaultBook()
        self.providers = {name: ProviderState(name, spec) for name, spec in self.settings.providers.items()}
        self.gauges: dict[tuple[str, str], dict[str, float]] = {}
        self.body_bytes_max = self.settings.body_bytes_max
        self.connections: set[Connection] = set()
        self.port: int = 0
        self.host: str = ""
        self._routes = {
            f"/{provider}{path}": (provider, endpoint)
            for provider in self.settings.providers
            for path, endpoint in ENDPOINTS.items()
        }
        self._rng = random.Random(self.settings.seed)
        self._server: asyncio.Server | None = None
        self._ports: list[ProviderPort] = []
        self._wheel: Wheel | None = None
        self._connections_made = 0
        self._requests = 0

    # --- life ---

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def base_url(self, provider: str, protocol: str = "openai") -> str:
        """What a client's base_url must be: OpenAI-style ends in /v1, Anthropic's does not."""
        return f"{self.url}/{provider}" + ("" if protocol == "anthropic" else "/v1")

    @property
    def prices(self) -> dict[str, dict[str, Prices]]:
        """US dollars per million tokens, by provider and model."""
        return {
            provider: {model: spec.prices for model, spec in declared.models.items()}
            for provider, declared in self.settings.providers.items()
        }

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._wheel = Wheel(loop)
        self._server = await loop.create_server(lambda: Connection(self, ""), host, port, backlog=_BACKLOG)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    async def start_provider_port(self, name: str, host: str = "127.0.0.1", port: int = 0) -> ProviderPort:
        """A port of its own for one provider, which can be put down: then connections are refused."""
        if name not in self.providers:
            raise KeyError(name)
        extra = ProviderPort(self, name)
        await extra.up(host, port)
        self._ports.append(extra)
        return extra

    async def stop(self) -> None:
        """Closes every listener and every connection; open requests are settled as cut."""
        for extra in self._ports:
            await extra.down()
        self._ports.clear()
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for connection in list(self.connections):
            connection.reset()
        await asyncio.sleep(0)
        if self._wheel is not None:
            self._wheel.clear()

    def reset(self) -> None:
        """Forgets bill, log, faults and gauges; connections and running requests stay."""
        self.bill.clear()
        self.log.clear()
        self.faults.clear()
        self.gauges.clear()
        self._rng.seed(self.settings.seed)

    def fault(
        self,
        spec: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        body_contains: str | None = None,
        body_sha256: str | None = None,
        nth: int = 1,
        count: int | None = None,
        for_s: float | None = None,
    ) -> int:
        """Books a fault (see `faults`) for requests that match all that is given; returns its id."""
        rule = Rule(
            fault=spec,
            provider=provider,
            model=model,
            endpoint=endpoint,
            body_contains=body_contains,
            body_sha256=body_sha256,
            nth=nth,
            count=count,
            for_s=for_s,
        )
        return self.faults.add(rule)

    # --- connection.Service ---

    def next_connection(self) -> int:
        self._connections_made += 1
        return self._connections_made

    def handle(self, connection: Connection, request: HttpRequest) -> Exchange | None:
        path, _, query = request.target.partition("?")
        if request.provider:
            path = f"/{request.provider}{path}"
        if path.startswith("/sim/") or path == "/":
            self._control(connection, request, path, query)
            return None
        route = self._routes.get(path)
        provider, endpoint = route or (path.split("/", 2)[1], "")
        entry = self._entry(request, provider, endpoint)
        self.log.add(entry)
        if endpoint and request.method == "POST":
            return self._answer(connection, request, entry, provider, endpoint)
        self._other(connection, request, entry, path, provider)
        return None

    def _entry(self, request: HttpRequest, provider: str, endpoint: str) -> Entry:
        self._requests += 1
        client_request_id = ""
        for name, value in request.headers:
            if name == b"x-client-request-id":
                client_request_id = value.decode("latin-1")
        return Entry(
            self._requests,
            provider,
            endpoint,
            request.method,
            request.target,
            request.headers,
            request.body,
            client_request_id,
            request.connection,
            time.time() * 1000,
            time.monotonic(),
        )

    # --- one generating request ---

    def _answer(
        self, connection: Connection, request: HttpRequest, entry: Entry, provider: str, endpoint: str
    ) -> Exchange:
        assert self._wheel is not None
        face = FACES[endpoint]
        state = self.providers[provider]
        plan, model = HEALTHY, ""
        refusal: Refusal | None = None
        ask: Ask | None = None
        try:
            ask = face.read(_decode(request.body))
            entry.model = ask.model
            model, plan = self._plan(ask, request, state)
        except Refusal as found:
            refusal = found
        exchange = Exchange(connection, entry, self._wheel, self.bill, plan, request.keep_alive)
        exchange.chunked = request.chunked_ok
        try:
            if refusal is not None or ask is None:
                raise refusal or bad("unreadable")
            self._proceed(exchange, request, ask, face, state, model, plan, entry)
        except Refusal as found:
            exchange.refuse(found, face, model)
        return exchange

    def _plan(self, ask: Ask, request: HttpRequest, state: ProviderState) -> tuple[str, Plan]:
        """The model without its fault suffix, and what the suffix and the booked faults do to this request."""
        model, suffix, _ = ask.model, "", ""
        if "!" in model:
            model, _, suffix = model.partition("!")
        if not suffix and not self.faults.rules:
            return model, HEALTHY
        context = faults.Context(ask, request.body, FACES[ask.endpoint], request.served)
        return model, self.faults.plan(state.name, model, suffix, context, time.monotonic())

    def _proceed(
        self,
        exchange: Exchange,
        request: HttpRequest,
        ask: Ask,
        face: Face,
        state: ProviderState,
        model: str,
        plan: Plan,
        entry: Entry,
    ) -> None:
        if plan.hang:
            exchange.hang(model)
            return
        if plan.opening:
            exchange.break_now(plan.opening, model)
            return
        self._check(state, request, ask)
        if plan.refusal is not None:
            raise plan.refusal
        name, spec = _model(state, model)
        if plan.canned is not None:
            exchange.canned(name)
            return
        if ask.tokens_in + (ask.max_tokens or 0) > spec.context_tokens and ask.tokens_in >= spec.context_tokens:
            raise faults.context_exceeded(spec.context_tokens, ask.tokens_in)
        headers = ()
        if state.limited:
            headers = state.admit(ask.tokens_in, time.monotonic(), ask.endpoint == "messages")
        if ask.endpoint == "count_tokens":
            exchange.count(face, ask)
            return
        self._generate(exchange, request, ask, face, state, name, spec, plan, entry, headers)

    def _check(self, state: ProviderState, request: HttpRequest, ask: Ask) -> None:
        keys = state.spec.api_keys
        if keys and not _authorised(request, keys):
            raise Refusal(401, "invalid_api_key", "Incorrect API key provided.")
        api = "messages" if ask.endpoint == "count_tokens" else ask.endpoint
        if api not in state.spec.apis:
            raise Refusal(404, "not_found", f"{state.name} does not offer {ask.endpoint}.")

    def _generate(
        self,
        exchange: Exchange,
        request: HttpRequest,
        ask: Ask,
        face: Face,
        state: ProviderState,
        model: str,
        spec: ModelSpec,
        plan: Plan,
        entry: Entry,
        headers: tuple[tuple[str, str], ...],
    ) -> None:
        settings = self.settings
        answer = answers.plan(
            ask,
            settings.seed,
            length=settings.answer_tokens,
            reasoning=spec.reasoning_tokens,
            output_max=spec.output_tokens_max,
        )
        reported = answer.usage
        if plan is not HEALTHY:
            answer.usage.tokens_out += plan.extra_tokens
            faults.diverge(plan, answer)
            reported = faults.claimed(plan, answer.usage)
        if ask.dimensions < 1:
            ask.dimensions = spec.dimensions
        ttft_s = gap_s = 0.0
        if settings.latency == "on":
            ttft_s = state.spec.ttft_ms.sample(self._rng) / 1000
            gap_s = 1.0 / max(0.001, state.spec.tokens_per_s.sample(self._rng))
        if answer.ttft_ms is not None:
            ttft_s = answer.ttft_ms / 1000
        if answer.delay_ms is not None:
            gap_s = answer.delay_ms / 1000
        reply = Reply(
            f"sim{entry.n:016x}", int(entry.at_ms / 1000), ask, answer, reported, state.spec.visible_reasoning
        )
        exchange.generate(state, face, reply, model, headers, ttft_s, gap_s)

    # --- everything else ---

    def _other(self, connection: Connection, request: HttpRequest, entry: Entry, path: str, provider: str) -> None:
        state = self.providers.get(provider)
        status, kind, body = 404, "application/json", b""
        if state is None:
            body = _error(Refusal(404, "not_found", f"no provider {provider!r} here"))
        elif path == f"/{provider}/metrics" and request.method == "GET":
            status, kind, body = 200, "text/plain; version=0.0.4", control.metrics(state, self.gauges).encode()
        elif path.startswith(f"/{provider}/v1/models") and request.method in ("GET", "HEAD"):
            wanted = urllib.parse.unquote(path[len(f"/{provider}/v1/models") :].strip("/"))
            found = models_body(state, wanted)
            status = 200 if found is not None else 404
            body = found or _error(Refusal(404, "model_not_found", f"The model `{wanted}` does not exist."))
        elif path in self._routes:
            status, body = 405, _error(Refusal(405, "method_not_allowed", "Use POST."))
        else:
            body = _error(Refusal(404, "not_found", f"Unknown request URL: {request.method} {path}."))
        entry.status, entry.end, entry.ended_ms = status, "complete", time.time() * 1000
        control.send(connection, request, status, kind, body)

    def _control(self, connection: Connection, request: HttpRequest, path: str, query: str) -> None:
        try:
            status, kind, body = control.answer(self, request.method, path, query, request.body)
        except Refusal as refusal:
            status, kind, body = refusal.status, "application/json", _error(refusal)
        control.send(connection, request, status, kind, body)


def _error(refusal: Refusal) -> bytes:
    return encode({"error": openai_errors.error_object(refusal)})


def _decode(body: bytes) -> Json:
    try:
        doc = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise bad("We could not parse the JSON body of your request.") from None
    if not isinstance(doc, dict):
        raise bad("The body must be a JSON object.")
    return as_doc(doc)


def _model(state: ProviderState, model: str) -> tuple[str, ModelSpec]:
    spec = state.spec.models.get(model)
    if spec is not None:
        return model, spec
    wildcard = state.spec.wildcard
    spec = state.spec.models.get(wildcard)
    if spec is None:
        raise Refusal(404, "model_not_found", f"The model `{model}` does not exist or you do not have access to it.")
    return wildcard, spec


def _authorised(request: HttpRequest, keys: tuple[str, ...]) -> bool:
    for name, value in request.headers:
        if name in (b"authorization", b"x-api-key", b"api-key"):
            given = value.removeprefix(b"Bearer ")
            if any(hmac.compare_digest(given, key.encode()) for key in keys):
                return True
    return False
