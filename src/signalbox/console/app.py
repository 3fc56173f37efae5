"""The control plane as an ASGI application: every route but a few open ones needs a role (console/access.py)."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Literal

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from signalbox import __version__
from signalbox.console.access import Doors, Endpoint, Page, asked_here, guarded, refused
from signalbox.console.back_channel import BackChannel
from signalbox.console.bill_pages import BillPages
from signalbox.console.caches import CachePages
from signalbox.console.desk import Desk, json
from signalbox.console.headers import BrowserHeaders, Defects
from signalbox.console.house_pages import HousePages
from signalbox.console.keys import KeyPages, read_body
from signalbox.console.money_pages import MoneyPages
from signalbox.console.pages import Pages
from signalbox.console.playground import Playground
from signalbox.console.proof_pages import ProofPages
from signalbox.console.rendering import static
from signalbox.console.routing_pages import RoutingPages
from signalbox.console.sessions import Sessions
from signalbox.console.sign_in import SignIn
from signalbox.console.through_provider import ThroughProvider
from signalbox.control.explain import Question
from signalbox.control.in_force import Configurations
from signalbox.control.office import NOT_YOURS, Actor, KeyOffice
from signalbox.control.oidc import Providers
from signalbox.control.playground import Gateway
from signalbox.control.reading_room import ReadingRoom
from signalbox.control.state import StateDir
from signalbox.control.supervisor import Supervisor
from signalbox.core.errors import CallError
from signalbox.telemetry.log import Log
from signalbox.telemetry.prometheus import CONTENT_TYPE, render

EXPLAIN_BYTES_MAX = 32 * 1024 * 1024


class StopCalls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What POST /api/stop takes."""

    scope: Literal["all", "tenant", "team", "key", "workload", "user", "session"]
    name: Annotated[str, msgspec.Meta(max_length=256)] = ""
    for_s: Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] = 300.0


