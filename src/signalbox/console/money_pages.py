"""Pages about money and keys: spend by dimension and day, budgets, virtual keys and teams."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from signalbox.console import words
from signalbox.console.access import Visit
from signalbox.console.desk import Desk, json
from signalbox.console.stack import LOOKS, stack
from signalbox.control.in_force import InForce
from signalbox.control.keys import NewKey, TooBroad, own_budgets
from signalbox.control.office import Actor
from signalbox.control.readings import spend as money
from signalbox.control.readings.budgets import BudgetUse, of_tenant, shown, uses
from signalbox.control.readings.facts import Facts
from signalbox.control.readings.scope import Scope
from signalbox.core.days import day_of
from signalbox.core.errors import StoreError
from signalbox.core.keys import ROLES
from signalbox.core.ports import Store, VirtualKey

KEYS_SHOWN = 500


class MoneyPages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # --- spend

    async def spend(self, request: Request, visit: Visit) -> Response:
        desk, scope = self._desk, await self._desk.office.scope(visit.actor)
        query = dict(request.query_params)
        asked = self._asked(query)

        def read(store: Store, now: InForce) -> dict[str, Any]:
            found = money.spend(store, asked, scope, desk.now_ms())
            return {
                "view": found,
                "stack": stack(found),
                "by": money.BY,
                "many": money.MANY,
                "query_values": query,
                "rows_of": money.ROWS_OF,
                "stack_looks": LOOKS,
            }

        return await desk.page(request, visit, "spend.html", read)

    async def spend_json(self, request: Request, actor: Actor) -> Response:
        scope, asked = await self._desk.office.scope(actor), self._asked(dict(request.query_params))
        return json(await self._desk.read(lambda store, now: money.spend(store, asked, scope, self._desk.now_ms())))

    async def spend_csv(self, request: Request, visit: Visit) -> Response:
        scope, asked = await self._desk.office.scope(visit.actor), self._asked(dict(request.query_params))

        def read(store: Store, now: InForce) -> str:
            out = io.StringIO()
            writer = csv.writer(out)
            for row in money.csv_rows(self._every_group(store, asked, scope)):
                writer.writerow([words.cell(value) for value in row])
            return out.getvalue()

        name = f"spend-{asked.by}-{asked.since}-{asked.until}.csv"
        text = await self._desk.read(read)
        return Response(
            text,
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )

    def _every_group(self, store: Store, asked: money.Asked, scope: Scope) -> money.Spend:
        return money.spend(store, asked, scope, self._desk.now_ms(), every_group=True)

    async def spend_parquet(self, request: Request, visit: Visit) -> Response:
        return await self._parquet(request, visit.actor)

    async def spend_parquet_api(self, request: Request, actor: Actor) -> Response:
        return await self._parquet(request, actor)

    async def _parquet(self, request: Request, actor: Actor) -> Response:
        scope, asked = await self._desk.office.scope(actor), self._asked(dict(request.query_params))
        content = await self._desk.read(lambda store, now: money.as_parquet(self._every_group(store, asked, scope)))
        name = f"spend-{asked.by}-{asked.since}-{asked.until}.parquet"
        return Response(
            content,
            media_type="application/vnd.apache.parquet",
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )

    def _asked(self, query: dict[str, str]) -> money.Asked:
        return money.read_asked(query, day_of(self._desk.now_ms()))

    # --- keys, teams, budgets

    async def budgets_json(self, request: Request, actor: Actor) -> Response:
        """Every budget with its limit, and what is spent and leased of it in its present window."""
        facts = await self._desk.facts()
        if facts.balances is None:
            raise StoreError("what is left cannot be told")
        return json({"budgets": [shown(one) for one in await self._budgets(actor, facts)]})

    async def _budgets(self, actor: Actor, facts: Facts) -> list[BudgetUse]:
        """Those that are for the actor's eyes."""
        office = self._desk.office
        rows, alone = await office.list_keys(actor), await office.sees_all(actor)
        own, balances = own_budgets(rows), facts.balances or ()
        found = await self._desk.read(lambda store, now: uses(now.snapshot, own, balances, facts.now_ms))
        return found if alone else of_tenant(found, actor.key.tenant, rows)

    async def keys(self, request: Request, visit: Visit) -> Response:
        return await self._keys(request, visit)

    async def create(self, request: Request, visit: Visit) -> Response:
        try:
            row, key = await self._desk.office.create(visit.actor, _wanted(visit.form))
        except (TooBroad, ValueError) as error:
            return await self._keys(request, visit, problem=f"The key was not made: {error}.")
        return await self._keys(request, visit, made=(row.id, row.name, key.reveal()))

    async def rotate(self, request: Request, visit: Visit) -> Response:
        grace = visit.form.get("grace_s", "0")
        try:
            grace_s = int(grace) if grace.isascii() and grace.isdecimal() and len(grace) < 10 else -1
            made = await self._desk.office.rotate(visit.actor, request.path_params["id"], grace_s)
        except (TooBroad, ValueError) as error:
            return await self._keys(request, visit, problem=f"The key was not rotated: {error}.")
        if made is None:
            return self._desk.excuse(request, visit, 404, "No such key", "There is no such key, or it is not yours.")
        return await self._keys(request, visit, made=(made[0].id, made[0].name, made[1].reveal()))

    async def revoke(self, request: Request, visit: Visit) -> Response:
        if not await self._desk.office.revoke(visit.actor, request.path_params["id"]):
            return self._desk.excuse(request, visit, 404, "No such key", "There is no such key, or it is not yours.")
        return RedirectResponse("/keys", 303)

    async def _keys(
        self, request: Request, visit: Visit, problem: str = "", made: tuple[str, str, str] | None = None
    ) -> Response:
        desk = self._desk
        rows, facts = await desk.office.list_keys(visit.actor), await desk.facts()
        budgets = await self._budgets(visit.actor, facts) if visit.may("GET", "/api/budgets") else []

        def read(store: Store, now: InForce) -> dict[str, Any]:
            return {
                "rows": [_line(row, facts.now_ms) for row in rows[::-1][:KEYS_SHOWN]],
                "more": max(0, len(rows) - KEYS_SHOWN),
                "budgets": budgets,
                "store_silent": facts.balances is None,
                "teams": now.declared.config.teams,
                "workloads": list(now.snapshot.workloads),
                "roles": ROLES,
                "problem": problem,
                "made": made,
            }

        return await desk.page(request, visit, "keys.html", read)


