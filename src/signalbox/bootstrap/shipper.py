"""The process that ships journals into the store, signs checkpoints and tells what is damaged."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from signalbox.bootstrap.storage import open_store
from signalbox.config.address import AddressProblem
from signalbox.control.anchoring import Anchoring
from signalbox.control.shipping import ShipOrder
from signalbox.control.state import StateDir
from signalbox.control.upkeep import Upkeep
from signalbox.core.secret import Secret
from signalbox.ledger.ship import Shipper
from signalbox.ledger.walk import Finding
from signalbox.telemetry.log import Log, told_of_tasks

SHIP_S = 1.0
# Requests go first where the shipper shares their core.
SHIP_NICE = 10
# A batch is thousands of rows, none of them garbage: looking for it every 700 of them would be a fiftieth of the work.
GC_THRESHOLDS = (50_000, 20, 50)


def shipper_of(order: ShipOrder, log: Log) -> Shipper:
    state, url = StateDir(Path(order.state_dir)), Secret(order.store) if order.store else None
    upkeep = Upkeep(order, state, log)
    return Shipper(lambda: open_store(state, url), state.journal, SHIP_S, alarm(log), upkeep.shipped)


def run_shipper() -> int:
    """The process beside the one that serves: ships until its standard input ends, and once more then."""
    # A terminal's Ctrl-C and a service manager's SIGTERM reach everybody; this one ends last, when its parent has.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(SHIP_NICE)
    gc.set_threshold(*GC_THRESHOLDS)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=ShipOrder)
    asyncio.run(_ship(order))
    return 0


async def _ship(order: ShipOrder) -> None:
    log = Log("shipper")
    asyncio.get_running_loop().set_exception_handler(told_of_tasks(log))
    shipper = shipper_of(order, log)
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
