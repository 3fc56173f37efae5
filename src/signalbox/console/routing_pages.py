"""Pages of the routing table: workloads, deployments, and changing the configuration as a difference."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from signalbox.console.access import Visit, refused
from signalbox.console.desk import Desk, json
from signalbox.console.keys import read_body
from signalbox.console.rendering import render
from signalbox.control.config_change import (
    STRATEGIES,
    Draft,
    Preview,
    apply_text,
    draft,
    preview,
    roll_back,
    with_workload,
)
from signalbox.control.in_force import InForce
from signalbox.control.office import Actor
from signalbox.control.readings.deployments import deployments
from signalbox.control.readings.workloads import one_workload, workloads
from signalbox.control.versions import Version, Versions
from signalbox.core.errors import ConfigError
from signalbox.core.ports import Store

VERSIONS_SHOWN = 30
TEXT_BYTES_MAX = 2 * 1024 * 1024


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole new text, with covers as the draft has them. base: of the draft; only to apply."""

    text: str
    base: str = ""


class WantedVersion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str


class RoutingPages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._versions = Versions(desk.state.root)

    # --- workloads

    async def workloads(self, request: Request, visit: Visit) -> Response:
        desk = self._desk
        scope, facts = await desk.office.scope(visit.actor), await desk.facts()

        def read(store: Store, now: InForce) -> dict[str, Any]:
            return {"lines": workloads(store, now, scope, facts.balances or (), facts.now_ms)}

        return await desk.page(request, visit, "workloads.html", read)

    async def workloads_json(self, request: Request, actor: Actor) -> Response:
        scope, facts = await self._desk.office.scope(actor), await self._desk.facts()
        found = await self._desk.read(
            lambda store, now: workloads(store, now, scope, facts.balances or (), facts.now_ms)
        )
        return json({"workloads": found})

    async def workload(self, request: Request, visit: Visit) -> Response:
        desk, name = self._desk, request.path_params["name"]
        scope, facts = await desk.office.scope(visit.actor), await desk.facts()
        found = await desk.read(
            lambda store, now: one_workload(store, now, scope, facts.balances or (), facts.now_ms, name)
        )
        if found is None:
            return desk.excuse(request, visit, 404, "No such workload", "The configuration in force names none so.")
        editable = desk.supervisor.config_file is not None and visit.may("POST", "/config/preview")
        context = {"view": found, "strategies": STRATEGIES, "editable": editable}
        return await desk.page(request, visit, "workload.html", lambda store, now: context)

    async def workload_json(self, request: Request, actor: Actor) -> Response:
        scope, facts = await self._desk.office.scope(actor), await self._desk.facts()
        name = request.path_params["name"]
        found = await self._desk.read(
            lambda store, now: one_workload(store, now, scope, facts.balances or (), facts.now_ms, name)
        )
        return json(found) if found is not None else refused(404, "not_found", "There is no such workload.")

    # --- deployments

    async def deployments(self, request: Request, visit: Visit) -> Response:
        desk = self._desk
        scope, facts = await desk.office.scope(visit.actor), await desk.facts()
        return await desk.page(
            request, visit, "deployments.html", lambda store, now: {"view": deployments(store, now, facts, scope)}
        )

    async def deployments_json(self, request: Request, actor: Actor) -> Response:
        scope, facts = await self._desk.office.scope(actor), await self._desk.facts()
        return json(await self._desk.read(lambda store, now: deployments(store, now, facts, scope)))

    # --- the configuration

    async def config(self, request: Request, visit: Visit) -> Response:
        shown = await self._desk.read(lambda store, now: self._draft())
        context = {"draft": shown, "versions": self._kept()}
        return await self._desk.page(request, visit, "config.html", lambda store, now: context)

    async def config_json(self, request: Request, actor: Actor) -> Response:
        return json(await self._desk.read(lambda store, now: self._draft()))

    async def preview(self, request: Request, visit: Visit) -> Response:
        """Of a whole text, or of one workload's placements and strategy."""
        form = visit.form
        workload = form.get("workload", "")
        if workload:
            wanted = await self._desk.read(lambda store, now: self._with_workload(now, workload, form))
        else:
            wanted = form.get("text", "")
        try:
            shown = await self._desk.read(lambda store, now: self._preview(wanted))
        except ConfigError as error:
            context = {"problems": error.problems, "text": wanted, "base": form.get("base", "")}
            around = self._desk.around(request, visit)
            html = await self._desk.read(lambda store, now: render("config_refused.html", **around, **context))
            return Response(html, 400, media_type="text/html")
        context = {"view": shown, "file": self._desk.supervisor.config_file, "back": f"/workloads/{workload}"}
        return await self._desk.page(request, visit, "config_preview.html", lambda store, now: context)

    async def preview_json(self, request: Request, actor: Actor) -> Response:
        wanted = await read_body(request, Wanted, TEXT_BYTES_MAX)
        if isinstance(wanted, Response):
            return wanted
        return json(await self._desk.read(lambda store, now: self._preview(wanted.text)))

    async def apply(self, request: Request, visit: Visit) -> Response:
        text, base = visit.form.get("text", ""), visit.form.get("base", "")
        kept, why = await self._apply(visit.actor, text, base)
        return self._done(request, visit, kept, why)

    async def apply_json(self, request: Request, actor: Actor) -> Response:
        wanted = await read_body(request, Wanted, TEXT_BYTES_MAX)
        if isinstance(wanted, Response):
            return wanted
        return self._told(*await self._apply(actor, wanted.text, wanted.base))

    async def roll_back(self, request: Request, visit: Visit) -> Response:
        kept, why = await self._roll_back(visit.actor, visit.form.get("id", ""))
        return self._done(request, visit, kept, why)

    async def roll_back_json(self, request: Request, actor: Actor) -> Response:
        wanted = await read_body(request, WantedVersion)
        if isinstance(wanted, Response):
            return wanted
        return self._told(*await self._roll_back(actor, wanted.id))

    async def versions_json(self, request: Request, actor: Actor) -> Response:
        return json({"versions": self._kept()})

    def _kept(self) -> list[Version]:
        return self._versions.list()[-VERSIONS_SHOWN:][::-1]

    def _draft(self) -> Draft:
        text = self._desk.supervisor.text
        return draft(text.content, text.name, self._desk.supervisor.config_file)

    def _preview(self, wanted: str) -> Preview:
        text = self._desk.supervisor.text
        return preview(self._desk.configurations, text.content, text.name, wanted)

    def _with_workload(self, now: InForce, name: str, form: dict[str, str]) -> str:
        if name not in now.declared.config.workloads:
            raise ConfigError([f"workload: the file has no {name[:128]!r}."])
        placements = [each for each in form.get("placements", "").replace(",", " ").split() if each]
        text = self._desk.supervisor.text
        return with_workload(text.content, text.name, name, placements, form.get("strategy", ""))

    async def _apply(self, actor: Actor, text: str, base: str) -> tuple[Version, str]:
        desk, path = self._desk, self._desk.supervisor.config_file
        if path is None:
            raise ConfigError(["the configuration is no file here: there is nothing to write. Use --config."])
        await desk.office.record_change(actor, "config.apply", path.name)
        kept = await desk.read(
            lambda store, now: apply_text(desk.configurations, self._versions, path, base, text, f"console: {actor.id}")
        )
        return kept, await desk.supervisor.reload()

    async def _roll_back(self, actor: Actor, wanted: str) -> tuple[Version, str]:
        desk, path = self._desk, self._desk.supervisor.config_file
        if path is None:
            raise ConfigError(["the configuration is no file here: there is nothing to go back to."])
        await desk.office.record_change(actor, "config.rollback", wanted[:64])
        kept = await desk.read(lambda store, now: roll_back(desk.configurations, self._versions, path, wanted))
        return kept, await desk.supervisor.reload()

    def _done(self, request: Request, visit: Visit, kept: Version, why: str) -> Response:
        if why:
            said = f"It was written, but a worker could not take it, so the last good one stays in force: {why}"
            return self._desk.excuse(request, visit, 409, "Not in force", said)
        return RedirectResponse(f"/config?kept={kept.id}", 303)

    def _told(self, kept: Version, why: str) -> Response:
        if why:
            return refused(409, "config_refused", why)
        return json({"kept": kept.id, "generation": self._desk.supervisor.generation})
