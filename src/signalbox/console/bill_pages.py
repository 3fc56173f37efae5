"""A provider's bill held against the ledger: a file that is sent, and what of it calls explain."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from signalbox.console.access import Visit
from signalbox.console.desk import Desk, json
from signalbox.console.forms import UPLOAD_BYTES_MAX, BadForm, read_within
from signalbox.control.in_force import InForce
from signalbox.control.office import Actor
from signalbox.control.readings.reconciled import reconciled
from signalbox.core.errors import ConfigError
from signalbox.core.ports import Store
from signalbox.ledger.provider_export import read_lines
from signalbox.ledger.query import read_filters
from signalbox.ledger.reconcile import Reconciliation

LINES_MAX = 100_000
ATTEMPTS_MAX = 200_000
SHOWN = 200
FILTERS = ("deployment", "environment", "since", "until")
_NAME = "the bill"


class BillPages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show(self, request: Request, visit: Visit) -> Response:
        return await self._page(request, visit, {}, None, "")

    async def reconcile(self, request: Request, visit: Visit) -> Response:
        filters = {name: visit.form.get(name, "").strip() for name in FILTERS}
        try:
            found = await self._reconciled(visit.actor, visit.form.get("bill", ""), filters)
        except ConfigError as error:
            return await self._page(request, visit, filters, None, str(error))
        return await self._page(request, visit, filters, found, "")

    async def reconcile_json(self, request: Request, actor: Actor) -> Response:
        """The body is the export itself."""
        filters = dict(request.query_params)
        unknown = sorted(filters.keys() - set(FILTERS))
        if unknown:
            raise ConfigError([f"{unknown[0][:64]!r} is no filter here. Use {', '.join(FILTERS)}."])
        try:
            text = (await read_within(request, UPLOAD_BYTES_MAX)).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadForm("The bill is no text in UTF-8.") from None
        return json(await self._reconciled(actor, text, filters))

    async def _reconciled(self, actor: Actor, text: str, filters: Mapping[str, str]) -> Reconciliation:
        scope = await self._desk.office.scope(actor)
        where = scope.narrow(read_filters({name: value for name, value in filters.items() if value}))
        if not text.strip():
            raise ConfigError([f"{_NAME}: is empty. Choose a CSV or FOCUS export of costs."])

        def read(store: Store, now: InForce) -> Reconciliation:
            charges = read_lines(StringIO(text, newline=""), _NAME, LINES_MAX)
            return reconciled(store, charges, where, ATTEMPTS_MAX)

        return await self._desk.read(read)

    async def _page(
        self, request: Request, visit: Visit, filters: Mapping[str, str], found: Reconciliation | None, problem: str
    ) -> Response:
        def read(store: Store, now: InForce) -> dict[str, Any]:
            return {
                "view": found,
                "filters": filters,
                "problem": problem,
                "shown": SHOWN,
                "bytes_max": UPLOAD_BYTES_MAX,
                "attempts_max": ATTEMPTS_MAX,
            }

        return await self._desk.page(request, visit, "reconcile.html", read)
