"""The control plane as an ASGI application: every route but /healthz needs a role (console/access.py)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, Literal

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from signalbox import __version__
from signalbox.console.access import Endpoint, guarded
from signalbox.console.keys import KeyPages
from signalbox.control.explain import Explainer, Question
from signalbox.control.office import Actor, KeyOffice
from signalbox.control.supervisor import Supervisor
from signalbox.core.errors import CallError
from signalbox.core.link import Stop
from signalbox.telemetry.prometheus import CONTENT_TYPE, render

EXPLAIN_BYTES_MAX = 32 * 1024 * 1024


class StopCalls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What POST /api/stop takes."""

    scope: Literal["all", "tenant", "team", "key", "workload", "user", "session"]
    name: Annotated[str, msgspec.Meta(max_length=256)] = ""
    for_s: Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] = 300.0


class Console:
    """The endpoints over one supervisor. metrics_open: /metrics may be scraped without the secret (loopback only).
    explainer: of the configuration in force; it may take a while to make."""

    def __init__(
        self, supervisor: Supervisor, office: KeyOffice, metrics_open: bool, explainer: Callable[[], Explainer]
    ) -> None:
        self._explainer = explainer
        self._supervisor = supervisor
        self._office = office
        self._keys = KeyPages(office)
        self._metrics_open = metrics_open

    def app(self) -> Starlette:
        routes = [Route("/healthz", self.healthz, methods=["GET"])]
        if self._metrics_open:
            routes.append(Route("/metrics", self.open_metrics, methods=["GET"]))
        else:
            routes.append(self._route("GET", "/metrics", self.metrics))
        keys = self._keys
        return Starlette(
            routes=[
                *routes,
                self._route("GET", "/api/status", self.status),
                self._route("POST", "/api/reload", self.reload),
                self._route("POST", "/api/explain", self.explain),
                self._route("POST", "/api/stop", self.stop),
                self._route("GET", "/api/budgets", self.budgets),
                self._route("GET", "/api/keys", keys.list),
                self._route("POST", "/api/keys", keys.create),
                self._route("POST", "/api/keys/{id}/rotate", keys.rotate),
                self._route("POST", "/api/keys/{id}/revoke", keys.revoke),
                self._route("GET", "/api/actions", keys.actions),
            ],
        )

    def _route(self, method: str, path: str, endpoint: Endpoint) -> Route:
        return Route(path, guarded(self._office, method, path, endpoint), methods=[method])

    async def healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(self, request: Request, actor: Actor) -> Response:
        return await self.open_metrics(request)

    async def open_metrics(self, request: Request) -> Response:
        text = render(await self._supervisor.metrics())
        return PlainTextResponse(text, media_type=CONTENT_TYPE)

    async def status(self, request: Request, actor: Actor) -> Response:
        supervisor = self._supervisor
        return JSONResponse(
            {
                "version": __version__,
                "generation": supervisor.generation,
                "workers_alive": supervisor.workers_alive,
                "reload_failures": supervisor.reload_failures,
                "last_reload_error": supervisor.last_error,
                "due": supervisor.checked.due_counts,
            }
        )

    async def reload(self, request: Request, actor: Actor) -> Response:
        await self._office.record(actor, "config.reload")
        why = await self._supervisor.reload()
        if why:
            body = {"error": {"message": why, "code": "config_refused"}, "generation": self._supervisor.generation}
            return JSONResponse(body, 409)
        return JSONResponse({"generation": self._supervisor.generation})

    async def stop(self, request: Request, actor: Actor) -> Response:
        """The kill switch: ends running streams of somebody on every worker, and refuses new calls for a while."""
        try:
            wanted = msgspec.json.decode(await request.body(), type=StopCalls)
        except msgspec.MsgspecError as error:
            return _error(400, "invalid_request", f"What to stop cannot be read: {error}.")
        if (wanted.scope == "all") != (not wanted.name):
            return _error(400, "invalid_request", "Name whom to stop, and nobody for the scope `all`.")
        await self._office.record(actor, "calls.stop", f"{wanted.scope}:{wanted.name}", {"for_s": str(wanted.for_s)})
        now_ms = time.time_ns() // 1_000_000
        until_ms = now_ms + round(wanted.for_s * 1000)
        await self._supervisor.stop_calls(Stop(wanted.scope, wanted.name, until_ms), now_ms)
        return JSONResponse({"scope": wanted.scope, "name": wanted.name, "until_ms": until_ms})

    async def budgets(self, request: Request, actor: Actor) -> Response:
        """What is spent and leased of every budget in its present period."""
        found = await self._supervisor.balances(time.time_ns() // 1_000_000)
        return Response(msgspec.json.encode({"budgets": found}), media_type="application/json")

    async def explain(self, request: Request, actor: Actor) -> Response:
        """What would become of a request, without sending it."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > EXPLAIN_BYTES_MAX:
                return _error(413, "request_too_large", f"At most {EXPLAIN_BYTES_MAX} bytes are explained.")
        try:
            question = msgspec.json.decode(bytes(body), type=Question)
            explanation = await asyncio.to_thread(lambda: self._explainer().explain(question))
        except msgspec.MsgspecError as error:
            return _error(400, "invalid_request", f"The question cannot be read: {error}.")
        except CallError as error:
            return _error(error.status, error.code, error.message)
        return Response(msgspec.json.encode(explanation), media_type="application/json")


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "code": code}}, status)


def is_loopback(host: str) -> bool:
    """Whether a listening address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
