"""Pages about the installation itself: alerts, settings, reload, the kill switch."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from signalbox.console.access import Visit
from signalbox.console.desk import Desk
from signalbox.control.in_force import InForce
from signalbox.control.office import NOT_YOURS
from signalbox.control.readings.alerts import alert_lines
from signalbox.core.ports import Store

SCOPES = ("all", "tenant", "team", "key", "workload", "user", "session")
STOP_S_MAX = 31_536_000
ACTIONS_SHOWN = 100


class HousePages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # --- alerts

    async def alerts(self, request: Request, visit: Visit) -> Response:
        facts, firing = await self._desk.facts(), await self._desk.firing(visit.actor)
        context = {"alerts": alert_lines(firing), "due": facts.due}
        return await self._desk.page(request, visit, "alerts.html", lambda store, now: context)

    # --- settings

    async def settings(self, request: Request, visit: Visit) -> Response:
        desk, facts = self._desk, await self._desk.facts()
        told = visit.may("GET", "/api/actions")
        actions = (await desk.office.actions(visit.actor))[-ACTIONS_SHOWN:][::-1] if told else None

        def read(store: Store, now: InForce) -> dict[str, Any]:
            return {
                "facts": facts,
                "lag_s": facts.gauge("signalbox_ledger_lag_seconds"),
                "shipped": facts.gauge("signalbox_ledger_records_shipped_total"),
                "in_flight": facts.gauge("signalbox_in_flight"),
                "counts": {
                    "environments": len(now.snapshot.environments),
                    "deployments": len(now.snapshot.deployments),
                    "workloads": len(now.snapshot.workloads),
                    "rules": len(now.snapshot.rules),
                    "packs": len(now.declared.config.packs),
                },
                "config_file": desk.supervisor.config_file,
                "state_dir": desk.state.root,
                "actions": actions,
                "scopes": SCOPES,
            }

        return await desk.page(request, visit, "settings.html", read)

    async def reload(self, request: Request, visit: Visit) -> Response:
        await self._desk.office.record(visit.actor, "config.reload")
        await self._desk.supervisor.reload()
        return RedirectResponse("/settings", 303)

    async def stop(self, request: Request, visit: Visit) -> Response:
        """The kill switch, for people."""
        scope, name, text = visit.form.get("scope", ""), visit.form.get("name", "").strip(), visit.form.get("for_s", "")
        for_s = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
        if scope not in SCOPES or not 0 <= for_s <= STOP_S_MAX or (scope == "all") != (not name) or len(name) > 256:
            said = "Name whom to stop, and nobody for the scope `all`; seconds are a whole number. Nothing was done."
            return self._desk.excuse(request, visit, 400, "That cannot be stopped", said)
        if await self._desk.stop_calls(visit.actor, scope, name, for_s) is None:
            return self._desk.excuse(request, visit, 403, "That is not yours to stop", NOT_YOURS)
        return RedirectResponse("/settings", 303)
