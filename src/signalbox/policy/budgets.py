"""Which budgets a call falls under, and what one attempt holds of them: reserved before, settled after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from itertools import chain
from math import ceil

from signalbox.core.budgets import (
    CONCURRENCY,
    GPU,
    GPU_NS,
    REQUESTS,
    SHORT_WINDOWS,
    TOKENS,
    USD,
    Budget,
)
from signalbox.core.call import Call
from signalbox.core.errors import BudgetExhausted, CallError, DeploymentLimited, RateLimited
from signalbox.core.snapshot import Deployment, Snapshot
from signalbox.core.usage import Rates, Usage, usd
from signalbox.policy.purse import Account, Line, Purse

# Combinations of key, workload and deployment whose lines are remembered.
LISTS_MAX = 20_000
# A call that waits for several leases finds them used by others at most so often.
TURNS_MAX = 8
# A stream's reservation grows by so many tokens, and before fewer than so many are left of it.
STEP_TOKENS = 512
# What a provider may have generated when we close: it is never promised to anybody.
MARGIN_TOKENS = 128
_OF_CALLS = frozenset((REQUESTS, CONCURRENCY))
_TOLD = frozenset((REQUESTS, TOKENS))


class Item:
    """One account's share in a hold. per_out: what an output token takes of it."""

    __slots__ = ("account", "fixed", "per_out", "reserved", "unit")

    def __init__(self, account: Account, fixed: int, per_out: int) -> None:
        self.account = account
        self.unit = account.budget.unit
        self.fixed = fixed
        self.per_out = per_out
        self.reserved = 0


class Hold:
    """What one attempt has reserved. tokens_out: output that is paid for, over all choices. metered: the stream is
    watched, and ends when it cannot be extended. lowered: the limit was written because of money."""

    __slots__ = ("_budgets", "items", "lowered", "metered", "tokens_out")

    def __init__(self, budgets: Budgets, items: list[Item]) -> None:
        self._budgets = budgets
        self.items = items
        self.tokens_out = 0
        self.metered = False
        self.lowered = 0

    @property
    def paid_from(self) -> tuple[str, ...]:
        return tuple([item.account.mark for item in self.items])

    def covers(self, tokens: int, margin: int) -> bool:
        """Whether so many output tokens are paid for, and `margin` that may be on their way; extends the reservation
        ahead of need. False: the money ends."""
        left = self.tokens_out - margin - tokens
        if left > STEP_TOKENS // 2:
            return True
        step = STEP_TOKENS - min(0, left)
        if not self._extend(step):
            return left > 0
        return True

    def _extend(self, step: int) -> bool:
        enough = True
        for item in self.items:
            account, more = item.account, item.per_out * step
            if account.budget.hard and account.free < 2 * more:
                self._budgets.purse.wish(account, more, 4 * more)
                enough = enough and account.free >= more
        if enough:
            for item in self.items:
                if item.per_out:
                    more = item.per_out * step
                    item.account.take(more)
                    item.reserved += more
            self.tokens_out += step
        return enough

    def settle(self, usage: Usage, cost_pico: int) -> None:
        """Once, at the end, whatever it was."""
        tokens = usage.input_total + usage.output_total
        moved = self._budgets.purse.moved
        for item in self.items:
            unit = item.unit
            if unit == USD:  # the same as ledger.paid.used
                used = cost_pico
            elif unit == REQUESTS:
                used = 1
            else:
                used = 0 if unit == CONCURRENCY else tokens * item.per_out
            item.account.settle(item.reserved, used)
            item.reserved = 0
            moved(item.account)


class Price:
    """The worst that a token costs at a deployment, in pico-dollars, over all classes, long contexts and times of day.
    fixed: per call. tiered: also over all service tiers, for a call that may be served under one."""

    __slots__ = ("fixed", "out", "plain_in", "worst_in")

    def __init__(self, deployment: Deployment, *, tiered: bool) -> None:
        rates, times = [deployment.rates], Fraction(1)
        tariff = deployment.tariff
        if tariff is not None:
            rates += [window.rates for window in tariff.windows]
            if tiered:
                rates += tariff.tiers.values()
                rates += [tier for window in tariff.windows for tier in window.tiers.values()]
                times = max((Fraction(*share) for share in tariff.shares.values()), default=times)
        every = [(one, max(times, 1) * Fraction(*(rate.share or (1, 1)))) for rate in rates for one in _lengths(rate)]
        self.fixed = ceil(max(one.request * share for one, share in every))
        self.plain_in = ceil(max(max(one.tokens_in, one.cache_read) * share for one, share in every))
        writes = (max(one.cache_write_5m, one.cache_write_1h) * share for one, share in every)
        self.worst_in = max(self.plain_in, ceil(max(writes)))
        self.out = ceil(max(max(one.tokens_out, one.reasoning) * share for one, share in every))

    @property
    def free(self) -> bool:
        return not (self.fixed or self.worst_in or self.out)


