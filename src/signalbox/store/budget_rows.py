"""Rows of budgets: what was spent in a period, and the leases on the rest. Each function runs in a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.core.budgets import SHORT_WINDOWS, Balance, Lease, LeaseAsk, Lent, share_out
from signalbox.store.statements import Statements

_LEASE = "account = ? AND start_ms = ? AND holder = ? AND lease = ?"
# Integers of the database end at 2**63; a budget that is overdrawn beyond that is used up in any case.
_MOST = 2**63 - 1


def lend(connection: Statements, holder: str, ask: LeaseAsk, processes: int) -> Lent:
    """One ask. The account is locked, or nobody else can write."""
    key = (ask.account, ask.start_ms, holder, ask.lease)
    if ask.done:
        end(connection, Lease(holder, ask.account, ask.start_ms, ask.lease, ask.keep, ask.spent), ask.spent)
        return Lent(0, False)
    spent = connection.execute(
        "SELECT COALESCE(SUM(spent), 0) FROM budget_spent WHERE account = ? AND start_ms = ?",
        (ask.account, ask.start_ms),
    ).fetchone()
    others = connection.execute(
        "SELECT COALESCE(SUM(granted), 0), COUNT(DISTINCT holder) FROM budget_leases"
        " WHERE account = ? AND start_ms = ? AND NOT (holder = ? AND lease = ?)",
        (ask.account, ask.start_ms, holder, ask.lease),
    ).fetchone()
    if spent is None or others is None:
        raise ValueError("a sum without a row")
    taken = int(spent[0]) + int(others[0])
    lent = share_out(ask.limit, taken, ask, max(processes, int(others[1])))
    if not ask.need and not ask.want:
        lent = Lent(0, lent.scarce, lent.left + lent.extra)
    connection.execute(
        "INSERT INTO budget_leases (account, start_ms, holder, lease, end_ms, granted, spent)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, start_ms, holder, lease)"
        " DO UPDATE SET granted = excluded.granted, spent = excluded.spent",
        (*key, ask.end_ms, min(ask.keep + lent.extra, _MOST), min(ask.spent, _MOST)),
    )
    return lent


def end(connection: Statements, lease: Lease, spent: int) -> None:
    """Books what was spent of a lease and removes it; nothing when it has ended before."""
    key = (lease.account, lease.start_ms, lease.holder, lease.lease)
    row = connection.execute(f"SELECT end_ms FROM budget_leases WHERE {_LEASE}", key).fetchone()  # noqa: S608
    if row is None:
        return
    connection.execute(f"DELETE FROM budget_leases WHERE {_LEASE}", key)  # noqa: S608
    if spent:
        connection.execute(
            "INSERT INTO budget_spent (account, start_ms, end_ms, spent) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (account, start_ms) DO UPDATE SET spent = budget_spent.spent + excluded.spent",
            (lease.account, lease.start_ms, row[0], min(spent, _MOST)),
        )


def leases(connection: Statements, accounts: Sequence[str]) -> list[Lease]:
    sql = "SELECT holder, account, start_ms, lease, granted, spent FROM budget_leases"
    if accounts:
        sql += f" WHERE account IN ({', '.join('?' * len(accounts))})"
    rows = connection.execute(sql + " ORDER BY account, start_ms, holder, lease", accounts).fetchall()
    return [Lease(*row) for row in rows]


def balances(connection: Statements, now_ms: int) -> list[Balance]:
    """Both tables by account and period, those that hold the moment."""
    rows = connection.execute(
        "SELECT account, start_ms, SUM(spent), SUM(leased), SUM(used) FROM ("
        " SELECT account, start_ms, end_ms, spent, 0 AS leased, 0 AS used FROM budget_spent"
        " UNION ALL SELECT account, start_ms, end_ms, 0, granted, spent FROM budget_leases) AS both_tables"
        " WHERE start_ms <= ? AND end_ms > ? GROUP BY account, start_ms ORDER BY account",
        (now_ms, now_ms),
    ).fetchall()
    return [Balance(row[0], row[1], int(row[2]), int(row[3]), int(row[4])) for row in rows]


def forget(connection: Statements, before_ms: int) -> None:
    for window in sorted(SHORT_WINDOWS):
        connection.execute("DELETE FROM budget_spent WHERE end_ms < ? AND account LIKE ?", (before_ms, f"%/{window}"))