class Console:
    """The endpoints over one supervisor. metrics_open: /metrics may be scraped from this machine without a secret.
    room: where the ledger is read."""

    def __init__(
        self,
        supervisor: Supervisor,
        office: KeyOffice,
        metrics_open: bool,
        configurations: Configurations,
        state: StateDir,
        gateway: Gateway,
        room: ReadingRoom,
        log: Log,
    ) -> None:
        self._log = log
        self._configurations = configurations
        self._supervisor = supervisor
        self._office = office
        self._keys = KeyPages(office)
        self._caches = CachePages(office, configurations)
        self._metrics_open = metrics_open
        self._desk = Desk(supervisor, office, room, configurations, state, lambda: time.time_ns() // 1_000_000)
        self._pages = Pages(self._desk)
        self._routing = RoutingPages(self._desk)
        self._proof = ProofPages(self._desk)
        self._money = MoneyPages(self._desk)
        self._bills = BillPages(self._desk)
        self._house = HousePages(self._desk)
        self._playground = Playground(self._desk, gateway)
        self._sessions = Sessions(time.monotonic)
        self._providers = Providers(lambda: supervisor.checked.sign_in.oidc)
        self._doors = Doors(office, self._sessions, self._desk.excuse, log)

    async def close(self) -> None:
        """Ends what pages have started."""
        await self._proof.drills.stop()

    def app(self) -> Starlette:
        entrance = SignIn(self._office, self._sessions, self._providers)
        through = ThroughProvider(self._office, self._sessions, self._providers, entrance)
        back_channel = BackChannel(self._office, self._sessions, self._providers)
        return Starlette(
            routes=[
                Route("/healthz", self.healthz, methods=["GET"]),
                Route("/static/{name}", static, methods=["GET"]),
                Route("/sign-in", entrance.show, methods=["GET"]),
                Route("/sign-in", entrance.enter, methods=["POST"]),
                Route("/sign-in/provider", through.go, methods=["GET"]),
                Route("/sign-in/callback", through.come_back, methods=["GET"]),
                Route("/sign-in/logout", back_channel.hear, methods=["POST"]),
                self._page("POST", "/sign-out", entrance.leave),
                *self._api(),
                *self._shown(),
            ],
            middleware=[Middleware(BrowserHeaders), Middleware(Defects, log=self._log)],
            exception_handlers={HTTPException: self._lost},
        )

    def _api(self) -> list[Route]:
        keys, pages = self._keys, self._pages
        if self._metrics_open:
            metrics = Route("/metrics", self.open_metrics, methods=["GET"])
        else:
            metrics = self._route("GET", "/metrics", self.metrics)
        return [
            metrics,
            self._route("GET", "/api/status", self.status),
            self._route("POST", "/api/reload", self.reload),
            self._route("POST", "/api/explain", self.explain),
            self._route("POST", "/api/stop", self.stop),
            self._route("GET", "/api/alerts", self.alerts),
            self._route("GET", "/api/budgets", self._money.budgets_json),
            self._route("GET", "/api/cache", self._caches.stats),
            self._route("POST", "/api/cache/invalidate", self._caches.invalidate),
            self._route("GET", "/api/keys", keys.list),
            self._route("POST", "/api/keys", keys.create),
            self._route("POST", "/api/keys/{id}/rotate", keys.rotate),
            self._route("POST", "/api/keys/{id}/revoke", keys.revoke),
            self._route("GET", "/api/actions", keys.actions),
            self._route("GET", "/api/overview", pages.overview_json),
            self._route("GET", "/api/requests", pages.requests_json),
            self._route("GET", "/api/requests/{id}", pages.request_json),
            self._route("GET", "/api/workloads", self._routing.workloads_json),
            self._route("GET", "/api/workloads/{name:path}", self._routing.workload_json),
            self._route("GET", "/api/deployments", self._routing.deployments_json),
            self._route("GET", "/api/config", self._routing.config_json),
            self._route("POST", "/api/config/preview", self._routing.preview_json),
            self._route("POST", "/api/config/apply", self._routing.apply_json),
            self._route("GET", "/api/config/versions", self._routing.versions_json),
            self._route("POST", "/api/config/rollback", self._routing.roll_back_json),
            self._route("GET", "/api/spend", self._money.spend_json),
            self._route("GET", "/api/spend.parquet", self._money.spend_parquet_api),
            self._route("POST", "/api/spend/reconcile", self._bills.reconcile_json),
            self._route("GET", "/api/compliance", self._proof.compliance_json),
            self._route("POST", "/api/verify", self._proof.verify_json),
            self._route("GET", "/api/requests/{id}/content", self._proof.content_json),
            self._route("POST", "/api/ledger/erase", self._proof.erase_json),
            self._route("GET", "/api/evidence", self._proof.evidence_json),
            self._route("GET", "/api/drills", self._proof.drills_json),
            self._route("POST", "/api/drills", self._proof.run_drill_json),
            self._route("GET", "/api/drills/{id}", self._proof.drill_json),
            self._route("GET", "/api/plans", self._proof.plans_json),
        ]

    def _shown(self) -> list[Route]:
        pages = self._pages
        return [
            self._page("GET", "/", pages.overview),
            self._page("GET", "/requests", pages.requests),
            self._page("GET", "/requests/{id}", pages.request),
            self._page("GET", "/workloads", self._routing.workloads),
            self._page("GET", "/workloads/{name:path}", self._routing.workload),
            self._page("GET", "/deployments", self._routing.deployments),
            self._page("GET", "/config", self._routing.config),
            self._page("POST", "/config/preview", self._routing.preview),
            self._page("POST", "/config/apply", self._routing.apply),
            self._page("POST", "/config/rollback", self._routing.roll_back),
            self._page("GET", "/compliance", self._proof.compliance),
            self._page("POST", "/compliance", self._proof.verify),
            self._page("GET", "/compliance/evidence.zip", self._proof.evidence),
            self._page("GET", "/drills", self._proof.drill_list),
            self._page("POST", "/drills", self._proof.run_drill),
            self._page("GET", "/drills/{id}", self._proof.drill),
            self._page("GET", "/planner", self._proof.planner),
            self._page("GET", "/spend", self._money.spend),
            self._page("GET", "/spend.csv", self._money.spend_csv),
            self._page("GET", "/spend.parquet", self._money.spend_parquet),
            self._page("GET", "/spend/reconcile", self._bills.show),
            self._page("POST", "/spend/reconcile", self._bills.reconcile),
            self._page("GET", "/keys", self._money.keys),
            self._page("POST", "/keys", self._money.create),
            self._page("POST", "/keys/{id}/rotate", self._money.rotate),
            self._page("POST", "/keys/{id}/revoke", self._money.revoke),
            self._page("GET", "/playground", self._playground.show),
            self._page("POST", "/playground", self._playground.ask),
            self._page("POST", "/playground/stream", self._playground.stream),
            self._page("GET", "/alerts", self._house.alerts),
            self._page("GET", "/settings", self._house.settings),
            self._page("POST", "/settings/reload", self._house.reload),
            self._page("POST", "/settings/stop", self._house.stop),
        ]

    def _route(self, method: str, path: str, endpoint: Endpoint) -> Route:
        return Route(path, guarded(self._office, self._sessions, method, path, endpoint), methods=[method])

    def _page(self, method: str, path: str, page: Page) -> Route:
        return Route(path, self._doors.guarded(method, path, page), methods=[method])

    async def _lost(self, request: Request, error: Exception) -> Response:
        """What no route answers: as JSON to programs, as a page to people."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        said = "There is no such page." if status == 404 else "This address takes another method."
        if "text/html" not in request.headers.get("accept", "") or request.url.path.startswith("/api/"):
            return refused(status, "not_found" if status == 404 else "method_not_allowed", said)
        return self._desk.excuse(request, await self._doors.visit(request), status, "Nothing here", said)

    async def healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(self, request: Request, actor: Actor) -> Response:
        return await self._metrics()

    async def open_metrics(self, request: Request) -> Response:
        """Without a secret for whoever is on this machine; for all others like any other page."""
        if asked_here(request):
            return await self._metrics()
        return await guarded(self._office, self._sessions, "GET", "/metrics", self.metrics)(request)

    async def _metrics(self) -> Response:
        text = render(await self._supervisor.metrics())
        return PlainTextResponse(text, media_type=CONTENT_TYPE)

    async def status(self, request: Request, actor: Actor) -> Response:
        supervisor = self._supervisor
        return JSONResponse(
            {
                "version": __version__,
                "generation": supervisor.generation,
                "workers": supervisor.workers.wanted,
                "workers_alive": supervisor.workers.alive,
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
        wanted = await read_body(request, StopCalls)
        if isinstance(wanted, Response):
            return wanted
        if (wanted.scope == "all") != (not wanted.name):
            return _error(400, "invalid_request", "Name whom to stop, and nobody for the scope `all`.")
        until_ms = await self._desk.stop_calls(actor, wanted.scope, wanted.name, wanted.for_s)
        if until_ms is None:
            return _error(403, "forbidden", NOT_YOURS)
        done: dict[str, Any] = {"scope": wanted.scope, "name": wanted.name, "until_ms": until_ms}
        if wanted.scope == "workload":
            in_force = await asyncio.to_thread(self._configurations.now)
            if wanted.name not in in_force.snapshot.workloads:
                done["warning"] = f"There is no workload {wanted.name!r} in the configuration in force."
        return JSONResponse(done)

    async def alerts(self, request: Request, actor: Actor) -> Response:
        """What fires now, the critical first."""
        shown = [
            {
                "alert": alert.name,
                "severity": alert.severity,
                "subject": alert.subject,
                "summary": alert.summary,
                "since_s": round(since, 3),
            }
            for alert, since in await self._desk.firing(actor)
        ]
        return JSONResponse({"alerts": shown})

    async def explain(self, request: Request, actor: Actor) -> Response:
        """What would become of a request, without sending it."""
        question = await read_body(request, Question, EXPLAIN_BYTES_MAX)
        if isinstance(question, Response):
            return question
        try:
            explanation = await asyncio.to_thread(lambda: self._configurations.now().explainer.explain(question))
        except CallError as error:
            return _error(error.status, error.code, error.message)
        return json(explanation)


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "code": code}}, status)
