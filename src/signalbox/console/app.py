"""The control plane as an ASGI application: every route but /healthz needs the admin secret."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from signalbox import __version__
from signalbox.control.state import AdminSecret
from signalbox.control.supervisor import Supervisor
from signalbox.telemetry.metrics import render

Endpoint = Callable[[Request], Awaitable[Response]]


class Console:
    """The endpoints over one supervisor. metrics_open: /metrics may be scraped without the secret (loopback only)."""

    def __init__(self, supervisor: Supervisor, secret: AdminSecret, metrics_open: bool) -> None:
        self._supervisor = supervisor
        self._secret = secret
        self._metrics_open = metrics_open

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/healthz", self.healthz, methods=["GET"]),
                Route("/metrics", self.metrics if self._metrics_open else self._guarded(self.metrics), methods=["GET"]),
                Route("/api/status", self._guarded(self.status), methods=["GET"]),
                Route("/api/reload", self._guarded(self.reload), methods=["POST"]),
            ],
        )

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            scheme, _, candidate = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not self._secret.matches(candidate.strip()):
                body = {"error": {"message": "Send the admin secret as Authorization: Bearer.", "code": "unauthorized"}}
                return JSONResponse(body, 401, headers={"www-authenticate": "Bearer"})
            return await endpoint(request)

        return guarded

    async def healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        text = render(await self._supervisor.metrics())
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def status(self, request: Request) -> Response:
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

    async def reload(self, request: Request) -> Response:
        why = await self._supervisor.reload()
        if why:
            body = {"error": {"message": why, "code": "config_refused"}, "generation": self._supervisor.generation}
            return JSONResponse(body, 409)
        return JSONResponse({"generation": self._supervisor.generation})


def is_loopback(host: str) -> bool:
    """Whether a listening address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
