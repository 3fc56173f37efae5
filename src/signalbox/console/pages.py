"""The pages that show the installation: what each reads, and the template it is drawn with."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from signalbox.console.access import Visit, refused
from signalbox.console.desk import Desk, json
from signalbox.console.rendering import render
from signalbox.console.track import NARROW, diagram
from signalbox.control.in_force import InForce
from signalbox.control.office import Actor
from signalbox.control.readings import requests as calls
from signalbox.control.readings.alerts import alert_lines
from signalbox.control.readings.overview import overview
from signalbox.control.readings.scope import Scope
from signalbox.core.labels import LEVELS, TAGS
from signalbox.core.ports import Store
from signalbox.ledger.query import STATES

CHANGES_SHOWN = 8


class Pages:
    """One method a page, and one for the same as JSON."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # --- overview

    async def overview(self, request: Request, visit: Visit) -> Response:
        desk = self._desk
        scope, facts = await desk.office.scope(visit.actor), await desk.facts()
        done = await desk.office.actions(visit.actor) if visit.may("GET", "/api/actions") else None
        changes = done[-CHANGES_SHOWN:][::-1] if done is not None else None
        told = alert_lines(facts.firing) if scope.whole else []

        def read(store: Store, in_force: InForce) -> dict[str, Any]:
            found = overview(store, in_force, scope, desk.now_ms())
            return {
                "view": found,
                "track": diagram(found),
                "narrow": diagram(found, NARROW),
                "alerts": told,
                "changes": changes,
                "whole": scope.whole,
            }

        return await desk.page(request, visit, "overview.html", read)

    async def overview_json(self, request: Request, actor: Actor) -> Response:
        scope = await self._desk.office.scope(actor)
        return json(await self._desk.read(lambda store, now: overview(store, now, scope, self._desk.now_ms())))

    # --- requests

    async def requests(self, request: Request, visit: Visit) -> Response:
        query = {name: value for name, value in request.query_params.items() if name not in ("live", "seen")}
        asked = calls.read_asked(query)
        scope = await self._desk.office.scope(visit.actor)
        if request.query_params.get("live") == "rows":
            return await self._rows(asked, scope, query, request.query_params.get("seen", ""))

        def read(store: Store, in_force: InForce) -> dict[str, Any]:
            return {
                "page": calls.requests(store, asked, scope),
                "asked": asked,
                "query_values": query,
                "workloads": list(in_force.snapshot.workloads),
                "environments": [one.name for one in in_force.snapshot.environments],
                "deployments": [one.name for one in in_force.snapshot.deployments],
                "label_names": [*LEVELS, *TAGS],
                "states": STATES,
            }

        return await self._desk.page(request, visit, "requests.html", read)

    async def _rows(self, asked: calls.Asked, scope: Scope, query: dict[str, str], seen: str) -> Response:
        """The live tail: the rows alone, and nothing at all while they are the same."""

        def read(store: Store, in_force: InForce) -> str:
            page = calls.news(store, asked, scope, seen)
            if page is None:
                return ""
            return render("requests_rows.html", page=page, asked=asked, query_values=query, now_ms=self._desk.now_ms())

        html = await self._desk.read(read)
        return Response(html, media_type="text/html") if html else Response(status_code=204)

    async def requests_json(self, request: Request, actor: Actor) -> Response:
        asked = calls.read_asked(dict(request.query_params))
        scope = await self._desk.office.scope(actor)
        return json(await self._desk.read(lambda store, _: calls.requests(store, asked, scope)))

    async def request(self, request: Request, visit: Visit) -> Response:
        scope = await self._desk.office.scope(visit.actor)
        call_id, time_ms = request.path_params["id"], _time(request.query_params.get("at", ""))
        found = await self._desk.read(lambda store, now: calls.one_call(store, now, scope, call_id, time_ms))
        if found is None:
            said = "There is no such call, or it is not yours to read. A call shows up here within two seconds."
            return self._desk.excuse(request, visit, 404, "No such call", said)
        template = "request_drawer.html" if request.headers.get("hx-request") else "request.html"
        return await self._desk.page(request, visit, template, lambda store, now: {"call": found, "now": now})

    async def request_json(self, request: Request, actor: Actor) -> Response:
        scope = await self._desk.office.scope(actor)
        call_id, time_ms = request.path_params["id"], _time(request.query_params.get("at", ""))
        found = await self._desk.read(lambda store, now: calls.one_call(store, now, scope, call_id, time_ms))
        return json(found) if found is not None else refused(404, "not_found", "There is no such call.")


def _time(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 15 else None