def _lengths(rates: Rates) -> tuple[Rates, ...]:
    return (rates, *(tier for _, tier in rates.tiers))


class Lines:
    """What one attempt falls under. hard: a hard budget of money or tokens is among them; dollars: one of money. told:
    limits of calls and tokens that are the caller's, and not a deployment's."""

    __slots__ = ("dollars", "hard", "lines", "told")

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.hard = any(line.budget.hard and line.budget.unit not in _OF_CALLS for line in lines)
        self.dollars = any(line.budget.unit == USD for line in lines)
        mine = (line for line in lines if line.budget.scope != "deployment")
        self.told = tuple([line for line in mine if line.budget.unit in _TOLD])


class Budgets:
    """The budgets of one snapshot, over the purse of this process.

    any: whether the configuration has one at all; keys may have their own besides.
    """

    def __init__(self, snapshot: Snapshot, purse: Purse, time_ms: Callable[[], int]) -> None:
        self.purse = purse
        self.time_ms = time_ms
        self._declared = snapshot.budgets
        self.any = bool(snapshot.budgets)
        self._prices = {
            deployment.name: (Price(deployment, tiered=False), Price(deployment, tiered=True))
            for deployment in snapshot.deployments
        }
        self._lists: dict[tuple[str, str, str], tuple[Lines, tuple[Budget, ...]]] = {}

    def price(self, deployment: Deployment, *, tiered: bool) -> Price:
        return self._prices[deployment.name][tiered]

    def lines(self, call: Call, deployment: Deployment) -> Lines:
        """The budgets that an attempt falls under. Those of users and sessions are looked up by name, the others
        are remembered for the key and the workload."""
        principal = call.principal
        key = (principal.key_id, call.workload.name, deployment.name)
        found = self._lists.get(key)
        if found is None:
            if len(self._lists) >= LISTS_MAX:
                self._lists.clear()
            found = self._lists[key] = self._list(call, deployment)
        fixed, dynamic = found
        if not dynamic:
            return fixed
        named = [(budget, _person(call, budget.scope)) for budget in dynamic]
        return Lines([*fixed.lines, *(self.purse.line(budget, subject) for budget, subject in named if subject)])

    def _list(self, call: Call, deployment: Deployment) -> tuple[Lines, tuple[Budget, ...]]:
        principal = call.principal
        own = {
            "tenant": principal.tenant,
            "team": principal.team,
            "key": principal.purse or principal.key_id,
            "workload": call.workload.name,
            "deployment": deployment.name,
        }
        lines: dict[str, Line] = {}
        dynamic: list[Budget] = []
        for budget in chain(self._declared, _key_budget(principal.budget_pico)):
            if budget.unit == GPU and not deployment.rates.gpu_ns:
                continue
            if budget.scope not in own:
                dynamic.append(budget)
            elif own[budget.scope] and budget.subject in ("", own[budget.scope]):
                line = self.purse.line(budget, own[budget.scope])
                if line.name in lines and line.budget.amount > budget.amount:
                    line.budget = budget
                lines[line.name] = line
        return Lines(list(lines.values())), tuple(dynamic)

    def reserve_now(self, lines: list[Line], fixed: dict[str, int], per_out: dict[str, int], out: int) -> Hold | None:
        """The ordinary case of `reserve`: all that is wanted is here, and nobody has to be asked."""
        now_ms = self.time_ms()
        items: list[Item] = []
        for line in lines:
            budget = line.budget
            amount = fixed.get(budget.unit)
            if amount is None:
                continue
            account = line.account
            if account is None or not account.start_ms <= now_ms < account.end_ms:
                return None
            item = Item(account, amount, per_out[budget.unit])
            item.reserved = amount + item.per_out * out
            if account.free < item.reserved if budget.hard else account.free <= 0:
                return None
            items.append(item)
        for item in items:
            item.account.take(item.reserved)
        hold = Hold(self, items)
        hold.tokens_out = out
        return hold

    async def reserve(
        self,
        lines: list[Line],
        fixed: dict[str, int],
        per_out: dict[str, int],
        least_out: int,
        wanted_out: int,
    ) -> Hold:
        """Takes what an attempt needs from every one of its budgets, or raises the error of the first that is used up.

        fixed: by unit, what it takes in any case. per_out: by unit, for each output token, of which there are at least
        least_out, or it is not worth beginning, and at best wanted_out. The hold says how many are paid for.
        """
        now_ms = self.time_ms()
        account_of = self.purse.account
        items = [
            Item(account_of(line, now_ms), fixed[line.budget.unit], per_out[line.budget.unit])
            for line in lines
            if line.budget.unit in fixed
        ]
        out = wanted_out
        for _ in range(TURNS_MAX):
            out, waited = wanted_out, False
            for item in items:
                account = item.account
                want = item.fixed + item.per_out * wanted_out
                if not account.budget.hard:
                    if account.free <= 0:
                        waited |= await self._obtain(item, 1, max(1, want), now_ms)
                    continue
                if account.free >= want:
                    continue
                least = item.fixed + item.per_out * least_out
                if account.free < least or not account.scarce:
                    waited |= await self._obtain(item, least, want, now_ms)
                if item.per_out:
                    out = min(out, (account.free - item.fixed) // item.per_out)
            if not waited or _all_free(items, out):
                break
        if not _all_free(items, least_out):
            raise exhausted(items[0].account, now_ms)
        return self._take(items, max(least_out, min(out, wanted_out)))

    def _take(self, items: list[Item], out: int) -> Hold:
        hold = Hold(self, items)
        hold.tokens_out = out
        for item in items:
            item.reserved = item.fixed + item.per_out * out
            item.account.take(item.reserved)
        return hold

    async def _obtain(self, item: Item, least: int, want: int, now_ms: int) -> bool:
        if not await self.purse.obtain(item.account, least, want):
            raise exhausted(item.account, now_ms)
        return True


def _all_free(items: list[Item], out: int) -> bool:
    return all(
        item.account.free >= item.fixed + item.per_out * out if item.account.budget.hard else item.account.free > 0
        for item in items
    )


def _key_budget(pico: int | None) -> tuple[Budget, ...]:
    return () if pico is None else (Budget("key", "", USD, "total", pico),)


def _person(call: Call, scope: str) -> str:
    """Who uses it, in a form that names nobody. Calls that name no user share one budget, so that leaving the name out
    is no way around it; sessions are what callers name, and a call outside of one is none."""
    whom = call.for_whom
    if scope == "user":
        said = whom.user
        if not said:
            return f"{call.principal.tenant}:"
    else:
        said = whom.session
        if not said:
            return ""
    return f"{call.principal.tenant}:{hashlib.blake2b(said.encode('utf-8', 'replace'), digest_size=12).hexdigest()}"


def exhausted(account: Account, now_ms: int) -> CallError:
    """What a caller is told when a budget has nothing left."""
    budget = account.budget
    whose = f"The {budget.scope}"
    if budget.unit == CONCURRENCY:
        return _limited(budget, f"{whose} is at its limit of {budget.amount} calls at the same time.", 1.0)
    if budget.unit == USD:
        amount = f"{usd(budget.amount)} USD"
    else:
        amount = f"{budget.amount // GPU_NS} GPU-seconds" if budget.unit == GPU else f"{budget.amount} {budget.unit}"
    window = "in all" if budget.window == "total" else f"{'an' if budget.window == 'hour' else 'a'} {budget.window}"
    if budget.window in SHORT_WINDOWS and budget.unit != USD:
        left_s = max(1.0, (account.end_ms - now_ms) / 1000)
        return _limited(budget, f"{whose} is at its limit of {amount} {window}.", left_s)
    return BudgetExhausted(f"{whose} has used up its budget of {amount} {window}.")


def _limited(budget: Budget, message: str, retry_after_s: float) -> CallError:
    if budget.scope == "deployment":
        return DeploymentLimited(message, retry_after_s=retry_after_s)
    return RateLimited(message, retry_after_s=retry_after_s)
