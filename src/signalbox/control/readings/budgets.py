"""Budgets with what is spent and leased of them, and where they will be at the end of their window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from signalbox.control.keys import purse_of
from signalbox.core.budgets import GPU, GPU_NS, USD, Balance, Budget
from signalbox.core.ports import VirtualKey
from signalbox.core.snapshot import Snapshot
from signalbox.core.usage import PICO
from signalbox.policy.windows import FOREVER_MS, period


class BudgetUse(msgspec.Struct, frozen=True):
    """One account in its present window. amount, spent, leased: pico-dollars, tokens, calls or GPU-nanoseconds. share:
    of the amount that is spent or leased. forecast: what will be spent at the window's end at the rate so far; None for
    one without an end, or too young to tell. end_ms: None for one without an end."""

    account: str
    scope: str
    subject: str
    unit: str
    window: str
    hard: bool
    amount: int
    spent: int
    leased: int
    share: float
    start_ms: int
    end_ms: int | None
    forecast: int | None


def shown(one: BudgetUse) -> dict[str, Any]:
    """The same for programs: amounts in the unit that is named, dollars as exact text and GPU-seconds to the
    nanosecond."""
    per_unit = {USD: PICO, GPU: GPU_NS}.get(one.unit)

    def told(amount: int) -> str | int:
        return amount if per_unit is None else f"{(Decimal(amount) / per_unit).normalize():f}"

    fields = msgspec.structs.asdict(one)
    amount = fields.pop("amount")
    return fields | {
        "limit": told(amount),
        "spent": told(one.spent),
        "leased": told(one.leased),
        "share": round(one.share, 6),
        "forecast": None if one.forecast is None else told(one.forecast),
    }


def belongings(tenant: str, rows: Iterable[VirtualKey]) -> dict[str, set[str]]:
    """By scope, whose budgets are one tenant's. A scope that is left out is everybody's: the configuration names its
    members. Users and sessions could be of any tenant, so none are told. rows: keys of this tenant."""
    rows = list(rows)
    theirs = {"tenant": {tenant}, "team": {row.team for row in rows}, "key": {*map(purse_of, rows)}}
    return theirs | {"user": set[str](), "session": set[str]()}


def of_tenant(found: Iterable[BudgetUse], tenant: str, rows: Iterable[VirtualKey]) -> list[BudgetUse]:
    """What somebody of one tenant may see where there are others. rows: the keys of this tenant."""
    theirs = belongings(tenant, rows)
    return [one for one in found if one.scope not in theirs or one.subject in theirs[one.scope]]


def uses(snapshot: Snapshot, own: Iterable[Budget], balances: Sequence[Balance], now_ms: int) -> list[BudgetUse]:
    """Every account that was used, and every budget with a name of its own, used or not; the fullest first.
    own: budgets of keys."""
    by_account = {balance.account: balance for balance in balances}
    found: list[BudgetUse] = []
    for budget in (*snapshot.budgets, *own):
        subjects = [budget.subject] if budget.subject else _subjects(budget, by_account)
        found += [_use(budget, subject, by_account.get(budget.account(subject)), now_ms) for subject in subjects]
    return sorted(found, key=lambda one: (-one.share, one.account))


def _subjects(budget: Budget, balances: dict[str, Balance]) -> list[str]:
    """Those that used a budget which each one of a kind has for itself."""
    start, end = f"{budget.scope}/", f"/{budget.unit}/{budget.window}"
    named = [account for account in balances if account.startswith(start) and account.endswith(end)]
    return [account[len(start) : -len(end)] for account in named]


def _use(budget: Budget, subject: str, balance: Balance | None, now_ms: int) -> BudgetUse:
    start_ms, end_ms = period(budget.window, budget.zone, now_ms)
    spent = leased = 0
    if balance is not None:
        spent, leased = balance.spent + balance.used, balance.leased - balance.used
    taken = spent + leased
    return BudgetUse(
        account=budget.account(subject),
        scope=budget.scope,
        subject=subject,
        unit=budget.unit,
        window=budget.window,
        hard=budget.hard,
        amount=budget.amount,
        spent=spent,
        leased=leased,
        share=taken / budget.amount if budget.amount else float(taken > 0),
        start_ms=start_ms,
        end_ms=None if end_ms >= FOREVER_MS else end_ms,
        forecast=_forecast(spent, start_ms, end_ms, now_ms),
    )


def _forecast(spent: int, start_ms: int, end_ms: int, now_ms: int) -> int | None:
    """At the mean rate of the window so far, once a twentieth of it is over."""
    if end_ms >= FOREVER_MS:
        return None
    past, whole = now_ms - start_ms, end_ms - start_ms
    return None if past * 20 < whole else spent * whole // past
