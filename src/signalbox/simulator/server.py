"""The simulator itself: its listeners, its books, and which request goes where."""

from __future__ import annotations

import asyncio
import ssl
import time
import urllib.parse

from signalbox.simulator import control, openai_errors
from signalbox.simulator.bill import Bill
from signalbox.simulator.connection import Connection, HttpRequest
from signalbox.simulator.endpoints import ENDPOINTS, models_body
from signalbox.simulator.exchange import Exchange
from signalbox.simulator.faults import FaultBook, Rule
from signalbox.simulator.intake import Intake
from signalbox.simulator.limits import ProviderState
from signalbox.simulator.log import Entry, RequestLog
from signalbox.simulator.model import Refusal, encode
from signalbox.simulator.pace import Wheel
from signalbox.simulator.ports import ProviderPort
from signalbox.simulator.settings import Prices, SimulatorSettings

_BACKLOG = 2_048
# Event loop rounds that `stop` grants the transports to report that they are closed.
_CLOSING_ROUNDS_MAX = 100


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
        self._intake: Intake | None = None
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
        self._intake = Intake(self.settings, self.providers, self.bill, self.faults, self._wheel)
        self._server = await loop.create_server(lambda: Connection(self, ""), host, port, backlog=_BACKLOG)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    async def start_provider_port(
        self, name: str, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> ProviderPort:
        """A port of its own for one provider, which can be put down: then connections are refused. tls: what it shows
        of itself, None for plain HTTP."""
        if name not in self.providers:
            raise KeyError(name)
        extra = ProviderPort(self, name, tls)
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
        for _ in range(_CLOSING_ROUNDS_MAX):
            if not self.connections:
                break
            await asyncio.sleep(0)
        if self._wheel is not None:
            self._wheel.clear()

    def reset(self) -> None:
        """Forgets bill, log, faults and gauges; connections and running requests stay."""
        self.bill.clear()
        self.log.clear()
        self.faults.clear()
        self.gauges.clear()
        if self._intake is not None:
            self._intake.reseed()

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
            assert self._intake is not None
            return self._intake.start(connection, request, entry)
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
