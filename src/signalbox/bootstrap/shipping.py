"""The process that ships journals into the store, signs checkpoints and tells what is damaged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from signalbox.bootstrap.storage import open_store
from signalbox.config import schema, schema_ledger
from signalbox.config.address import AddressProblem
from signalbox.control.anchoring import Anchoring
from signalbox.control.object_store import Bucket
from signalbox.control.shipping import ShipOrder, ShipperProcess
from signalbox.control.state import StateDir
from signalbox.control.upkeep import Upkeep
from signalbox.core.errors import StoreError
from signalbox.core.ports import Retention
from signalbox.core.secret import Secret
from signalbox.ledger.ship import Shipper
from signalbox.ledger.walk import Finding
from signalbox.telemetry.log import Log

SHIP_S = 1.0
# Requests go first where the shipper shares their core.
SHIP_NICE = 10


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
            _shipper(order, log).ship_once()
        except StoreError as error:
            log.warning("the last records are shipped at the next start", reason=str(error))

    return ShipperProcess((sys.executable, "-m", "signalbox", "_ship"), order, ship_here, log)


def _shipper(order: ShipOrder, log: Log) -> Shipper:
    state, url = StateDir(Path(order.state_dir)), Secret(order.store) if order.store else None
    upkeep = Upkeep(order, state, log)
    return Shipper(lambda: open_store(state, url), state.journal, SHIP_S, alarm(log), upkeep.shipped)


def run_shipper() -> int:
    """The process beside the one that serves: ships until its standard input ends, and once more then."""
    # A terminal's Ctrl-C and a service manager's SIGTERM reach everybody; this one ends last, when its parent has.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(SHIP_NICE)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=ShipOrder)
    asyncio.run(_ship(order))
    return 0


async def _ship(order: ShipOrder) -> None:
    log = Log("shipper")
    shipper = _shipper(order, log)
    await shipper.start()
    anchoring = _anchoring(order, log)
    putting = asyncio.ensure_future(anchoring.run()) if anchoring is not None else None
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.buffer.read))
    while not ended.done():
        _tell(shipper, anchoring)
        await asyncio.wait((ended,), timeout=SHIP_S)
    await shipper.stop()
    if anchoring is not None and putting is not None:
        putting.cancel()
        await anchoring.close()
    _tell(shipper, anchoring)


def _anchoring(order: ShipOrder, log: Log) -> Anchoring | None:
    if order.anchor is None:
        return None
    try:
        return Anchoring(StateDir(Path(order.state_dir)).checkpoints, order.anchor)
    except (AddressProblem, ValueError) as problem:
        log.error("checkpoints are not anchored", reason=f"the anchor's url {problem}")
        return None


def _tell(shipper: Shipper, anchoring: Anchoring | None) -> None:
    told = msgspec.structs.replace(shipper.stats(), anchor_error=anchoring.error if anchoring is not None else "")
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and with it who wanted to know
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        sys.stdout.buffer.flush()


def alarm(log: Log) -> Callable[[tuple[Finding, ...]], None]:
    """Tells operators at once what `ledger verify` would tell them one day."""

    def tell(findings: tuple[Finding, ...]) -> None:
        for found in findings:
            log.error("the journal is damaged", chain=found.chain, finding=found.kind, reason=found.message)

    return tell
