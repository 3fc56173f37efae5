"""What this process holds of budgets: leases that are spent locally, asked for ahead, and given back when idle."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from itertools import count
from math import inf

from signalbox.core.budgets import Budget, LeaseAsk, Lent, lease_mark
from signalbox.core.errors import LeaseUnavailable
from signalbox.policy.windows import period

# How long a call waits for a lease; a store that does not answer for longer must not hold calls up.
WAIT_S = 2.0
TICK_S = 0.5
# A lease that nothing was paid from for so long ends.
IDLE_S = 10.0
# What a hard budget has leased may be spent for so long after the store last confirmed it, then not until it does so
# again; that is asked for each time a part of it is over. It holds within TICK_S.
LEASE_S = 60.0
RENEWALS = 4
# Little is left: what one call did not use goes back after this, so that others find it.
RETURN_S = 0.02
# After a failure nobody asks again for so long, unless in the background.
PAUSE_S = 0.25
ACCOUNTS_MAX = 200_000
# So many times what a call wanted is asked for, so that the next ones need not wait.
AHEAD = 512
Lend = Callable[[list[LeaseAsk]], Awaitable[list[Lent]]]


class Account:
    """One budget of one subject in one period, as far as this process has leased it.

    free: granted and neither spent nor reserved; below zero only for soft budgets. reserved: by attempts that are open.
    lapsed: was free when the lease expired, and is again when the store confirms the lease. expires_s: when it does.
    dry_s: when the store last said that nothing is left. beyond: what nobody had leased when the store last told.
    """

    __slots__ = (
        "asked",
        "beyond",
        "budget",
        "dry_s",
        "end_ms",
        "ending",
        "expires_s",
        "free",
        "lapsed",
        "lease",
        "mark",
        "moved",
        "name",
        "need",
        "reserved",
        "scarce",
        "spent",
        "start_ms",
        "waiters",
        "want",
    )

    def __init__(self, name: str, budget: Budget, start_ms: int, end_ms: int, lease: int, now_s: float) -> None:
        self.name = name
        self.budget = budget
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.lease = lease
        self.mark = lease_mark(name, start_ms, lease)
        self.free = self.spent = self.reserved = self.lapsed = self.beyond = 0
        self.expires_s = inf
        self.dry_s = -inf
        self.need = self.want = 0
        self.scarce = False
        self.asked = False
        self.ending = False
        self.moved = now_s
        self.waiters: list[asyncio.Future[bool | None]] = []

    @property
    def granted(self) -> int:
        return self.free + self.lapsed + self.spent + self.reserved

    @property
    def remaining(self) -> int:
        """What may still be used, as far as this process knows: without what others have leased and do not use, and
        as if nobody had leased any more since the store was last asked."""
        return max(0, min(self.free + self.lapsed + self.beyond, self.budget.amount))

    def take(self, amount: int) -> None:
        self.free -= amount
        self.reserved += amount

    def settle(self, reserved: int, used: int) -> None:
        self.reserved -= reserved
        self.spent += used
        self.free += reserved - used

    def lapse(self) -> None:
        """The lease has expired: what is not reserved may not be spent."""
        if self.free > 0:
            self.lapsed += self.free
            self.free = 0

    def confirm(self, extra: int, asked_s: float) -> None:
        """The store knows the lease, and lends `extra` on top; it was asked at `asked_s`."""
        self.free += extra + self.lapsed
        self.lapsed = 0
        self.expires_s = asked_s + LEASE_S if self.budget.hard else inf


class Line:
    """One budget of one subject over all its periods. account: of the present period, None before the first use."""

    __slots__ = ("account", "budget", "name")

    def __init__(self, name: str, budget: Budget) -> None:
        self.name = name
        self.budget = budget
        self.account: Account | None = None


class Purse:
    """All accounts of this process. lend: asks whoever holds the store; it may fail or take its time.

    One round of asking is under way at a time; what comes up meanwhile goes into the next.
    """

    def __init__(self, lend: Lend, now_s: Callable[[], float]) -> None:
        self._lend = lend
        self.now_s = now_s
        self._lines: dict[str, Line] = {}
        self._open: dict[int, Account] = {}
        self._numbers = count(1)
        self._dirty: dict[int, Account] = {}
        self._round: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._failed_at = -PAUSE_S
        self._closed = False

    # --- the hot path ---

    def line(self, budget: Budget, subject: str) -> Line:
        name = budget.account(subject)
        line = self._lines.get(name)
        if line is None:
            if len(self._lines) >= ACCOUNTS_MAX:
                self._forget_lines()
            line = self._lines[name] = Line(name, budget)
        elif line.budget is not budget:
            line.budget = budget
            if line.account is not None:
                line.account.budget = budget
        return line

    def account(self, line: Line, now_ms: int) -> Account:
        """The account of the period that holds `now_ms`."""
        account = line.account
        if account is not None and account.start_ms <= now_ms < account.end_ms:
            return account
        start_ms, end_ms = period(line.budget.window, line.budget.zone, now_ms)
        number = next(self._numbers)
        account = Account(line.name, line.budget, start_ms, end_ms, number, self.now_s())
        line.account = self._open[number] = account
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        return account

    def wish(self, account: Account, need: int, want: int) -> None:
        """Asks for more in the background."""
        if account.asked or self._closed:
            return
        account.need, account.want = need, want
        self._ask(account)

    async def obtain(self, account: Account, need: int, want: int) -> bool:
        """Waits until the account has `need` free; False when there is no more: the store says so, or does not answer
        and said so of late. Raises LeaseUnavailable when nobody can tell.

        want: the most that is of use to this call. Where less than that is free it is asked for once; what comes beyond
        it is for the next calls.
        """
        if self.now_s() - self._failed_at < PAUSE_S:
            if account.free >= need:
                return True
            return self._untold(account)
        deadline_s = self.now_s() + WAIT_S
        asked = False
        while account.free < need or (account.free < want and not asked):
            asked = True
            more = max(1, need - account.free)
            account.need = min(account.need or more, more)
            account.want += want if account.scarce else AHEAD * want
            waiter: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
            account.waiters.append(waiter)
            self._ask(account)
            try:
                async with asyncio.timeout(deadline_s - self.now_s()):
                    got_some = await waiter
            except TimeoutError:
                if account.free >= need:
                    return True
                return self._untold(account)
            if account.free >= need:
                continue
            if got_some is None:
                return self._untold(account)
            if not got_some:
                return False
        return True

    def _untold(self, account: Account) -> bool:
        """The store does not answer. What was used up is still: it is the limit that refuses, and not the store."""
        if self.now_s() - account.dry_s < LEASE_S:
            return False
        raise LeaseUnavailable("Whether the budget allows this call cannot be told at the moment.", retry_after_s=1)

    def moved(self, account: Account) -> None:
        """Something was settled: what is not needed goes back where little is left."""
        account.moved = self.now_s()
        if account.moved >= account.expires_s:
            account.lapse()
        if account.scarce and account.free > 0 and self._soon is None and not self._closed:
            self._soon = asyncio.get_running_loop().call_later(RETURN_S, self._return_scarce)

    def accounts(self) -> list[Account]:
        """Those with a lease."""
        return list(self._open.values())

    # --- giving back ---

    def recall(self, names: list[str]) -> None:
        """Somebody else needs what this process holds of these accounts and does not use."""
        for name in names:
            line = self._lines.get(name)
            account = line.account if line is not None else None
            if account is not None:
                account.scarce = True
                self._ask(account)

    async def close(self) -> None:
        """Ends every lease that nothing is open on, if the store can be reached in time."""
        self._closed = True
        for timer in (self._timer, self._soon):
            if timer is not None:
                timer.cancel()
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(self._end_all(), WAIT_S)

    async def _end_all(self) -> None:
        """Asks again where the store did not answer: its connection may have been lost long before anybody noticed."""
        while idle := [account for account in self._open.values() if not account.reserved]:
            for account in idle:
                self._end(account)
            if self._round is not None:
                await asyncio.shield(self._round)
            if self.now_s() - self._failed_at < PAUSE_S:
                await asyncio.sleep(PAUSE_S)

    def _return_scarce(self) -> None:
        self._soon = None
        for account in list(self._open.values()):
            if account.scarce and account.free > 0 and not account.waiters:
                self._ask(account)

    def _tick(self) -> None:
        now_s = self.now_s()
        for account in list(self._open.values()):
            if now_s >= account.expires_s:
                account.lapse()
            if account.waiters or account.asked:
                continue
            if not account.reserved and now_s - account.moved > (TICK_S if account.scarce else IDLE_S):
                self._end(account)
            elif now_s >= account.expires_s - LEASE_S * (1 - 1 / RENEWALS):
                self._ask(account)
        self._timer = None
        if self._open and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _end(self, account: Account) -> None:
        line = self._lines.get(account.name)
        if line is not None and line.account is account:
            line.account = None
        account.ending = True
        self._ask(account)

    def _forget_lines(self) -> None:
        self._lines = {name: line for name, line in self._lines.items() if line.account is not None}
        if len(self._lines) >= ACCOUNTS_MAX:
            raise LeaseUnavailable("Too many budgets are in use at once on this process.", retry_after_s=1)

    # --- asking ---

    def _ask(self, account: Account) -> None:
        account.asked = True
        self._dirty[account.lease] = account
        if self._round is None:
            self._round = asyncio.get_running_loop().create_task(self._rounds())

    async def _rounds(self) -> None:
        # What is asked for in this turn of the loop goes together.
        await asyncio.sleep(0)
        try:
            while self._dirty:
                batch, self._dirty = list(self._dirty.values()), {}
                await self._one_round(batch)
        finally:
            self._round = None

    async def _one_round(self, batch: list[Account]) -> None:
        asked_s = self.now_s()
        asks = [_ask_of(account) for account in batch]
        # Whoever comes while the answer is on its way has asked for something else.
        waiting = [len(account.waiters) for account in batch]
        try:
            lent = await self._lend(asks)
        except LeaseUnavailable:
            self._failed(batch)
            return
        for account, ask, answer, waiters in zip(batch, asks, lent, waiting, strict=True):
            account.confirm(answer.extra, asked_s)
            account.scarce = answer.scarce
            account.beyond = answer.left
            if answer.extra or ask.need:
                account.dry_s = -inf if answer.extra else asked_s
            if ask.done:
                self._open.pop(account.lease, None)
            self._wake(account, waiters, answer.extra > 0)

    def _failed(self, batch: list[Account]) -> None:
        """Nothing was lent. What was to be given back is kept in mind, and leases are ended at a later turn."""
        self._failed_at = self.now_s()
        for account in batch:
            self._wake(account, len(account.waiters), None)

    def _wake(self, account: Account, first: int, got_some: bool | None) -> None:
        account.asked = account.lease in self._dirty
        waiters, account.waiters = account.waiters[:first], account.waiters[first:]
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(got_some)


def _ask_of(account: Account) -> LeaseAsk:
    """The state of an account as a question. What goes back is out of hand from this moment on."""
    need, want = account.need, account.want
    account.need = account.want = 0
    if not need and not want and (account.scarce or account.ending):
        account.beyond += max(0, account.free) + account.lapsed
        account.free = min(0, account.free)
        account.lapsed = 0
    return LeaseAsk(
        account=account.name,
        start_ms=account.start_ms,
        end_ms=account.end_ms,
        limit=account.budget.amount,
        lease=account.lease,
        keep=account.granted,
        spent=account.spent,
        need=need,
        want=want,
        done=account.ending and not account.reserved,
    )