def _line(row: VirtualKey, now_ms: int) -> tuple[VirtualKey, str]:
    """With its state in a word."""
    if row.revoked_ms is not None:
        return row, "revoked"
    return row, "expired" if row.expires_ms is not None and row.expires_ms <= now_ms else "holds"


def _wanted(form: dict[str, str]) -> NewKey:
    """Raises ValueError for what is no number or time."""
    budget: Decimal | None = None
    if form.get("budget_usd", "").strip():
        try:
            budget = Decimal(form["budget_usd"].strip())
        except InvalidOperation:
            raise ValueError("the budget must be an amount of dollars") from None
    expires: int | None = None
    if form.get("expires", "").strip():
        try:
            day = datetime.fromisoformat(form["expires"].strip())
        except ValueError:
            raise ValueError("the expiry must be a date such as 2027-03-31") from None
        expires = round((day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp() * 1000)
    return NewKey(
        name=form.get("name", "").strip(),
        tenant=form.get("tenant", "").strip() or "default",
        team=form.get("team", "").strip(),
        workloads=_names(form, "workloads"),
        deployments=_names(form, "deployments"),
        data=_names(form, "data"),
        budget_usd=budget,
        expires_ms=expires,
        role=form.get("role", ""),
    )


def _names(form: dict[str, str], field: str) -> tuple[str, ...]:
    return tuple(form.get(field, "").replace(",", " ").split())
