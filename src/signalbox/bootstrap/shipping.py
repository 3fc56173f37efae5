"""The process that ships journals, as the supervisor starts and watches it; what it does is bootstrap/shipper.py."""

from __future__ import annotations

import sys

from signalbox.bootstrap.shipper import shipper_of
from signalbox.config import schema, schema_ledger
from signalbox.control.object_store import Bucket
from signalbox.control.shipping import ShipOrder, ShipperProcess
from signalbox.control.state import StateDir
from signalbox.core.errors import StoreError
from signalbox.core.ports import Retention
from signalbox.telemetry.log import Log


def ship_order(state: StateDir, config: schema.Config) -> ShipOrder:
    settings, ledger = config.journal, config.ledger
    return ShipOrder(
        state_dir=str(state.root),
        store=config.store.reveal() if config.store is not None else "",
        checkpoint_anchor=settings.checkpoint_anchor or "",
        checkpoint_every_s=settings.checkpoint_every_s,
        retention=Retention(ledger.retention_days, ledger.sums_retention_days, ledger.content_days),
        old_journals=ledger.old_journals if ledger.retention_days is not None else "keep",
        archive=ledger.archive or "",
        anchor=bucket_of(ledger.anchor),
    )


def bucket_of(anchor: schema_ledger.Anchor | None) -> Bucket | None:
    """The object store of checkpoints, with its credential."""
    if anchor is None:
        return None
    return Bucket(
        anchor.url, anchor.region, anchor.access_key.reveal(), anchor.secret_key.reveal(), anchor.lock_days,
        anchor.lock_mode, anchor.allow_private, anchor.ca_file,
    )  # fmt: skip


def shipping(order: ShipOrder, log: Log) -> ShipperProcess:
    """The process as the supervisor starts and watches it."""

    def ship_here() -> None:
        try:
            shipper_of(order, log).ship_once()
        except StoreError as error:
            log.warning("the last records are shipped at the next start", reason=str(error))

    return ShipperProcess((sys.executable, "-m", "signalbox", "_ship"), order, ship_here, log)
