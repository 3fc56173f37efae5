"""A provider's bill held against the ledger: what the command line, the console and its API ask alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from msgspec.structs import replace

from signalbox.core.attempts import AttemptFilter
from signalbox.core.days import ms_of
from signalbox.core.errors import ConfigError
from signalbox.core.ports import Store
from signalbox.ledger.provider_export import Charge
from signalbox.ledger.reconcile import Reconciliation, reconcile

_DAY = timedelta(days=1)


def reconciled(
    store: Store, charges: Sequence[Charge], where: AttemptFilter, attempts_max: int | None = None
) -> Reconciliation:
    """Of the days of the bill, and one on either side for what is booked across midnight, unless `where` names a time.
    attempts_max: how many attempts are read. Raises ConfigError where there are more, and StoreError."""
    if where.since_ms is None and where.until_ms is None:
        where = _days_of(charges, where)
    if attempts_max is not None:
        count = sum(one.attempts for one in store.sum_attempts(where, None))
        if count > attempts_max:
            said = f"these days have {count} attempts, and {attempts_max} are read here."
            raise ConfigError([f"{said} Send the bill of fewer days, or use `signalbox ledger reconcile`."])
    return reconcile(charges, store.attempts(where))


def _days_of(charges: Sequence[Charge], where: AttemptFilter) -> AttemptFilter:
    # A line with an attempt's id is matched whatever day it states.
    if not charges or any(charge.attempt_id for charge in charges):
        return where
    first = date.fromisoformat(min(charge.day for charge in charges))
    last = date.fromisoformat(max(charge.day for charge in charges))
    return replace(where, since_ms=ms_of(first - _DAY), until_ms=ms_of(last + 2 * _DAY))
