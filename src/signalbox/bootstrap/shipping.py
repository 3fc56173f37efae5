"""The process that ships journals into the store, signs checkpoints and tells what is damaged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from signalbox.bootstrap.clock import now_ms
from signalbox.bootstrap.storage import open_store
from signalbox.config import schema
from signalbox.control.shipping import ShipOrder, ShipperProcess
from signalbox.control.state import StateDir
from signalbox.core.errors import StoreError
from signalbox.core.ports import Store
from signalbox.core.secret import Secret
from signalbox.ledger.chain import chain_names
from signalbox.ledger.checkpoint import CheckpointLog
from signalbox.ledger.ship import Shipper
from signalbox.ledger.walk import Finding
from signalbox.telemetry.log import Log

SHIP_S = 1.0
# Requests go first where the shipper shares their core.
SHIP_NICE = 10


def ship_order(state: StateDir, config: schema.Config) -> ShipOrder:
    settings = config.journal
    return ShipOrder(
        state_dir=str(state.root),
        store=config.store.reveal() if config.store is not None else "",
        checkpoint_anchor=settings.checkpoint_anchor or "",
        checkpoint_every_s=settings.checkpoint_every_s,
    )


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
    return Shipper(lambda: open_store(state, url), state.journal, SHIP_S, alarm(log), _checkpoints(state, order, log))


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
    shipper = _shipper(order, Log("shipper"))
    await shipper.start()
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.buffer.read))
    while not ended.done():
        _tell(shipper)
        await asyncio.wait((ended,), timeout=SHIP_S)
    await shipper.stop()
    _tell(shipper)


def _tell(shipper: Shipper) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and with it who wanted to know
        sys.stdout.buffer.write(msgspec.json.encode(shipper.stats()) + b"\n")
        sys.stdout.buffer.flush()


def _checkpoints(state: StateDir, order: ShipOrder, log: Log) -> Callable[[Store, bool], None]:
    """Signs what the chains of this machine were, now and then and at the end; it never stops the shipping."""
    anchor = Path(order.checkpoint_anchor) if order.checkpoint_anchor else None
    signing = CheckpointLog(state.checkpoints, anchor)
    due_at = 0.0

    def shipped(store: Store, last: bool) -> None:
        nonlocal due_at
        if not last and time.monotonic() < due_at:
            return
        due_at = time.monotonic() + order.checkpoint_every_s
        own = set(chain_names(state.journal))
        try:
            signing.write([mark for mark in store.shipped_all() if mark.chain in own], now_ms())
        except OSError as error:
            log.error("a checkpoint could not be written", reason=str(error))

    return shipped


def alarm(log: Log) -> Callable[[tuple[Finding, ...]], None]:
    """Tells operators at once what `ledger verify` would tell them one day."""

    def tell(findings: tuple[Finding, ...]) -> None:
        for found in findings:
            log.error("the journal is damaged", chain=found.chain, finding=found.kind, reason=found.message)

    return tell
