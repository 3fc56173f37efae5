"""Budgets as they are compiled, and leases: slices of a budget that one process holds and spends by itself."""

from __future__ import annotations

import msgspec

SCOPES = ("tenant", "team", "key", "workload", "user", "session", "deployment")
# What is counted. usd: in pico-dollars. gpu_seconds: of GPUs of one's own, in GPU-nanoseconds. concurrency: calls in
# flight, never spent.
USD, TOKENS, REQUESTS, GPU, CONCURRENCY = UNITS = ("usd", "tokens", "requests", "gpu_seconds", "concurrency")
GPU_NS = 10**9
# From when to when it is counted; total: for ever.
WINDOWS = ("minute", "hour", "day", "week", "month", "total")
# Windows so short that a client had better wait than give up.
SHORT_WINDOWS = frozenset(("minute", "hour"))


class Budget(msgspec.Struct, frozen=True):
    """How much of a unit may be used in a window. subject: whose; empty for each one of its scope, apart.

    hard: never exceeded. A soft one refuses new calls once it is used up, and lets those that run come to their end.
    zone: the time zone in which days, weeks and months begin.
    """

    scope: str
    subject: str
    unit: str
    window: str
    amount: int
    hard: bool = True
    zone: str = "UTC"

    def account(self, subject: str) -> str:
        """The name under which all processes count what `subject` uses of it."""
        return f"{self.scope}/{subject}/{self.unit}/{self.window}"


class LeaseAsk(msgspec.Struct, frozen=True, array_like=True):
    """What a process has of one lease, and what it asks for. start_ms, end_ms: the period. limit: the whole budget.

    lease: its number at this process. keep: what the process holds on to, spent or not; what it had beyond that is
    given back. need: the least that is of use on top of it, want: what it would like. spent: of `keep`, for good.
    done: nothing of it is open any more; what was spent is booked and the lease ends.
    """

    account: str
    start_ms: int
    end_ms: int
    limit: int
    lease: int
    keep: int
    spent: int
    need: int = 0
    want: int = 0
    done: bool = False


class Lent(msgspec.Struct, frozen=True, array_like=True):
    """The answer to one LeaseAsk. extra: on top of `keep`, 0 or at least `need`. scarce: little is left, so that
    everybody takes only what he needs and gives back at once what he does not. left: what nobody has then."""

    extra: int
    scarce: bool
    left: int = 0


class Lease(msgspec.Struct, frozen=True):
    """A lease as stored: `granted` in all, of which `spent` when its holder was last heard of."""

    holder: str
    account: str
    start_ms: int
    lease: int
    granted: int
    spent: int

    @property
    def mark(self) -> str:
        return lease_mark(self.account, self.start_ms, self.lease)


class Balance(msgspec.Struct, frozen=True):
    """One account in one period. spent: by leases that have ended; leased, used: by those that have not, in all and as
    far as it was told."""

    account: str
    start_ms: int
    spent: int
    leased: int
    used: int


def lease_mark(account: str, start_ms: int, lease: int) -> str:
    """How an attempt's record names a lease that it is paid from."""
    return f"{account}@{start_ms}#{lease}"


def share_out(limit: int, taken: int, ask: LeaseAsk, processes: int) -> Lent:
    """What one ask gets. taken: what is spent, and leased to others.

    Slices are a part of what is left, so that all processes together can never hold more than a fraction of it idle;
    once such a slice is less than one call needs, each call is lent for alone. Of little that is left one call gets an
    eighth at most beyond what it needs, so that others get something too.
    """
    room = limit - taken - ask.keep
    slice_ = room // (4 * max(1, processes))
    if slice_ >= max(1, ask.need):
        extra = min(max(ask.want, ask.need), slice_)
        return Lent(extra, False, room - extra)
    if room < max(1, ask.need):
        return Lent(0, True, max(0, room))
    extra = max(ask.need, min(ask.want, room // 8))
    return Lent(extra, True, room - extra)
