"""A data plane that listens nowhere, for drills."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import uvloop

from signalbox.bootstrap.data_plane import DataPlane
from signalbox.bootstrap.storage import open_store
from signalbox.control.drill import Result, drill
from signalbox.control.drill_faults import FaultResult, drill_faults
from signalbox.control.drill_ground import Plan
from signalbox.control.drill_outages import OutageResult, drill_outages
from signalbox.control.drill_watch import Progress
from signalbox.control.state import StateDir
from signalbox.core.link import Order, Report
from signalbox.core.ports import Store
from signalbox.gateway.http import Connection
from signalbox.ledger.journal import new_chain
from signalbox.ledger.ship import Shipping
from signalbox.telemetry.log import Log

_Result = TypeVar("_Result")


class _DrillPlane:
    """A data plane that listens nowhere, for control.drill. Its callers come over socket pairs, so that even here only
    the transport opens connections."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._socket = socket.socket()  # never bound
        # Calls fail by the hundred in a drill, and its report says what became of them.
        self._plane = DataPlane(state, new_chain("drill"), Log("drill", without=frozenset(("request",))))
        self._worker = self._plane.worker(self._socket)

    async def obey(self, order: Order) -> Report:
        return await self._worker.obey(order)

    async def reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        gateway = self._worker.gateway
        if gateway is None:
            raise RuntimeError("a drill calls only after its configuration is in force")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(gateway), theirs)
        return await asyncio.open_connection(sock=ours)

    def books(self) -> Store:
        store = open_store(self._state)
        Shipping(store, self._state.journal).ship_once()
        return store

    async def close(self) -> None:
        await self._worker.drain(0)
        await self._plane.close()
        self._socket.close()


def run_drill(plan: Plan, progress: Progress) -> Result:
    """Drill a configuration in a state directory of its own. Raises ConfigError when it cannot be used."""
    return _drilled(lambda plane: drill(plan, plane, progress))


def run_fault_drill(plan: Plan, progress: Progress) -> FaultResult:
    """The same with every fault of a provider at its turn."""
    return _drilled(lambda plane: drill_faults(plan, plane, progress))


def run_outage_drill(plan: Plan, progress: Progress) -> OutageResult:
    """The same with every deployment down for a moment in its turn."""
    return _drilled(lambda plane: drill_outages(plan, plane, progress))


def _drilled(run: Callable[[_DrillPlane], Coroutine[None, None, _Result]]) -> _Result:
    async def drilled(state: StateDir) -> _Result:
        plane = _DrillPlane(state)
        try:
            return await run(plane)
        finally:
            await plane.close()

    with TemporaryDirectory(prefix="signalbox-drill-") as folder:
        return uvloop.run(drilled(StateDir(Path(folder) / "state")))
