"""The data plane: its route table, its server, and what every request passes through first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from secrets import token_hex
from time import monotonic, perf_counter_ns, time

import msgspec

from signalbox.core.errors import (
    CallError,
    Internal,
    LedgerError,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    Unauthenticated,
    forget_frames,
)
from signalbox.core.link import Stop
from signalbox.core.together import FEW
from signalbox.gateway import endpoints, models
from signalbox.gateway.access import Guesses, peer
from signalbox.gateway.auth import Keyring
from signalbox.gateway.counting import count_input
from signalbox.gateway.http import Connection
from signalbox.gateway.http_limits import HttpLimits
from signalbox.gateway.idempotency import Answers
from signalbox.gateway.outbox import Outbox
from signalbox.gateway.overload import Watch
from signalbox.gateway.reply import HttpReply, send_error, status_of
from signalbox.gateway.request import Request
from signalbox.pipeline.stages import Stages
from signalbox.policy.stops import matches, stopped
from signalbox.telemetry.log import Log
from signalbox.wire.dialect import Dialect
from signalbox.wire.table import DIALECTS

Endpoint = Callable[[endpoints.Plane, Request, Connection, Dialect, str], Awaitable[None]]


class Route(msgspec.Struct, frozen=True):
    """public: answered without a credential; every other route authenticates in its endpoint, on this match."""

    methods: frozenset[bytes]
    endpoint: Endpoint
    dialect: Dialect
    public: bool = False


GET = frozenset({b"GET", b"HEAD"})
POST = frozenset({b"POST"})
CHAT = DIALECTS["chat"]

ROUTES: dict[bytes, Route] = {
    b"/v1/chat/completions": Route(POST, endpoints.generate, CHAT),
    b"/v1/responses": Route(POST, endpoints.generate, DIALECTS["responses"]),
    b"/v1/messages": Route(POST, endpoints.generate, DIALECTS["messages"]),
    b"/v1/messages/count_tokens": Route(POST, endpoints.generate, DIALECTS["count_tokens"]),
    b"/v1/responses/input_tokens": Route(POST, count_input, DIALECTS["responses"]),
    b"/v1/embeddings": Route(POST, endpoints.generate, DIALECTS["embeddings"]),
    b"/v1/completions": Route(POST, endpoints.generate, DIALECTS["completions"]),
    b"/v1/models": Route(GET, models.list_models, CHAT),
    b"/healthz": Route(GET, endpoints.healthz, CHAT, public=True),
    b"/readyz": Route(GET, endpoints.readyz, CHAT, public=True),
}
# What is asked of the Messages API, with `/v1` once too often or not at all as well.
MESSAGES = (b"/v1/messages", b"/messages", b"/v1/v1/messages")
MODELS = b"/v1/models"
MODEL_PREFIX = b"/v1/models/"
MODEL_ROUTE = Route(GET, models.get_model, CHAT)
TICK_S = 1.0
# Sockets are given this long to take the last bytes when the grace is over.
FLUSH_S = 0.5


def route_of(path: bytes) -> Route | None:
    """The route of a raw path. Only the exact spelling matches: no case folding, no decoding, no slashes merged."""
    route = ROUTES.get(path)
    if route is None and path.startswith(MODEL_PREFIX) and len(path) > len(MODEL_PREFIX):
        return MODEL_ROUTE
    return route


def nowhere(path: bytes) -> NotFound:
    """For a path that is none. Most come from a base URL with `/v1` once too often, or not at all."""
    message = "There is no such endpoint."
    meant = next((one for one in ROUTES if path.rstrip(b"/").endswith(one.removeprefix(b"/v1"))), None)
    if meant is not None:
        message += (
            f" Did you mean {meant.decode()}? The base URL of OpenAI clients ends in /v1, that of Anthropic clients "
            "before it."
        )
    return NotFound(message, code="unknown_endpoint")


def dialect_of(path: bytes) -> Dialect:
    """In whose words to speak about a path, even one that does not exist."""
    route = ROUTES.get(path)
    if route is not None:
        return route.dialect
    return DIALECTS["messages"] if path.startswith(MESSAGES) else CHAT


def dialect_for(request: Request, dialect: Dialect) -> Dialect:
    """In whose words to refuse this caller. Both SDKs list models; the one of the Messages API names its version."""
    both = dialect is CHAT and request.path.startswith(MODELS)
    if both and any(name == b"anthropic-version" for name, _ in request.headers):
        return DIALECTS["messages"]
    return dialect


class Gateway:
    """One process's data plane. stages and keyring are replaced as a whole; a request keeps those it began with."""

    def __init__(
        self,
        stages: Stages,
        keyring: Keyring,
        limits: HttpLimits,
        log: Log,
        answers: Answers,
        rest: Callable[[], None],
    ) -> None:
        """rest: what is to be done once when nobody has asked anything for a second or two."""
        self.now_ns = perf_counter_ns
        self.now_s = time
        self.stages = stages
        self.answers = answers
        self.swap_keys(keyring)
        self.limits = limits
        self.log = log
        self.connections: set[Connection] = set()
        self.streams: set[HttpReply] = set()
        self.wholes: set[HttpReply] = set()
        self.accepting = True
        self.outbox = Outbox()
        self.stops = stages.stops
        self.watch = Watch(limits.overload, stages.limits.press)
        self._ticker: asyncio.TimerHandle | None = None
        self._number: int = 0
        self._number_before: int = 0
        self._number_rested: int = 0
        self._rest = rest
        self._guesses = Guesses()
        self._process = f"{int(time()):08x}{token_hex(4)}"

    # --- gateway.http.Server ---

    async def handle(self, request: Request, connection: Connection) -> None:
        """One request, whatever happens to it: an answer, or an error in its dialect, and never a traceback."""
        call_id = self._next_id()
        route = route_of(request.path)
        dialect = route.dialect if route is not None else dialect_of(request.path)
        try:
            if route is None:
                raise nowhere(request.path)
            if request.method not in route.methods:
                raise MethodNotAllowed(f"Use {b' or '.join(sorted(route.methods)).decode()} here.")
            await route.endpoint(self, request, connection, dialect, call_id)
        except Exception as failure:
            error = self.told(failure, call_id)
            if isinstance(error, Unauthenticated):
                error = self._guesses.judge(error, peer(connection), monotonic())
            dialect = dialect_for(request, dialect)
            send_error(connection, dialect, error, call_id)
            self.answered(dialect.api, status_of(dialect, error), request.received_ns)
            forget_frames(failure)

    def busy(self) -> bool:
        return len(self.wholes) >= FEW

    def refuse(self, connection: Connection, path: bytes, error: CallError) -> None:
        dialect = dialect_of(path)
        send_error(connection, dialect, error, self._next_id())
        self.stages.metrics.request(dialect.api, error.status, 0)
        connection.close()

    # --- gateway.endpoints.Plane ---

    def told(self, failure: Exception, call_id: str) -> CallError:
        """What the caller is told of any failure. A defect of ours goes into the log, and only its number out."""
        if isinstance(failure, CallError):
            return failure
        if isinstance(failure, LedgerError):
            return Overloaded("The ledger cannot take a record, so nothing is sent.", retry_after_s=5)
        self.log.defect("request failed", failure, request=call_id)
        return Internal(f"An internal error, logged as {call_id}.", close=True)

    # --- the process's own ---

    def start(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        self.watch.start()

    def swap(self, stages: Stages, limits: HttpLimits) -> None:
        """Put a new snapshot and its limits in force for every request that begins from now on."""
        self.stages = stages
        self.limits = limits
        self.watch.adopt(limits.overload)
        self.swap_keys(self.keyring)

    def swap_keys(self, keyring: Keyring) -> None:
        self.keyring = keyring
        snapshot = self.stages.snapshot
        keyring.adopt(snapshot.issuers, snapshot.certificates, snapshot.trusted_proxies)
        self.stages.owners.shared = keyring.several_tenants

    def end_certified(self) -> None:
        """Whose certificates are taken has changed: connections that showed one begin anew, after what runs on them."""
        for connection in list(self.connections):
            if connection.certificate is not None:
                connection.close_after_answer()
                if connection.task is None:
                    connection.close()

    def not_ready(self) -> str:
        """Why this process should get no traffic; empty when it should."""
        if not self.accepting or self.stages.limits.draining:
            return "This gateway is shutting down."
        return "" if self.stages.journal.healthy() else "The journal cannot be written."

    def answered(self, api: str, status: int, received_ns: int) -> None:
        self.stages.metrics.request(api, status, self.now_ns() - received_ns)

    def stop_calls(self, order: Stop) -> None:
        """Ends the calls that an operator wants to end, and refuses what else there is of them for a while."""
        self.stops.add(order, self.now_s() * 1000)
        for reply in (*self.streams, *self.wholes):
            if matches(order, reply.call):
                reply.stop(stopped(order))
        for behind in (self.stages.comparisons, self.stages.trials):
            behind.end(lambda call: matches(order, call), stopped(order).code)

    async def drain(self, grace_s: float) -> None:
        """Take nothing new, let what runs finish for `grace_s`, then end it with an error; what was written still
        leaves, if its client takes it within the grace or FLUSH_S."""
        flushed_by = monotonic() + max(grace_s, FLUSH_S)
        self.stages.limits.draining = True
        self.accepting = False
        self.watch.stop()
        for connection in list(self.connections):
            if connection.task is None:
                connection.close()
        running = [connection.task for connection in self.connections if connection.task is not None]
        if running:
            await asyncio.wait(running, timeout=grace_s)
        ended = monotonic()
        tasks = [connection.task for connection in self.connections if connection.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self.connections):
            connection.close()
        if self._ticker is not None:
            self._ticker.cancel()
        while self.connections and monotonic() < max(flushed_by, ended + FLUSH_S):  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()

    def _next_id(self) -> str:
        self._number += 1
        return f"req_{self._process}{self._number:08x}"

    def _tick(self) -> None:
        """Once a second: deadlines of connections, heartbeats of idle streams, and rest behind the last request."""
        now = monotonic()
        for connection in list(self.connections):
            connection.check_deadlines(now)
        idle_s = self.stages.snapshot.heartbeat_after_s
        for reply in list(self.streams):
            if now - reply.last_sent_s >= idle_s:
                reply.heartbeat()
        number, idle = self._number, not self.stages.limits.in_flight
        if idle and number == self._number_before and number != self._number_rested:
            self._number_rested = number
            self._rest()
        self._number_before = number
        self._ticker = asyncio.get_running_loop().call_later(TICK_S, self._tick)
